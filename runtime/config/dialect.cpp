// SPDX-License-Identifier: Apache-2.0
#include "config/dialect.h"

#include <algorithm>

namespace moongate::config {

using base::Value;

void DialectFindings::add(DialectLoss loss, const Value& at, std::string_view field, std::string_view what) {
  if (list_.size() >= kCountMax) return;
  std::string text = places_.error(at, field, what).detail;
  // A service that serves several routes is looked at for each.
  const bool is_known = std::any_of(list_.begin(), list_.end(),
                                    [&](const DialectFinding& finding) { return finding.text == text; });
  if (!is_known) list_.push_back({loss, std::move(text)});
}

Value placed(Value value, const Value& from) {
  value.set_place(from.file(), from.line());
  return value;
}

Value placed_text(std::string text, const Value& from) {
  return placed(Value::string(std::move(text)), from);
}
Value placed_number(double number, const Value& from) { return placed(Value::number(number), from); }
Value placed_flag(bool truth, const Value& from) { return placed(Value::boolean(truth), from); }

}  // namespace moongate::config
