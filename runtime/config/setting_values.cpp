// SPDX-License-Identifier: Apache-2.0
#include "config/setting_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/ascii.h"
#include "base/json.h"
#include "config/suggest.h"
#include "tls/cipher.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr size_t kShownMax = 60;
constexpr size_t kUnixPathMax = 107;
constexpr size_t kTextMax = 4096;
constexpr size_t kListenMax = 256;
constexpr size_t kAdminKeysMax = 100;
constexpr size_t kAdminKeyMin = 16;
constexpr size_t kHostsMax = 10'000;
constexpr size_t kDictsMax = 256;
constexpr uint32_t kWorkersMax = 256;
constexpr uint64_t kDictMin = 4096;
constexpr uint64_t kDictMax = uint64_t{64} << 30;

std::optional<uint32_t> parse_digits(std::string_view text, uint32_t max) {
  uint32_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || number > max)
    return std::nullopt;
  return number;
}

bool is_ipv4(std::string_view text) {
  in_addr address;
  return ::inet_pton(AF_INET, std::string(text).c_str(), &address) == 1;
}

bool is_ipv6(std::string_view text) {
  in6_addr address;
  return ::inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

bool is_printable(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

struct HostPort {
  std::string host;  // with brackets when it is IPv6
  std::optional<uint32_t> port;
};

// "1.2.3.4", "1.2.3.4:5", "::1", "[::1]" or "[::1]:5".
std::optional<HostPort> split_address(std::string_view text) {
  if (is_ipv6(text)) return HostPort{"[" + std::string(text) + "]", std::nullopt};
  const bool is_bracketed = text.starts_with('[');
  const size_t host_end = is_bracketed ? text.find(']') + 1 : std::min(text.find(':'), text.size());
  if (is_bracketed && host_end == 0) return std::nullopt;
  const std::string_view host = text.substr(0, host_end);
  const bool is_address = is_bracketed ? is_ipv6(host.substr(1, host.size() - 2)) : is_ipv4(host);
  if (!is_address) return std::nullopt;
  if (host_end == text.size()) return HostPort{std::string(host), std::nullopt};
  if (text[host_end] != ':') return std::nullopt;
  const auto port = parse_digits(text.substr(host_end + 1), 65535);
  if (!port) return std::nullopt;
  return HostPort{std::string(host), port};
}

std::string index_text(size_t index) { return "[" + std::to_string(index) + "]"; }

constexpr std::string_view kAddressForms = "a port, \"ADDRESS:PORT\" with an IP address, or \"unix:PATH\"";

// The address written as a number or a text.
std::optional<std::string> read_address(const Value& value) {
  if (value.is_string()) return normalize_listen_address(value.as_string());
  if (!value.is_number()) return std::nullopt;
  return normalize_listen_address(base::to_json(value));
}

/// APISIX shipped these two, and who knows them owns every gateway that kept them.
bool is_well_known_key(std::string_view key) {
  return key == "edd1c9f034335f136f87ad84b625c8f1" || key == "4054f7cf07e344346cd3f287985e76a2";
}

std::optional<Problem> read_admin_key(const Value& value, const std::string& part, AdminKey* key) {
  if (!value.is_object())
    return Problem{&value, part, "expected {name, key, role}, got " + describe_value(value)};
  static constexpr std::array<std::string_view, 3> kKeys{"name", "key", "role"};
  for (const Value::Member& member : value.members()) {
    if (std::find(kKeys.begin(), kKeys.end(), member.first) == kKeys.end())
      return Problem{&member.second, part, describe_unknown("key", member.first, kKeys)};
    if (!member.second.is_string())
      return Problem{&member.second, part + "." + member.first,
                     "expected a text, got " + describe_value(member.second)};
  }
  key->name = value.get_string("name");
  key->key = value.get_string("key");
  const std::string_view role = value.get_string("role", "admin");
  if (role != "admin" && role != "viewer")
    return Problem{value.find("role"), part + ".role", "expected admin or viewer, got " + std::string(role)};
  key->is_viewer = role == "viewer";
  if (key->key.size() < kAdminKeyMin)
    return Problem{
        &value, part + ".key",
        "shorter than 16 characters; write a long random text, or leave admin_key out and one is made"};
  if (is_well_known_key(key->key))
    return Problem{&value, part + ".key",
                   "is the one that APISIX shipped and everybody knows; write another"};
  return std::nullopt;
}

std::optional<Problem> check_http3(const Value& value, const std::string& part,
                                   const ListenSettings& listener) {
  const Value* place = value.find("http3");
#if !MOONGATE_HTTP3
  return Problem{place, part + ".http3", "this build does not speak HTTP/3; leave this out"};
#endif
  if (!listener.tls) return Problem{place, part + ".http3", "HTTP/3 is always encrypted; add `tls: true`"};
  if (listener.address.starts_with("unix:"))
    return Problem{place, part + ".http3", "HTTP/3 needs an IP address, and not a unix socket"};
  if (listener.proxy_protocol)
    return Problem{place, part + ".http3", "PROXY protocol is not spoken with datagrams; list two addresses"};
  return std::nullopt;
}

std::optional<Problem> read_listener(const Value& value, const std::string& part, ListenSettings* listener) {
  const Value* address = value.is_object() ? value.find("address") : &value;
  if (address == nullptr)
    return Problem{&value, part, "`address` is missing; give " + std::string(kAddressForms)};
  const auto normal = read_address(*address);
  if (!normal) {
    return Problem{address, part,
                   "expected " + std::string(kAddressForms) + ", got " + describe_value(*address)};
  }
  listener->address = *normal;
  if (!value.is_object()) return std::nullopt;
  static constexpr std::array<std::string_view, 6> kKeys{"address", "tls",   "http1",
                                                         "http2",   "http3", "proxy_protocol"};
  for (const Value::Member& member : value.members()) {
    if (std::find(kKeys.begin(), kKeys.end(), member.first) == kKeys.end()) {
      return Problem{&member.second, part, describe_unknown("key", member.first, kKeys)};
    }
    if (member.first == "address") continue;
    if (!member.second.is_bool()) {
      return Problem{&member.second, part + "." + member.first,
                     "expected true or false, got " + describe_value(member.second)};
    }
    const bool truth = member.second.as_bool();
    (member.first == "tls"     ? listener->tls
     : member.first == "http1" ? listener->http1
     : member.first == "http2" ? listener->http2
     : member.first == "http3" ? listener->http3
                               : listener->proxy_protocol) = truth;
  }
  if (listener->http3) {
    if (auto problem = check_http3(value, part, *listener)) return problem;
  }
  if (listener->http1 || listener->http2) return std::nullopt;
  return Problem{value.find("http1"), part + ".http1",
                 "without HTTP/1.1 nothing is spoken here; add `http2: true`, or leave this out"};
}

bool is_host_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string_view::npos;
}

}  // namespace

