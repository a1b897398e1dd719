// SPDX-License-Identifier: Apache-2.0
// Walks the file by the table of rules, then makes what several keys decide together: listeners, the Admin
// API, who is believed about a client's address.
#include "config/apisix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/json.h"
#include "config/apisix_rules.h"
#include "config/setting_values.h"
#include "net/address.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr std::array<std::string_view, 4> kSections{"apisix", "nginx_config", "deployment", "discovery"};
constexpr std::array<std::string_view, 3> kOurs{"moongate", "routes", "include"};
constexpr double kMegabyte = 1048576;
constexpr int kDepthMax = 8;

/// The seconds of nginx's "1m", "60s", "500ms", or of a number.
std::optional<double> seconds_of(const Value& value) {
  if (value.is_number()) return value.as_number();
  if (!value.is_string()) return std::nullopt;
  std::string_view text = value.as_string();
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0 || digits > 9) return std::nullopt;
  const double count = std::stod(std::string(text.substr(0, digits)));
  text.remove_prefix(digits);
  constexpr std::array<std::pair<std::string_view, double>, 6> kUnits{
      {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"h", 3600}, {"d", 86400}}};
  for (const auto& [unit, seconds] : kUnits) {
    if (text == unit) return count * seconds;
  }
  return std::nullopt;
}

/// nginx's booleans are texts.
bool is_on(const Value* value, bool fallback) {
  if (value == nullptr || value->is_null()) return fallback;
  if (value->is_string()) return value->as_string() == "on" || value->as_string() == "true";
  return !value->is_bool() || value->as_bool();
}

bool matches(std::string_view pattern, std::string_view key) {
  const size_t star = pattern.find('*');
  if (star == pattern.npos) return pattern == key;
  const std::string_view end = pattern.substr(star + 1);
  return key.size() + 1 >= pattern.size() && key.starts_with(pattern.substr(0, star)) && key.ends_with(end);
}

const ApisixRule* find_rule(std::string_view key) {
  const auto rules = apisix_rules();
  const auto found = std::find_if(rules.begin(), rules.end(),
                                  [&](const ApisixRule& rule) { return matches(rule.key, key); });
  return found == rules.end() ? nullptr : &*found;
}

class Translator {
 public:
  Translator(const Value& root, const Places& places) : root_(root), findings_(places) {}

  DialectTranslation translate() {
    for (const auto& [key, value] : root_.members()) {
      if (key == "plugins" || key == "plugin_attr")
        out_.set(key, value);
      else
        walk(key, value, 0);
    }
    make_listeners();
    make_admin();
    make_pages();
    make_paths();
    make_access_log();
    make_body_limit();
    make_real_ip();
    make_trusted_certificate();
    make_health_checks();
    make_plugin_paths();
    make_store();
    DialectTranslation translation;
    translation.root.set("moongate", std::move(moongate_));
    for (auto& [key, value] : out_.members()) translation.root.set(key, std::move(value));
    translation.findings = findings_.take();
    return translation;
  }

 private:
  void lose(const Value& at, std::string_view key, std::string_view what) {
    findings_.add(DialectLoss::kLost, at, key, what);
  }

  void walk(const std::string& key, const Value& value, int depth) {
    if (value.is_null()) return;
    const ApisixRule* rule = find_rule(key);
    if (rule != nullptr) return apply(*rule, key, value);
    if (!value.is_object() || depth > kDepthMax)
      return lose(value, key, "unknown here; nothing stands for it");
    for (const auto& [name, member] : value.members()) walk(key + "." + name, member, depth + 1);
  }

  void apply(const ApisixRule& rule, const std::string& key, const Value& value) {
    const bool is_expected = !rule.expected.empty() && base::to_json(value) == rule.expected;
    switch (rule.form) {
      case ApisixForm::kSame:
        return set(rule.setting, value);
      case ApisixForm::kTime:
        if (const auto seconds = seconds_of(value)) return set(rule.setting, placed_number(*seconds, value));
        return findings_.refuse(value, key, "expected a time such as 60s, got " + describe_value(value));
      case ApisixForm::kNote:
        if (!is_expected) findings_.note(value, key, rule.text);
        return;
      case ApisixForm::kLost:
        if (!is_expected) lose(value, key, rule.text);
        return;
      case ApisixForm::kOwn:
      case ApisixForm::kIgnored:
        return;
    }
  }

