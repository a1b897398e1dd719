// SPDX-License-Identifier: Apache-2.0
#include "config/secret_reference.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/json.h"
#include "config/encrypted_fields.h"
#include "config/places.h"

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

constexpr std::string_view kEnvironment = "$env://";
constexpr std::string_view kManager = "$secret://";

bool has_prefix(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), text.begin(),
                                                    [](char a, char b) { return a == base::to_lower(b); });
}

Result<Value> find_member(const std::string& name, const std::string& key, const std::string& json) {
  const Result<Value> object = base::parse_json(json);
  if (!object || !object->is_object())
    return base::invalid("the environment variable " + name + " holds no JSON object, so it has no `" + key +
                         "`; write $env://" + name + " for all of it");
  const Value* member = object->find(key);
  if (member == nullptr || member->is_null())
    return base::invalid("the JSON object in the environment variable " + name + " has no `" + key + "`");
  return *member;
}

/// What is wrong with the form of a reference to a manager; empty when nothing is.
std::string describe_managed(std::string_view text) {
  const std::string_view rest = text.substr(kManager.size());
  const std::string quoted = "`" + std::string(text) + "`: ";
  const std::string_view manager = rest.substr(0, rest.find('/'));
  if (manager == "aws" || manager == "gcp")
    return quoted + "secrets of " + std::string(manager) +
           " are not supported in this version; keep them in Vault, or write $env://NAME";
  if (manager != "vault")
    return quoted + "there is no secret manager of that name; write $secret://vault/ID/PATH/KEY";
  const bool has_empty = rest.ends_with('/') || rest.find("//") != rest.npos;
  const bool has_dots = rest.find("/../") != rest.npos || rest.find("/./") != rest.npos;
  if (has_empty || has_dots || std::count(rest.begin(), rest.end(), '/') < 3)
    return quoted + "expected $secret://vault/ID/PATH/KEY";
  return "";
}

std::optional<ReferenceFault> under(std::string step, std::optional<ReferenceFault> fault) {
  if (fault) fault->path.insert(fault->path.begin(), std::move(step));
  return fault;
}

}  // namespace

bool is_reference(std::string_view text) {
  return text.starts_with('$') &&
         (has_prefix(text, kEnvironment) || text.starts_with(kManager) || text.starts_with(kEncryptedMark));
}

Result<Value> resolve_reference(std::string_view text, const Environment& environment) {
  if (text.starts_with(kEncryptedMark)) {
    const auto plain = Keyring::of_process().decrypt(text.substr(kEncryptedMark.size()));
    if (!plain)
      return base::invalid(
          "no key of data_encryption.keyring decrypts it; bring back the key it was stored under, or put it "
          "again");
    // APISIX encrypts references too. Not twice: nobody makes that.
    const bool is_again = is_reference(*plain) && !plain->starts_with(kEncryptedMark);
    return is_again && !plain->starts_with(kManager) ? resolve_reference(*plain, environment)
                                                     : Result<Value>(Value::string(*plain));
  }
  if (!has_prefix(text, kEnvironment))
    return base::invalid("`" + std::string(text) +
                         "`: only plugins can use secret managers; write $env://NAME, or ${NAME}");
  const std::string_view rest = text.substr(kEnvironment.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string name(rest.substr(0, slash));
  const std::string key(rest.substr(std::min(slash + 1, rest.size())));
  if (name.empty())
    return base::invalid("`" + std::string(text) +
                         "` names no variable; write $env://NAME or $env://NAME/KEY");
  const std::optional<std::string> value = environment(name);
  if (!value)
    return base::invalid("the environment variable " + name + " is not set; set it before the start");
  return key.empty() ? Result<Value>(Value::string(*value)) : find_member(name, key, *value);
}

std::string_view manager_of(std::string_view text) {
  if (!text.starts_with(kManager)) return {};
  text.remove_prefix(kManager.size());
  const size_t slash = text.find('/');
  return slash == text.npos ? text : text.substr(0, text.find('/', slash + 1));
}

std::optional<ReferenceFault> resolve_references(Value& value, const Environment& environment,
                                                 Managed managed) {
  if (value.is_string()) {
    if (!is_reference(value.as_string())) return std::nullopt;
    if (managed == Managed::kKept && value.as_string().starts_with(kManager)) {
      std::string fault = describe_managed(value.as_string());
      return fault.empty() ? std::nullopt : std::optional(ReferenceFault{{}, std::move(fault)});
    }
    Result<Value> resolved = resolve_reference(value.as_string(), environment);
    if (!resolved) return ReferenceFault{{}, resolved.error().detail};
    resolved->set_place(value.file(), value.line());
    value = resolved.take();
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.items().size(); ++i) {
      if (auto fault = under(std::to_string(i), resolve_references(value.items()[i], environment, managed)))
        return fault;
    }
  } else if (value.is_object()) {
    for (auto& [key, member] : value.members()) {
      if (auto fault = under(key, resolve_references(member, environment, managed))) return fault;
    }
  }
  return std::nullopt;
}

Result<std::string> resolve_json(const std::string& json) {
  // Nearly all confs have no `$` at the beginning of a text.
  if (json.find("\"$") == std::string::npos) return json;
  Result<Value> value = base::parse_json(json);
  if (!value) return value.error();
  const std::optional<ReferenceFault> fault = resolve_references(*value, process_environment());
  if (fault) return base::invalid(field_text("", fault->path) + ": " + fault->what);
  return base::to_json(*value, true);
}

}  // namespace moongate::config
