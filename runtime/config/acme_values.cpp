// SPDX-License-Identifier: Apache-2.0
#include "config/acme_values.h"

#include <array>
#include <cmath>

#include "base/base64.h"
#include "config/setting_values.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr double kRenewBeforeMax = 365 * 86400;
constexpr size_t kUrlMax = 2048;
constexpr std::array<std::string_view, 2> kAccountKeys{"key_id", "key"};

bool is_base64_key(const std::string& text) {
  std::string bytes(text.size(), '\0');
  const auto size = base::decode_base64(text, base::Base64Alphabet::kUrl, bytes.data());
  return size && *size > 0;
}

}  // namespace

std::optional<std::string> normalize_acme_directory(std::string_view text) {
  const bool is_url = text.starts_with("https://") && text.size() > 8 && text.size() <= kUrlMax;
  if (!is_url || text.find_first_of(" \"\\#") != text.npos) return std::nullopt;
  return normalize_text(text);
}

std::optional<std::string> normalize_acme_contact(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == text.npos || colon == 0 || colon + 1 == text.size()) return std::nullopt;
  return text.find(' ') == text.npos ? normalize_text(text) : std::nullopt;
}

std::optional<Problem> read_renew_before(const Value& value, Settings& settings) {
  const double seconds = value.is_number() ? value.as_number() : -1;
  if (!(seconds >= 0) || seconds > kRenewBeforeMax || seconds != std::floor(seconds))
    return Problem{&value, "", "expected whole seconds, from 0 to 31536000, got " + describe_value(value)};
  settings.acme.renew_before = std::chrono::seconds(static_cast<int64_t>(seconds));
  return std::nullopt;
}

Value write_renew_before(const Settings& settings) {
  return Value::number(static_cast<double>(settings.acme.renew_before.count()));
}

std::optional<Problem> read_external_account(const Value& value, Settings& settings) {
  std::string id;
  std::string key;
  if (!is_off(value)) {
    if (!value.is_object())
      return Problem{&value, "", "expected off, or {key_id, key}, got " + describe_value(value)};
    for (const auto& [name, member] : value.members()) {
      if (name != "key_id" && name != "key")
        return Problem{&member, "", describe_unknown("key", name, kAccountKeys)};
      const auto text = member.is_string() ? normalize_text(member.as_string()) : std::nullopt;
      if (!text) return Problem{&member, "." + name, "expected a text"};  // which is a secret, perhaps
      (name == "key" ? key : id) = *text;
    }
    if (id.empty() || key.empty())
      return Problem{&value, "", "`key_id` and `key` belong together; give both"};
    if (!is_base64_key(key))
      return Problem{value.find("key"), ".key",
                     "expected the key as the authority gave it, in Base64 for URLs"};
  }
  settings.acme.external_key_id = std::move(id);
  settings.acme.external_key = std::move(key);
  return std::nullopt;
}

Value write_external_account(const Settings& settings) {
  if (settings.acme.external_key_id.empty()) return Value::string("off");
  Value value = Value::object();
  value.set("key_id", Value::string(settings.acme.external_key_id));
  value.set("key", Value::string(settings.acme.external_key));
  return value;
}

}  // namespace moongate::config
