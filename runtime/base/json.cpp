// SPDX-License-Identifier: Apache-2.0
// JSON in two steps. cJSON builds the tree, but it lets much through that RFC 8259 does not (01, control
// characters, bytes that are not UTF-8) and knows no places, so a checker walks the text first, refuses what
// is not JSON with line and column, and notes where each node stands. The tree is then copied in the same
// order.
#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include <cjson/cJSON.h>

#include "base/hex.h"
#include "base/utf8.h"

namespace moongate::base {

namespace {

constexpr size_t kDepthMax = 100;
constexpr size_t kNumberLengthMax = 60;  // cJSON reads numbers through a buffer of 64
constexpr size_t kTextMaxBytes = size_t{512} << 20;

struct Mistake {
  size_t offset = 0;
  std::string what;
};

struct Position {
  size_t line;
  size_t column;
};

Position position_of(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n')), offset - line_start + 1};
}

/// Walks JSON text by the grammar and notes the offset of every value and key, in the order they stand.
class Checker {
 public:
  explicit Checker(std::string_view text) : text_(text) {}

  bool check() {
    skip_space();
    if (!check_value(0)) return false;
    skip_space();
    return at_ == text_.size() || fail("something follows the value; JSON text is one value");
  }
  const std::vector<uint32_t>& offsets() const { return offsets_; }
  Mistake mistake() const { return {at_, what_}; }

 private:
  bool fail(const char* what) {
    what_ = what;
    return false;
  }
  bool fail_at(size_t offset, const char* what) {
    at_ = offset;
    return fail(what);
  }
  bool pass() {
    ++at_;
    return true;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool is_digit() const { return peek() >= '0' && peek() <= '9'; }
  void skip_space() {
    while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }
  void note() { offsets_.push_back(static_cast<uint32_t>(at_)); }

  bool check_value(size_t depth) {
    if (at_ >= text_.size()) return fail("the text ends where a value should be");
    note();
    switch (peek()) {
      case '{':
        return check_object(depth + 1);
      case '[':
        return check_array(depth + 1);
      case '"':
        return check_string();
      case 't':
        return check_word("true");
      case 'f':
        return check_word("false");
      case 'n':
        return check_word("null");
      default:
        return check_number();
    }
  }

  bool check_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return fail("unknown word; a value is expected");
    at_ += word.size();
    return true;
  }

  bool check_object(size_t depth) {
    if (depth > kDepthMax) return fail("nested deeper than 100 levels");
    ++at_;
    skip_space();
    if (peek() == '}') return pass();
    while (true) {
      if (peek() != '"') return fail("a key in double quotes is expected");
      note();
      if (!check_string()) return false;
      skip_space();
      if (peek() != ':') return fail("a colon is expected after the key");
      ++at_;
      skip_space();
      if (!check_value(depth)) return false;
      skip_space();
      if (peek() == '}') return pass();
      if (peek() != ',') return fail("a comma or } is expected");
      ++at_;
      skip_space();
    }
  }

  bool check_array(size_t depth) {
    if (depth > kDepthMax) return fail("nested deeper than 100 levels");
    ++at_;
    skip_space();
    if (peek() == ']') return pass();
    while (true) {
      if (!check_value(depth)) return false;
      skip_space();
      if (peek() == ']') return pass();
      if (peek() != ',') return fail("a comma or ] is expected");
      ++at_;
      skip_space();
    }
  }

  bool check_number() {
    const size_t start = at_;
    if (peek() == '-') ++at_;
    if (!is_digit()) return fail_at(start, "a value is expected");
    if (peek() == '0') {
      ++at_;
      if (is_digit()) return fail("a number has no leading zeros");
    }
    while (is_digit()) ++at_;
    if (peek() == '.') {
      ++at_;
      if (!is_digit()) return fail("a digit is expected after the decimal point");
      while (is_digit()) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!is_digit()) return fail("a digit is expected in the exponent");
      while (is_digit()) ++at_;
    }
    if (at_ - start > kNumberLengthMax) return fail_at(start, "a number is longer than 60 characters");
    return true;
  }

