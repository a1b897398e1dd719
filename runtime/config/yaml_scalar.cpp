// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

constexpr std::string_view kTagPrefix = "tag:yaml.org,2002:";
constexpr size_t kNumberLengthMax = 400;

template <size_t N>
bool is_one_of(std::string_view text, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

bool is_null_word(std::string_view text) {
  constexpr std::array<std::string_view, 5> kWords{"", "~", "null", "Null", "NULL"};
  return is_one_of(text, kWords);
}

std::optional<bool> bool_word(std::string_view text) {
  constexpr std::array<std::string_view, 9> kTrue{"true", "True", "TRUE", "yes", "Yes",
                                                  "YES",  "on",   "On",   "ON"};
  constexpr std::array<std::string_view, 9> kFalse{"false", "False", "FALSE", "no", "No",
                                                   "NO",    "off",   "Off",   "OFF"};
  if (is_one_of(text, kTrue)) return true;
  if (is_one_of(text, kFalse)) return false;
  return std::nullopt;
}

bool is_not_finite_word(std::string_view text) {
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) text.remove_prefix(1);
  constexpr std::array<std::string_view, 6> kWords{".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
  return is_one_of(text, kWords);
}

bool has_only(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

double digits_to_number(std::string_view digits, int base) {
  double number = 0;
  for (const char c : digits) {
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    number = number * base + digit;
  }
  return number;
}

// Whole numbers in base 16, 2, 8 and 10; `digits` has no sign and no underscores.
std::optional<double> parse_whole(std::string_view digits) {
  if (digits.starts_with("0x") && digits.size() > 2 && has_only(digits.substr(2), "0123456789abcdefABCDEF")) {
    return digits_to_number(digits.substr(2), 16);
  }
  if (digits.starts_with("0b") && digits.size() > 2 && has_only(digits.substr(2), "01")) {
    return digits_to_number(digits.substr(2), 2);
  }
  if (digits.empty() || !has_only(digits, "0123456789")) return std::nullopt;
  if (digits[0] == '0' && digits.size() > 1 && has_only(digits, "01234567"))
    return digits_to_number(digits, 8);
  double number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

std::optional<double> parse_fraction(std::string_view digits) {
  const bool has_digit = digits.find_first_of("0123456789") != std::string_view::npos;
  if (!has_digit || !has_only(digits, "0123456789.eE+-")) return std::nullopt;
  if (digits[0] != '.' && (digits[0] < '0' || digits[0] > '9')) return std::nullopt;
  double number = 0;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, number);
  if (parsed.ptr != end) return std::nullopt;
  if (parsed.ec == std::errc::result_out_of_range) return HUGE_VAL;
  return number;
}

std::optional<double> parse_number(std::string_view text) {
  if (text.empty() || text.size() > kNumberLengthMax) return std::nullopt;
  const bool is_negative = text[0] == '-';
  if (text[0] == '-' || text[0] == '+') text.remove_prefix(1);
  if (text.empty() || text[0] == '_') return std::nullopt;
  std::string digits(text);
  digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  std::optional<double> number = parse_whole(digits);
  if (!number) number = parse_fraction(digits);
  if (number && is_negative) number = -*number;
  return number;
}

}  // namespace

Result<Value> type_plain_scalar(std::string_view text) {
  if (is_null_word(text)) return Value::null();
  if (const auto truth = bool_word(text)) return Value::boolean(*truth);
  if (is_not_finite_word(text)) {
    return base::invalid(std::string(text) +
                         " is not a usable number; write a finite one, or quote it to make it text");
  }
  if (const auto number = parse_number(text)) {
    if (!std::isfinite(*number)) {
      return base::invalid("the number is out of range; write a smaller one, or quote it to make it text");
    }
    return Value::number(*number);
  }
  return Value::string(std::string(text));
}

Result<Value> type_tagged_scalar(std::string_view tag, std::string_view text) {
  if (tag == "!" || tag == "tag:yaml.org,2002:str") return Value::string(std::string(text));
  const std::string_view kind =
      tag.starts_with(kTagPrefix) ? tag.substr(kTagPrefix.size()) : std::string_view();
  if (kind != "null" && kind != "bool" && kind != "int" && kind != "float") {
    return base::invalid("unknown tag " + std::string(tag) +
                         "; known are !!str, !!int, !!float, !!bool and !!null");
  }
  Result<Value> value = type_plain_scalar(text);
  if (!value) return value;
  const bool is_integer = value->is_number() && std::trunc(value->as_number()) == value->as_number();
  const bool fits = (kind == "null" && value->is_null()) || (kind == "bool" && value->is_bool()) ||
                    (kind == "int" && is_integer) || (kind == "float" && value->is_number());
  if (!fits) return base::invalid("the value does not fit its tag !!" + std::string(kind));
  return value;
}

}  // namespace moongate::config