  /// `setting` is "name" or "section.name".
  void set(std::string_view setting, Value value) {
    const size_t dot = setting.find('.');
    if (dot == setting.npos) {
      moongate_.set(std::string(setting), std::move(value));
      return;
    }
    const std::string section(setting.substr(0, dot));
    Value* found = moongate_.find(section);
    if (found == nullptr) found = &moongate_.set(section, placed(Value::object(), value));
    found->set(std::string(setting.substr(dot + 1)), std::move(value));
  }

  /// What "a.b.c" leads to, or null.
  const Value* find(std::string_view key) const {
    const Value* at = &root_;
    while (at != nullptr && !key.empty()) {
      const size_t dot = std::min(key.find('.'), key.size());
      at = at->is_object() ? at->find(key.substr(0, dot)) : nullptr;
      key.remove_prefix(std::min(dot + 1, key.size()));
    }
    return at == nullptr || at->is_null() ? nullptr : at;
  }

  bool is_on_at(std::string_view key, bool fallback) const { return is_on(find(key), fallback); }

  /// The place of the section, for what its keys together decide.
  const Value& place_of(std::string_view key) const {
    const Value* value = find(key);
    return value != nullptr ? *value : root_;
  }

  struct ListenOptions {
    bool is_tls = false;
    bool is_http2 = true;
    bool has_proxy_protocol = false;
  };

  void add_listener(const std::string& ip, const Value& port, const ListenOptions& options) {
    std::vector<std::string> hosts{ip.empty() ? "0.0.0.0" : ip};
    if (ip.empty() && is_on_at("apisix.enable_ipv6", true)) hosts.emplace_back("[::]");
    for (std::string& host : hosts) {
      host = net::bracketed(std::move(host));
      Value one = placed(Value::object(), port);
      one.set("address", placed_text(host + ":" + base::scalar_text(port), port));
      if (options.is_tls) one.set("tls", placed_flag(true, port));
      if (options.is_http2) one.set("http2", placed_flag(true, port));
      if (options.has_proxy_protocol) one.set("proxy_protocol", placed_flag(true, port));
      listeners_.items().push_back(std::move(one));
    }
  }

  /// A port, a list of ports, or of {ip, port, enable_http2}.
  void add_listeners(const std::string& key, const Value& written, ListenOptions options) {
    if (written.is_array()) {
      for (const Value& item : written.items()) add_listeners(key, item, options);
      return;
    }
    if (!written.is_object()) return add_listener("", written, options);
    const Value* port = written.find("port");
    if (port == nullptr) return findings_.refuse(written, key, "expected a port");
    options.is_http2 = is_on(written.find("enable_http2"), options.is_http2);
    if (is_on(written.find("enable_http3"), false))
      lose(written, key, "HTTP/3 is not in this version; the port is served with HTTP/2 and HTTP/1.1");
    add_listener(std::string(written.get_string("ip")), *port, options);
  }

  void make_listeners() {
    ListenOptions options;
    options.is_http2 = is_on_at("apisix.enable_http2", true);
    ListenOptions tls = options;
    tls.is_tls = true;
    const Value* plain = find("apisix.node_listen");
    add_listeners("apisix.node_listen", plain != nullptr ? *plain : placed_number(9080, place_of("apisix")),
                  options);
    if (is_on_at("apisix.ssl.enable", true)) {
      const Value* written = find("apisix.ssl.listen");
      add_listeners("apisix.ssl.listen",
                    written != nullptr ? *written : placed_number(9443, place_of("apisix")), tls);
    }
    options.has_proxy_protocol = tls.has_proxy_protocol = true;
    if (const Value* port = find("apisix.proxy_protocol.listen_http_port"))
      add_listeners("apisix.proxy_protocol.listen_http_port", *port, options);
    if (const Value* port = find("apisix.proxy_protocol.listen_https_port"))
      add_listeners("apisix.proxy_protocol.listen_https_port", *port, tls);
    moongate_.set("listen", std::move(listeners_));
  }

  /// {ip, port} with the parts that are left out.
  Value address_of(std::string_view key, const char* ip, double port) const {
    const Value* written = find(key);
    const Value& at = written != nullptr ? *written : root_;
    const Value* own_port = at.find("port");
    const bool has_port = written != nullptr && own_port != nullptr;
    std::string host(written != nullptr ? written->get_string("ip", ip) : ip);
    host = net::bracketed(std::move(host));
    return placed_text(
        host + ":" + (has_port ? base::scalar_text(*own_port) : base::to_json(Value::number(port))), at);
  }

