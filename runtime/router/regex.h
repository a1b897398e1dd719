// SPDX-License-Identifier: Apache-2.0
// The place where the regular expression engine is plugged in. The engine belongs to script/, which stands
// above this folder; it registers itself here once, before the first expression is compiled.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace moongate::router {

/// A compiled regular expression. Immutable, so that expressions can share it.
class Regex {
 public:
  virtual ~Regex() = default;
  /// True when the pattern is found anywhere in `subject`. A search over the engine's limits counts as not
  /// found.
  virtual bool find(std::string_view subject) const = 0;
};

class RegexEngine {
 public:
  virtual ~RegexEngine() = default;
  /// The compiled pattern, or null and the reason in `error`.
  virtual std::shared_ptr<Regex> compile(std::string_view pattern, bool is_caseless, std::string* error) = 0;
};

/// Names the engine of this process; it must outlive every compile. Null (the beginning) means that there is
/// none.
void set_regex_engine(RegexEngine* engine);
RegexEngine* regex_engine();

}  // namespace moongate::router
