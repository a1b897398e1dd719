// SPDX-License-Identifier: Apache-2.0
#include "config/etcd_values.h"

#include <algorithm>
#include <array>

#include "config/setting_values.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

constexpr size_t kHostsMax = 16;
constexpr size_t kPrefixMax = 256;

/// "http://HOST[:PORT]" without anything behind it; nothing when it is none.
std::optional<std::string> normalize_url(std::string_view text) {
  while (text.ends_with('/')) text.remove_suffix(1);
  const size_t scheme = text.find("://");
  if (scheme == text.npos) return std::nullopt;
  const std::string_view authority = text.substr(scheme + 3);
  const bool is_known = text.substr(0, scheme) == "http" || text.substr(0, scheme) == "https";
  if (!is_known || authority.empty() || authority.find_first_of("/?#@ ") != authority.npos)
    return std::nullopt;
  return normalize_text(text);
}

std::string* text_of(EtcdTls& tls, std::string_view name) {
  if (name == "cert") return &tls.cert;
  if (name == "key") return &tls.key;
  if (name == "trusted_certificate") return &tls.trusted_certificate;
  return name == "sni" ? &tls.sni : nullptr;
}

constexpr std::array<std::string_view, 5> kTlsKeys{"cert", "key", "trusted_certificate", "sni", "verify"};

/// APISIX says it twice: which role this is, and where that role's configuration comes from.
Result<void> check_role(const Value& deployment, const Value::Member& member, const Places& places) {
  const auto& [key, value] = member;
  if (key == "role") {
    if (value.is_string() && value.as_string() == "traditional") return {};
    return places.error(value, "deployment.role",
                        "every gateway is `traditional` here; for one whose Admin API is not to be called, "
                        "write `moongate: {admin: off}`");
  }
  const Value* provider = value.is_object() ? value.find("config_provider") : nullptr;
  const bool is_etcd = provider != nullptr && provider->is_string() && provider->as_string() == "etcd";
  if (is_etcd || (value.is_object() && value.members().empty())) return {};
  return places.error(value, "deployment." + key,
                      deployment.find("etcd") == nullptr
                          ? "only etcd is a config_provider here; leave `deployment` out to use this file"
                          : "`config_provider: etcd` is all that can stand here");
}

}  // namespace

std::optional<std::string> normalize_etcd_prefix(std::string_view text) {
  while (text.size() > 1 && text.ends_with('/')) text.remove_suffix(1);
  if (!text.starts_with('/') || text.size() < 2 || text.size() > kPrefixMax) return std::nullopt;
  return normalize_text(text);
}

std::optional<Problem> read_etcd_host(const Value& value, Settings& settings) {
  const bool is_off =
      (value.is_bool() && !value.as_bool()) || (value.is_string() && value.as_string() == "off");
  std::vector<std::string> hosts;
  const size_t count = is_off ? 0 : value.is_array() ? value.items().size() : 1;
  if (count > kHostsMax) return Problem{&value, "", "more than 16 addresses; name some of the members"};
  for (size_t i = 0; i < count; i++) {
    const Value& item = value.is_array() ? value.items()[i] : value;
    const auto url = item.is_string() ? normalize_url(item.as_string()) : std::nullopt;
    if (!url) {
      return Problem{&item, value.is_array() ? "[" + std::to_string(i) + "]" : "",
                     "expected a URL such as http://127.0.0.1:2379 or https://etcd.example:2379, got " +
                         describe_value(item)};
    }
    hosts.push_back(*url);
  }
  settings.etcd.host = std::move(hosts);
  return std::nullopt;
}

Value write_etcd_host(const Settings& settings) {
  if (!settings.etcd.is_used()) return Value::string("off");
  Value list = Value::array();
  for (const std::string& host : settings.etcd.host) list.items().push_back(Value::string(host));
  return list;
}

std::optional<Problem> read_etcd_tls(const Value& value, Settings& settings) {
  if (!value.is_object())
    return Problem{&value, "",
                   "expected {cert, key, trusted_certificate, sni, verify}, got " + describe_value(value)};
  EtcdTls tls;
  for (const auto& [name, member] : value.members()) {
    if (std::find(kTlsKeys.begin(), kTlsKeys.end(), name) == kTlsKeys.end())
      return Problem{&member, "", describe_unknown("key", name, kTlsKeys)};
    std::string* text = text_of(tls, name);
    const auto normal = member.is_string() ? normalize_text(member.as_string()) : std::nullopt;
    if (text == nullptr ? !member.is_bool() : !normal) {
      return Problem{&member, "." + name,
                     (text == nullptr ? "expected true or false, got " : "expected a text, got ") +
                         describe_value(member)};
    }
    if (text != nullptr)
      *text = *normal;
    else
      tls.verify = member.as_bool();
  }
  if (tls.cert.empty() != tls.key.empty())
    return Problem{&value, "", "`cert` and `key` belong together; give both"};
  settings.etcd.tls = std::move(tls);
  return std::nullopt;
}

Value write_etcd_tls(const Settings& settings) {
  EtcdTls tls = settings.etcd.tls;
  Value value = Value::object();
  for (const std::string_view name : kTlsKeys) {
    const std::string* text = text_of(tls, name);
    if (text == nullptr)
      value.set(std::string(name), Value::boolean(tls.verify));
    else if (!text->empty())
      value.set(std::string(name), Value::string(*text));
  }
  return value;
}

Result<void> take_deployment(Value& root, const Places& places) {
  const Value* found = root.find("deployment");
  if (found == nullptr) return {};
  const Value deployment = *found;
  root.remove("deployment");
  if (deployment.is_null()) return {};
  if (!deployment.is_object())
    return places.error(deployment, "deployment", "expected a mapping, got " + describe_value(deployment));
  for (const Value::Member& member : deployment.members()) {
    if (member.first == "etcd") continue;
    const bool is_role = member.first == "role" || member.first.starts_with("role_");
    if (!is_role)
      return places.error(member.second, "deployment." + member.first,
                          "belongs to APISIX's config.yaml; its settings go under `moongate:` here");
    if (auto checked = check_role(deployment, member, places); !checked) return checked;
  }
  const Value* etcd = deployment.find("etcd");
  if (etcd == nullptr) {
    return places.error(deployment, "deployment",
                        "`etcd` is missing; write `etcd: {host: [\"http://127.0.0.1:2379\"]}`");
  }
  if (!etcd->is_object() || etcd->find("host") == nullptr)
    return places.error(*etcd, "deployment.etcd",
                        "`host` is missing; write `host: [\"http://127.0.0.1:2379\"]`");
  Value* settings = root.find("moongate");
  if (settings == nullptr || settings->is_null()) settings = &root.set("moongate", Value::object());
  if (!settings->is_object()) return {};  // as the settings' own reader will say
  if (const Value* twice = settings->find("etcd"); twice != nullptr && !twice->is_null())
    return places.error(*etcd, "deployment.etcd", "stands under `moongate.etcd` as well; remove one");
  Value own = *etcd;
  own.remove("startup_retry");  // there is no end to retries here
  settings->set("etcd", std::move(own));
  return {};
}

}  // namespace moongate::config