  void make_admin() {
    const bool is_data_plane = find("deployment.role") != nullptr && find("deployment.role")->is_string() &&
                               find("deployment.role")->as_string() == "data_plane";
    if (is_data_plane || !is_on_at("apisix.enable_admin", true))
      return set("admin.listen", placed_text("off", place_of("deployment")));
    set("admin.listen", address_of("deployment.admin.admin_listen", "0.0.0.0", 9180));
    if (find("deployment.admin.allow_admin") == nullptr) {
      Value local = placed(Value::array(), place_of("deployment.admin"));
      local.items().push_back(placed_text("127.0.0.0/24", local));
      set("admin.allow_admin", std::move(local));
    }
    if (!is_on_at("deployment.admin.admin_key_required", true))
      lose(place_of("deployment.admin.admin_key_required"), "deployment.admin.admin_key_required",
           "the Admin API always asks for a key; without one in the file it makes one and keeps it in "
           "admin.key");
    make_admin_keys();
    make_admin_version();
    if (is_on_at("deployment.admin.https_admin", false))
      findings_.refuse(place_of("deployment.admin.https_admin"), "deployment.admin.https_admin",
                       "the Admin API speaks HTTP in clear; let it listen on 127.0.0.1 or unix:PATH, and put "
                       "a proxy with TLS before it");
    if (const Value* mtls = find("deployment.admin.admin_api_mtls"); mtls != nullptr && has_text(*mtls))
      findings_.refuse(*mtls, "deployment.admin.admin_api_mtls",
                       "the Admin API asks for no client certificates; put a proxy that does before it");
  }

  static bool has_text(const Value& value) {
    if (value.is_string()) return !value.as_string().empty();
    return value.is_object() && std::any_of(value.members().begin(), value.members().end(),
                                            [](const auto& member) { return has_text(member.second); });
  }

  /// An empty key means that one is to be made, which is what happens here when there is none.
  void make_admin_keys() {
    const Value* keys = find("deployment.admin.admin_key");
    if (keys == nullptr || !keys->is_array()) return;
    Value made = placed(Value::array(), *keys);
    for (const Value& key : keys->items()) {
      if (key.is_object() && key.get_string("key").empty())
        findings_.note(key, "deployment.admin.admin_key",
                       "the key is made at the first start and kept in admin.key");
      else
        made.items().push_back(key);
    }
    if (!made.items().empty()) set("admin.admin_key", std::move(made));
  }

  /// Whatever is not v3 is the version before it.
  void make_admin_version() {
    const Value* version = find("deployment.admin.admin_api_version");
    if (version == nullptr || version->is_null()) return;
    const bool is_v3 = version->is_string() && version->as_string() == "v3";
    set("admin.api_version", placed_text(is_v3 ? "v3" : "v2", *version));
  }

  void make_pages() {
    if (is_on_at("apisix.enable_control", true))
      set("control.listen", address_of("apisix.control", "127.0.0.1", 9090));
    const Value* prometheus = find("plugin_attr.prometheus");
    if (prometheus == nullptr || !prometheus->is_object()) return;
    if (!is_on(prometheus->find("enable_export_server"), true))
      set("metrics.listen", placed_text("off", *prometheus));
    else if (prometheus->find("export_addr") != nullptr)
      set("metrics.listen", address_of("plugin_attr.prometheus.export_addr", "127.0.0.1", 9091));
  }

  void make_paths() {
    constexpr std::string_view kServlet = "apisix.normalize_uri_like_servlet";
    constexpr std::string_view kSlash = "apisix.match_uri_encoded_slash";
    if (is_on_at(kServlet, false)) set("uri.path_parameters", placed_text("strip", place_of(kServlet)));
    if (is_on_at(kSlash, false)) set("uri.encoded_slash", placed_text("keep", place_of(kSlash)));
  }

  void make_access_log() {
    constexpr std::string_view kEnable = "nginx_config.http.enable_access_log";
    if (!is_on_at(kEnable, true)) return set("access_log.path", placed_text("off", place_of(kEnable)));
    if (const Value* path = find("nginx_config.http.access_log")) set("access_log.path", *path);
  }

  void make_body_limit() {
    constexpr std::string_view kKey = "nginx_config.http.client_max_body_size";
    const Value* written = find(kKey);
    if (written == nullptr) return;
    const auto bytes = parse_size(base::scalar_text(*written));
    if (!bytes)
      return findings_.refuse(*written, kKey, "expected a size such as 10m, got " + describe_value(*written));
    const double whole = std::ceil(static_cast<double>(*bytes) / kMegabyte);
    if (whole * kMegabyte != static_cast<double>(*bytes))
      findings_.note(*written, kKey, "rounded up to whole megabytes");
    set("client.body_max_mb", placed_number(whole, *written));
  }

