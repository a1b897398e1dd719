// SPDX-License-Identifier: Apache-2.0
// The label part of a series, `route="a",code="200"`, written once when a worker first meets it. Values come
// from requests, so they are cut, made valid UTF-8 and escaped here, and nowhere else.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace moongate::metrics {

class Labels {
 public:
  static constexpr size_t kValueBytesMax = 128;

  /// Appends `name="value"`. `name` is ours; `value` is cut to 128 bytes at the boundary of a character. A
  /// backslash, a quote and a line end are escaped as the format wants; other control characters appear as
  /// \\xNN, and bytes that are not UTF-8 as U+FFFD.
  Labels& add(std::string_view name, std::string_view value);
  std::string_view text() const { return text_; }
  void clear() { text_.clear(); }

 private:
  std::string text_;
};

/// The value of a label in a text that Labels has written, without its escapes; nothing when there is none.
std::optional<std::string> find_label(std::string_view labels, std::string_view name);

}  // namespace moongate::metrics
