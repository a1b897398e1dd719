// SPDX-License-Identifier: Apache-2.0
// What stands on the command line, taken apart by a table of options.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace moongate::cli {

struct OptionSpec {
  std::string_view name;    // "--json"
  std::string_view letter;  // "-p", or empty
  std::string_view value;   // what it takes, for the usage line: "DIR"; empty: nothing
  bool is_repeatable = false;
  bool is_required = false;
};

class Arguments {
 public:
  bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  /// The value of an option, or `fallback` when it was not given.
  std::string value(std::string_view name, std::string fallback = {}) const;
  std::vector<std::string> values(std::string_view name) const;
  const std::vector<std::string>& words() const { return words_; }

 private:
  friend base::Result<Arguments> parse_arguments(std::span<const OptionSpec>, std::span<const std::string>,
                                                 size_t);
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> words_;
};

/// Reads options (`-c FILE`, `-cFILE`, `--config FILE`, `--config=FILE`; none after `--`) and at most
/// `words_max` other words. The error says what is wrong and which option may have been meant.
base::Result<Arguments> parse_arguments(std::span<const OptionSpec> options,
                                        std::span<const std::string> arguments, size_t words_max);

/// "-c FILE [-c FILE ...] [-p DIR] [--daemon]"
std::string describe_options(std::span<const OptionSpec> options);

}  // namespace moongate::cli