bool is_off(const Value& value) {
  return (value.is_bool() && !value.as_bool()) || (value.is_string() && value.as_string() == "off");
}

std::string describe_value(const Value& value) {
  switch (value.type()) {
    case Value::Type::kNull:
      return "nothing";
    case Value::Type::kArray:
      return "a list";
    case Value::Type::kObject:
      return "a mapping";
    case Value::Type::kString:
      break;
    default:
      return base::to_json(value);
  }
  const std::string& text = value.as_string();
  return text.size() <= kShownMax ? base::to_json(value)
                                  : base::to_json(Value::string(text.substr(0, kShownMax))) + "...";
}

std::optional<uint64_t> parse_size(std::string_view text) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc()) return std::nullopt;
  const std::string unit = base::lower_case(std::string(parsed.ptr, end));
  unsigned shift = 0;
  if (unit == "k" || unit == "kb") {
    shift = 10;
  } else if (unit == "m" || unit == "mb") {
    shift = 20;
  } else if (unit == "g" || unit == "gb") {
    shift = 30;
  } else if (!unit.empty()) {
    return std::nullopt;
  }
  if (number > (UINT64_MAX >> shift)) return std::nullopt;
  return number << shift;
}

std::string size_text(uint64_t bytes) {
  if (bytes >= 1048576 && bytes % 1048576 == 0) return std::to_string(bytes / 1048576) + "m";
  if (bytes >= 1024 && bytes % 1024 == 0) return std::to_string(bytes / 1024) + "k";
  return std::to_string(bytes);
}

