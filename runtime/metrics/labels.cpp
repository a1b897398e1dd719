// SPDX-License-Identifier: Apache-2.0
#include "metrics/labels.h"

#include <algorithm>

#include "base/hex.h"
#include "base/utf8.h"

namespace moongate::metrics {

namespace {

void append_ascii(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (c == '\\' || c == '"') {
    out += '\\';
    out += c;
  } else if (c == '\n') {
    out += "\\n";
  } else if (byte < 0x20 || byte == 0x7f) {
    out.append("\\\\x").append(base::to_hex({&c, 1}));
  } else {
    out += c;
  }
}

}  // namespace

Labels& Labels::add(std::string_view name, std::string_view value) {
  if (!text_.empty()) text_ += ',';
  text_ += name;
  text_ += "=\"";
  for (size_t at = 0; at < value.size() && at < kValueBytesMax;) {
    const size_t length = base::utf8_length(value, at);
    if (length > 1 && at + length > kValueBytesMax) break;
    if (length == 1) {
      append_ascii(text_, value[at]);
    } else if (length == 0) {
      text_ += "\xEF\xBF\xBD";
    } else {
      text_.append(value.substr(at, length));
    }
    at += length == 0 ? 1 : length;
  }
  text_ += '"';
  return *this;
}

std::optional<std::string> find_label(std::string_view labels, std::string_view name) {
  while (!labels.empty()) {
    const size_t equals = labels.find("=\"");
    if (equals == labels.npos) break;
    const bool is_wanted = labels.substr(0, equals) == name;
    std::string value;
    size_t at = equals + 2;
    for (; at < labels.size() && labels[at] != '"'; at++) {
      if (labels[at] == '\\' && at + 1 < labels.size()) {
        at++;
        value += labels[at] == 'n' ? '\n' : labels[at];
      } else {
        value += labels[at];
      }
    }
    if (is_wanted) return value;
    labels.remove_prefix(std::min(at + 2, labels.size()));  // the quote and the comma
  }
  return std::nullopt;
}

}  // namespace moongate::metrics
