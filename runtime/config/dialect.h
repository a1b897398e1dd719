// SPDX-License-Identifier: Apache-2.0
// What translators of other gateways' files have in common: the list of what was found on the way, and values
// that keep the places of what they were made from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "config/places.h"

namespace moongate::config {

enum class Dialect : uint8_t { kKong, kApisix };

/// What a finding means for the configuration it is about.
enum class DialectLoss : uint8_t {
  kNote,     // it works, a little differently
  kLost,     // it does not work here; what was made of it fails closed
  kRefused,  // nothing can stand for it: a gateway does not start with it
};

struct DialectFinding {
  DialectLoss loss = DialectLoss::kNote;
  std::string text;  // "path:line: field: what; what to do"
};

/// A tree of ours, and what it does not hold.
struct DialectTranslation {
  base::Value root = base::Value::object();
  std::vector<DialectFinding> findings;
};

class DialectFindings {
 public:
  static constexpr size_t kCountMax = 100;  // more of one file are left out

  explicit DialectFindings(const Places& places) : places_(places) {}
  void add(DialectLoss loss, const base::Value& at, std::string_view field, std::string_view what);
  void note(const base::Value& at, std::string_view field, std::string_view what) {
    add(DialectLoss::kNote, at, field, what);
  }
  void refuse(const base::Value& at, std::string_view field, std::string_view what) {
    add(DialectLoss::kRefused, at, field, what);
  }
  std::vector<DialectFinding> take() { return std::move(list_); }
  const Places& places() const { return places_; }

 private:
  const Places& places_;
  std::vector<DialectFinding> list_;
};

/// `value` with the place of `from`.
base::Value placed(base::Value value, const base::Value& from);
base::Value placed_text(std::string text, const base::Value& from);
base::Value placed_number(double number, const base::Value& from);
base::Value placed_flag(bool truth, const base::Value& from);

}  // namespace moongate::config