std::optional<std::string> normalize_listen_address(std::string_view text) {
  if (text.starts_with("unix:")) {
    const std::string_view path = text.substr(5);
    if (path.empty() || path.size() > kUnixPathMax || !is_printable(path)) return std::nullopt;
    return std::string(text);
  }
  if (text.starts_with("*:")) text.remove_prefix(2);
  if (const auto port = parse_digits(text, 65535)) return "0.0.0.0:" + std::to_string(*port);
  const auto parts = split_address(text);
  if (!parts || !parts->port) return std::nullopt;
  return parts->host + ":" + std::to_string(*parts->port);
}

std::optional<std::string> normalize_network(std::string_view text) {
  if (text == "unix:") return std::string(text);
  const size_t slash = text.find('/');
  const std::string_view address = text.substr(0, slash);
  const uint32_t bits_max = is_ipv4(address) ? 32 : is_ipv6(address) ? 128 : 0;
  if (bits_max == 0) return std::nullopt;
  if (slash != text.npos && !parse_digits(text.substr(slash + 1), bits_max)) return std::nullopt;
  return std::string(text);
}

std::optional<std::string> normalize_dns_server(std::string_view text) {
  const auto parts = split_address(text);
  if (!parts || parts->port == 0u) return std::nullopt;
  return parts->port ? parts->host + ":" + std::to_string(*parts->port) : std::string(text);
}

std::optional<std::string> normalize_text(std::string_view text) {
  if (text.empty() || text.size() > kTextMax || !is_printable(text)) return std::nullopt;
  return std::string(text);
}

std::optional<std::string> normalize_cipher_key(std::string_view text) {
  return tls::is_cipher_key(text) ? std::optional<std::string>(text) : std::nullopt;
}

std::optional<std::string> normalize_log_format(std::string_view text) {
  const bool is_known = text == "combined" || text == "json" || text.find('$') != text.npos;
  return is_known ? normalize_text(text) : std::nullopt;
}

std::optional<Problem> read_workers(const Value& value, Settings& settings) {
  if (value.is_string() && value.as_string() == "auto") {
    settings.workers.reset();
    return std::nullopt;
  }
  const double number = value.is_number() ? value.as_number() : -1;
  if (number < 0 || number > kWorkersMax || std::trunc(number) != number) {
    return Problem{&value, "", "expected auto or a whole number from 0 to 256, got " + describe_value(value)};
  }
  settings.workers = static_cast<uint32_t>(number);
  return std::nullopt;
}

Value write_workers(const Settings& settings) {
  return settings.workers ? Value::number(*settings.workers) : Value::string("auto");
}

std::optional<Problem> read_listen(const Value& value, Settings& settings) {
  std::vector<ListenSettings> listeners;
  const size_t count = value.is_array() ? value.items().size() : 1;
  if (count == 0 || count > kListenMax)
    return Problem{&value, "", "expected 1 to 256 addresses to listen on"};
  for (size_t i = 0; i < count; ++i) {
    const Value& item = value.is_array() ? value.items()[i] : value;
    const std::string part = value.is_array() ? index_text(i) : "";
    ListenSettings listener;
    if (auto problem = read_listener(item, part, &listener)) return problem;
    const bool is_taken = std::any_of(listeners.begin(), listeners.end(),
                                      [&](const auto& other) { return other.address == listener.address; });
    if (is_taken && !listener.address.ends_with(":0")) {
      return Problem{&item, part, "the address " + listener.address + " is listed twice; remove one"};
    }
    listeners.push_back(std::move(listener));
  }
  settings.listen = std::move(listeners);
  return std::nullopt;
}