  /// Only X-Forwarded-For tells of a client's address here, and only from those who are believed.
  void make_real_ip() {
    const Value* from = find("nginx_config.http.real_ip_from");
    const Value* header = find("nginx_config.http.real_ip_header");
    if (from == nullptr && header == nullptr) return;
    const bool is_forwarded_for =
        header != nullptr && header->is_string() && header->as_string() == "X-Forwarded-For";
    if (!is_forwarded_for)
      return lose(header != nullptr ? *header : *from, "nginx_config.http.real_ip_header",
                  "a client's address is taken from X-Forwarded-For or the PROXY protocol, and from no other "
                  "field; have those in front send it, and list them in moongate.trusted_addresses");
    if (!is_on_at("nginx_config.http.real_ip_recursive", false))
      findings_.note(*header, "nginx_config.http.real_ip_recursive",
                     "X-Forwarded-For is followed through all hops that are trusted, as with `on`");
    if (from == nullptr) return;
    if (find("apisix.trusted_addresses") == nullptr) return set("trusted_addresses", *from);
    findings_.note(*from, "nginx_config.http.real_ip_from", "apisix.trusted_addresses says who is trusted");
  }

  void make_trusted_certificate() {
    constexpr std::string_view kKey = "apisix.ssl.ssl_trusted_certificate";
    const Value* written = find(kKey);
    if (written == nullptr || !written->is_string() || written->as_string() == "system") return;
    if (written->as_string().find(',') != std::string::npos)
      return lose(*written, kKey, "one file is read; put all certificates into it");
    set("upstream.tls_trusted_certificate", *written);
  }

  void make_health_checks() {
    constexpr std::string_view kOff = "apisix.disable_upstream_healthcheck";
    if (is_on_at(kOff, false)) set("upstream.health_checks", placed_flag(false, place_of(kOff)));
  }

  /// "/path/?.lua;/other/?.lua"
  void make_plugin_paths() {
    constexpr std::string_view kKey = "apisix.extra_lua_path";
    const Value* written = find(kKey);
    if (written == nullptr || !written->is_string()) return;
    Value paths = placed(Value::array(), *written);
    for (std::string_view rest = written->as_string(); !rest.empty();) {
      const size_t end = std::min(rest.find(';'), rest.size());
      std::string_view path = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (path.empty() || path.ends_with("/?/init.lua")) continue;  // its folder is named for its ?.lua too
      if (path.ends_with("/?.lua"))
        paths.items().push_back(placed_text(std::string(path.substr(0, path.size() - 6)), *written));
      else
        lose(*written, kKey, "`" + std::string(path) + "`: only folders are searched; write FOLDER/?.lua");
    }
    if (!paths.items().empty()) set("plugin_paths", std::move(paths));
  }

  /// Resources are in files beside this one, or in an etcd that it names.
  void make_store() {
    const Value* role = find("deployment.role");
    const std::string name = role != nullptr && role->is_string() ? role->as_string() : "traditional";
    const std::string key = "deployment.role_" + name + ".config_provider";
    const Value* provider = find(key);
    const std::string text = provider != nullptr && provider->is_string() ? provider->as_string() : "etcd";
    if (text == "yaml" || text == "json") return;
    const Value* etcd = find("deployment.etcd");
    if (text == "etcd" && etcd != nullptr && etcd->is_object()) {
      Value own = *etcd;
      own.remove("startup_retry");  // there is no end to retries here
      return set("etcd", std::move(own));
    }
    lose(provider != nullptr ? *provider : place_of("deployment"), key,
         "what is in " + text +
             " is not in these files; name it under `deployment.etcd`, or bring it over as apisix.yaml");
  }

  const Value& root_;
  DialectFindings findings_;
  Value moongate_ = Value::object();
  Value listeners_ = Value::array();
  Value out_ = Value::object();
};

}  // namespace

bool is_apisix_file(const Value& root) {
  if (!root.is_object()) return false;
  const auto has = [&](std::string_view key) { return root.find(key) != nullptr; };
  return std::any_of(kSections.begin(), kSections.end(), has) &&
         std::none_of(kOurs.begin(), kOurs.end(), has);
}

DialectTranslation translate_apisix(const Value& root, const Places& places) {
  return Translator(root, places).translate();
}

bool has_end_flag(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  return text.ends_with("#END");
}

}  // namespace moongate::config