  bool check_string() {
    const size_t start = at_++;
    while (at_ < text_.size()) {
      const char c = peek();
      if (c == '"') return pass();
      if (c == '\\') {
        if (!check_escape()) return false;
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20)
        return fail("a control character in a string; write it as \\u00XX");
      const size_t length = utf8_length(text_, at_);
      if (length == 0) return fail("bytes that are not UTF-8");
      at_ += length;
    }
    return fail_at(start, "a string that never ends");
  }

  bool check_escape() {
    const char kind = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (kind != 'u') {
      if (kind == '\0' || std::string_view("\"\\/bfnrt").find(kind) == std::string_view::npos) {
        return fail("an unknown escape; known are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
      }
      at_ += 2;
      return true;
    }
    const int unit = hex4(at_ + 2);
    if (unit < 0) return fail("four hexadecimal digits are expected after \\u");
    if (unit == 0) return fail("the NUL character (\\u0000) is not accepted in strings");
    if (unit >= 0xDC00 && unit <= 0xDFFF)
      return fail("the second half of a surrogate pair without the first");
    if (unit >= 0xD800 && unit <= 0xDBFF) {
      const int second = text_.substr(at_ + 6, 2) == "\\u" ? hex4(at_ + 8) : -1;
      if (second < 0xDC00 || second > 0xDFFF)
        return fail("the first half of a surrogate pair without the second");
      at_ += 6;
    }
    at_ += 6;
    return true;
  }

  int hex4(size_t offset) const {
    if (offset + 4 > text_.size()) return -1;
    int unit = -1;
    const char* end = text_.data() + offset + 4;
    const auto parsed = std::from_chars(text_.data() + offset, end, unit, 16);
    return parsed.ec == std::errc() && parsed.ptr == end && unit >= 0 ? unit : -1;
  }

  std::string_view text_;
  size_t at_ = 0;
  const char* what_ = "";
  std::vector<uint32_t> offsets_;
};

/// Copies cJSON's tree, taking places from the checker's list as it goes.
class Copier {
 public:
  Copier(std::string_view text, const std::vector<uint32_t>& offsets, uint16_t file_index)
      : text_(text), offsets_(offsets), file_(file_index) {}

  bool copy(const cJSON& node, Value* out) {
    const size_t offset = take_offset();
    const uint32_t line = line_of(offset);
    if (!copy_content(node, offset, out)) return false;
    out->set_place(file_, line);
    return true;
  }
  const Mistake& mistake() const { return mistake_; }

 private:
  size_t take_offset() {
    MG_ASSERT(next_ < offsets_.size());
    return offsets_[next_++];
  }

  // Offsets only grow, so every line break is counted once.
  uint32_t line_of(size_t offset) {
    line_ += static_cast<uint32_t>(std::count(text_.begin() + counted_, text_.begin() + offset, '\n'));
    counted_ = offset;
    return line_;
  }

  bool copy_content(const cJSON& node, size_t offset, Value* out) {
    if (cJSON_IsObject(&node)) return copy_object(node, out);
    if (cJSON_IsArray(&node)) return copy_array(node, out);
    if (cJSON_IsString(&node)) {
      *out = Value::string(node.valuestring);
    } else if (cJSON_IsBool(&node)) {
      *out = Value::boolean(cJSON_IsTrue(&node) != 0);
    } else if (cJSON_IsNull(&node)) {
      *out = Value::null();
    } else if (std::isfinite(node.valuedouble)) {
      *out = Value::number(node.valuedouble);
    } else {
      mistake_ = {offset, "a number out of range"};
      return false;
    }
    return true;
  }

  bool copy_array(const cJSON& node, Value* out) {
    *out = Value::array();
    for (const cJSON* child = node.child; child != nullptr; child = child->next) {
      if (!copy(*child, &out->items().emplace_back())) return false;
    }
    return true;
  }

  bool copy_object(const cJSON& node, Value* out) {
    *out = Value::object();
    std::unordered_set<std::string_view> keys;
    for (const cJSON* child = node.child; child != nullptr; child = child->next) {
      const size_t key_offset = take_offset();
      if (!keys.insert(child->string).second) {
        mistake_ = {key_offset, "the key \"" + std::string(child->string) + "\" appears twice"};
        return false;
      }
      // A member stands where its key stands; the value may begin on a later line.
      const uint32_t key_line = line_of(key_offset);
      Value& value = out->members().emplace_back(child->string, Value()).second;
      if (!copy(*child, &value)) return false;
      value.set_place(file_, key_line);
    }
    return true;
  }