Value write_listen(const Settings& settings) {
  Value list = Value::array();
  for (const ListenSettings& listener : settings.listen) {
    Value item = Value::object();
    item.set("address", Value::string(listener.address));
    item.set("tls", Value::boolean(listener.tls));
    item.set("http1", Value::boolean(listener.http1));
    item.set("http2", Value::boolean(listener.http2));
    item.set("http3", Value::boolean(listener.http3));
    item.set("proxy_protocol", Value::boolean(listener.proxy_protocol));
    list.items().push_back(std::move(item));
  }
  return list;
}

std::optional<std::string> normalize_admin_key(std::string_view text) {
  return is_well_known_key(text) ? std::nullopt : normalize_text(text);
}

std::optional<Problem> read_admin_keys(const Value& value, Settings& settings) {
  if (!value.is_array() || value.items().size() > kAdminKeysMax)
    return Problem{&value, "", "expected at most 100 of {name, key, role}, got " + describe_value(value)};
  std::vector<AdminKey> keys;
  for (size_t i = 0; i < value.items().size(); ++i) {
    AdminKey key;
    if (auto problem = read_admin_key(value.items()[i], index_text(i), &key)) return problem;
    keys.push_back(std::move(key));
  }
  settings.admin.admin_key = std::move(keys);
  return std::nullopt;
}

Value write_admin_keys(const Settings& settings) {
  Value list = Value::array();
  for (const AdminKey& key : settings.admin.admin_key) {
    Value item = Value::object();
    item.set("name", Value::string(key.name));
    item.set("key", Value::string(key.key));
    item.set("role", Value::string(key.is_viewer ? "viewer" : "admin"));
    list.items().push_back(std::move(item));
  }
  return list;
}

std::optional<Problem> read_hosts(const Value& value, Settings& settings) {
  if (!value.is_object())
    return Problem{&value, "", "expected a mapping of names to addresses, got " + describe_value(value)};
  if (value.members().size() > kHostsMax)
    return Problem{&value, "", "more than 10000 names; use a DNS server"};
  std::map<std::string, std::string> hosts;
  for (const Value::Member& member : value.members()) {
    const std::string name = base::lower_case(member.first);
    const std::string part = "." + member.first;
    if (!is_host_name(name))
      return Problem{&member.second, part, "not a host name; use letters, digits, `-`, `_` and dots"};
    const std::string target = member.second.is_string() ? base::lower_case(member.second.as_string()) : "";
    if (!is_ipv4(target) && !is_ipv6(target) && !is_host_name(target)) {
      return Problem{&member.second, part,
                     "expected an IP address or another name, got " + describe_value(member.second)};
    }
    hosts[name] = target;
  }
  settings.dns.hosts = std::move(hosts);
  return std::nullopt;
}

Value write_hosts(const Settings& settings) {
  Value hosts = Value::object();
  for (const auto& [name, target] : settings.dns.hosts)
    hosts.members().emplace_back(name, Value::string(target));
  return hosts;
}

std::optional<Problem> read_dicts(const Value& value, Settings& settings) {
  if (!value.is_object())
    return Problem{&value, "", "expected a mapping of names to sizes, got " + describe_value(value)};
  if (value.members().size() > kDictsMax)
    return Problem{&value, "", "more than 256 dictionaries; share some"};
  std::map<std::string, uint64_t> dicts;
  for (const Value::Member& member : value.members()) {
    const Value& written = member.second;
    const std::string part = "." + member.first;
    if (!is_host_name(base::lower_case(member.first))) {
      return Problem{&written, part, "not a name; use letters, digits, `-`, `_` and dots"};
    }
    const bool is_text = written.is_string() || written.is_number();
    const auto size = is_text ? parse_size(base::scalar_text(written)) : std::nullopt;
    if (!size || *size < kDictMin || *size > kDictMax) {
      return Problem{&written, part,
                     "expected a size from 4k to 64g, such as 1m, got " + describe_value(written)};
    }
    dicts[member.first] = *size;
  }
  settings.shared_memory.dicts = std::move(dicts);
  return std::nullopt;
}

Value write_dicts(const Settings& settings) {
  Value dicts = Value::object();
  for (const auto& [name, bytes] : settings.shared_memory.dicts) {
    dicts.members().emplace_back(name, Value::string(size_text(bytes)));
  }
  return dicts;
}

}  // namespace moongate::config