  std::string_view text_;
  const std::vector<uint32_t>& offsets_;
  const uint16_t file_;
  size_t next_ = 0;
  size_t counted_ = 0;
  uint32_t line_ = 1;
  Mistake mistake_;
};

/// The tree in `out`, or what is wrong.
std::optional<Mistake> parse_text(std::string_view text, uint16_t file_index, Value* out) {
  if (text.size() > kTextMaxBytes) return Mistake{0, "JSON text longer than 512 MB"};
  Checker checker(text);
  if (!checker.check()) return checker.mistake();
  const std::unique_ptr<cJSON, decltype(&cJSON_Delete)> tree(cJSON_ParseWithLength(text.data(), text.size()),
                                                             &cJSON_Delete);
  if (!tree) return Mistake{0, "JSON text that cannot be read"};
  Copier copier(text, checker.offsets(), file_index);
  if (!copier.copy(*tree, out)) return copier.mistake();
  return std::nullopt;
}

void append_number(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  char digits[32];
  constexpr double kExactIntegerMax = 9007199254740992.0;
  const bool is_integer = std::trunc(number) == number && std::fabs(number) <= kExactIntegerMax;
  const auto end = is_integer
                       ? std::to_chars(digits, digits + sizeof digits, static_cast<int64_t>(number)).ptr
                       : std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

void append_value(std::string& out, const Value& value, bool is_canonical);

void append_object(std::string& out, const Value& value, bool is_canonical) {
  std::vector<const Value::Member*> members;
  members.reserve(value.members().size());
  for (const Value::Member& member : value.members()) members.push_back(&member);
  if (is_canonical) {
    std::sort(members.begin(), members.end(),
              [](const auto* a, const auto* b) { return a->first < b->first; });
  }
  out.push_back('{');
  for (const Value::Member* member : members) {
    if (member != members.front()) out.push_back(',');
    append_json_string(out, member->first);
    out.push_back(':');
    append_value(out, member->second, is_canonical);
  }
  out.push_back('}');
}

void append_value(std::string& out, const Value& value, bool is_canonical) {
  switch (value.type()) {
    case Value::Type::kNull:
      out += "null";
      return;
    case Value::Type::kBool:
      out += value.as_bool() ? "true" : "false";
      return;
    case Value::Type::kNumber:
      append_number(out, value.as_number());
      return;
    case Value::Type::kString:
      append_json_string(out, value.as_string());
      return;
    case Value::Type::kObject:
      append_object(out, value, is_canonical);
      return;
    case Value::Type::kArray:
      break;
  }
  out.push_back('[');
  bool is_first = true;
  for (const Value& item : value.items()) {
    if (!is_first) out.push_back(',');
    is_first = false;
    append_value(out, item, is_canonical);
  }
  out.push_back(']');
}

}  // namespace

Result<Value> parse_json(std::string_view text) {
  Value value;
  const auto mistake = parse_text(text, 0, &value);
  if (!mistake) return value;
  const Position at = position_of(text, mistake->offset);
  return invalid("line " + std::to_string(at.line) + ", column " + std::to_string(at.column) + ": " +
                 mistake->what);
}

Result<Value> parse_json_file(std::string_view text, uint16_t file_index) {
  Value value;
  const auto mistake = parse_text(text, file_index, &value);
  if (!mistake) return value;
  const Position at = position_of(text, mistake->offset);
  return invalid(std::to_string(at.line) + ":" + std::to_string(at.column) + ": " + mistake->what);
}

std::string scalar_text(const Value& value) { return value.is_string() ? value.as_string() : to_json(value); }

std::string to_json(const Value& value, bool is_canonical) {
  std::string out;
  append_value(out, value, is_canonical);
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  for (size_t at = 0; at < text.size();) {
    const auto c = static_cast<unsigned char>(text[at]);
    const size_t length = utf8_length(text, at);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7F) {
      out += "\\u00";
      out += to_hex(text.substr(at, 1));
    } else if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else {
      out.append(text.substr(at, length));
    }
    at += length == 0 ? 1 : length;
  }
  out.push_back('"');
}

}  // namespace moongate::base
