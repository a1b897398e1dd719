// SPDX-License-Identifier: Apache-2.0
#include "config/kong_model.h"

#include <algorithm>
#include <array>
#include <span>
#include <unordered_map>

#include "config/setting_values.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr size_t kDepthMax = 100;

constexpr std::array<std::string_view, 7> kCredentialLists{
    "keyauth_credentials",  "basicauth_credentials", "jwt_secrets",          "acls",
    "hmacauth_credentials", "oauth2_credentials",    "mtls_auth_credentials"};

constexpr std::array<std::string_view, 13> kTopKeys{
    "services", "routes",       "upstreams",           "targets",     "consumers",
    "plugins",  "certificates", "keyauth_credentials", "jwt_secrets", "basicauth_credentials",
    "acls",     "snis",         "hmacauth_credentials"};

// Without these the rest would do something else.
constexpr std::array<std::string_view, 3> kForeignKeys{"consumer_groups", "consumer_group_plugins",
                                                       "partials"};

// The rest works without these; what refers to them says so itself, and credentials are left out.
constexpr std::array<std::string_view, 13> kIdleKeys{
    "ca_certificates",       "vaults",     "keys",       "key_sets",   "oauth2_credentials",
    "oauth2_tokens",         "licenses",   "rbac_roles", "rbac_users", "event_hooks",
    "mtls_auth_credentials", "parameters", "workspaces"};

bool is_in(std::span<const std::string_view> keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

/// Exports write null where nothing is.
bool is_absent(const KongItem& item, std::string_view key) {
  const Value* value = item.body->find(key);
  return value == nullptr || value->is_null();
}

/// Entities by name and by id, to resolve references.
class Names {
 public:
  /// Refuses a name that is taken.
  void add(const KongItem& item, std::string_view name_key, size_t index, KongFindings& findings) {
    if (name_key != "id") add_one(item, name_key, index, findings);
    add_one(item, "id", index, findings);
  }
  std::optional<size_t> find(const std::string& name) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return std::nullopt;
    return found->second;
  }

 private:
  void add_one(const KongItem& item, std::string_view key, size_t index, KongFindings& findings) {
    const Value* name = item.body->find(key);
    if (name == nullptr || !name->is_string()) return;
    if (!by_name_.emplace(name->as_string(), index).second)
      findings.refuse(*name, item.path(key), "`" + name->as_string() + "` is taken; give each its own");
  }

  std::unordered_map<std::string, size_t> by_name_;
};

class ModelReader {
 public:
  ModelReader(const Value& root, KongFindings& findings) : root_(root), findings_(findings) {}

  KongModel read() {
    check_top();
    each("services", [&](const KongItem& item) { add_service(item); });
    each("routes", [&](const KongItem& item) { add_route(item, reference(item, "service", services_)); });
    each("upstreams", [&](const KongItem& item) { add_upstream(item); });
    each("targets", [&](const KongItem& item) { add_target(item); });
    each("consumers", [&](const KongItem& item) { add_consumer(item); });
    for (const std::string_view list : kCredentialLists)
      each(list, [&](const KongItem& item) { add_credential(list, item); });
    if (!root_.get_bool("_transform", true)) leave_hashed_passwords();
    each("certificates", [&](const KongItem& item) { add_certificate(item); });
    each("snis", [&](const KongItem& item) { add_sni(item); });
    each("plugins", [&](const KongItem& item) { add_plugin(item); });
    return std::move(model_);
  }

 private:
  void check_top() {
    const KongItem top{&root_, "top level"};
    const Value* version = root_.find("_format_version");
    const std::string text = version != nullptr && version->is_string() ? version->as_string() : "";
    model_.has_old_paths = text == "1.1" || text == "2.1";
    if (version != nullptr && text != "3.0" && !model_.has_old_paths)
      findings_.refuse(*version, "_format_version",
                       "expected \"3.0\", \"2.1\" or \"1.1\", got " + describe_value(*version));
    refuse_references(root_, 0);
    for (const auto& [key, value] : root_.members()) {
      const bool is_empty = value.is_null() || (value.is_array() && value.items().empty());
      if (is_empty) continue;
      if (is_in(kForeignKeys, key)) findings_.refuse(value, key, "is not served; remove it from the file");
      if (is_in(kIdleKeys, key)) findings_.add(KongLoss::kLost, value, key, "is not served, and left out");
    }
    std::vector<std::string_view> known(kTopKeys.begin(), kTopKeys.end());
    known.insert(known.end(), kForeignKeys.begin(), kForeignKeys.end());
    known.insert(known.end(), kIdleKeys.begin(), kIdleKeys.end());
    KongReader(top, findings_).check_keys(known);
  }

  /// Nobody can log in with what is left out.
  void leave_hashed_passwords() {
    for (KongConsumer& consumer : model_.consumers) {
      std::erase_if(consumer.credentials, [&](const KongCredential& credential) {
        if (credential.list != "basicauth_credentials") return false;
        findings_.add(KongLoss::kLost, *credential.item.body, credential.item.path("password"),
                      "is left out: with `_transform: false` it is hashed, which is not served; give it as "
                      "it is");
        return true;
      });
    }
  }

  /// A reference taken for its text would make a secret that anybody can guess.
  void refuse_references(const Value& value, size_t depth) {
    if (depth > kDepthMax) return findings_.refuse(value, "", "nested too deeply");
    const std::string_view text =
        value.is_string() ? std::string_view(value.as_string()) : std::string_view();
    if (text.starts_with("{vault://") || text.find("${{ env ") != text.npos)
      findings_.refuse(
          value, "", "vaults and decK's variables are not served; write ${NAME} for an environment variable");
    if (value.is_array()) {
      for (const Value& item : value.items()) refuse_references(item, depth + 1);
    } else if (value.is_object()) {
      for (const auto& [key, member] : value.members()) refuse_references(member, depth + 1);
    }
  }

  template <class Visit>
  void each(std::string_view list, Visit visit) {
    visit_kong_list(root_.find(list), std::string(list), findings_, visit);
  }
  template <class Visit>
  void each_in(const KongItem& parent, std::string_view list, Visit visit) {
    visit_kong_list(parent.body->find(list), parent.path(list), findings_, visit);
  }

  /// What `key` of the item refers to: by a name, or by {name: ...} or {id: ...}.
  std::optional<size_t> reference(const KongItem& item, std::string_view key, const Names& names) {
    const Value* at = item.body->find(key);
    if (at == nullptr || at->is_null()) return std::nullopt;
    const Value* name = at;
    for (const std::string_view by : {"name", "username", "id"}) {
      if (at->is_object() && at->find(by) != nullptr) name = at->find(by);
    }
    std::optional<size_t> found;
    if (name->is_string()) found = names.find(name->as_string());
    if (!found)
      findings_.refuse(*at, item.path(key),
                       name->is_string() ? "there is no such entity in this file: `" + name->as_string() + "`"
                                         : "expected a name, got " + describe_value(*name));
    return found;
  }

  static std::string name_of(const KongItem& item, std::string_view key, const std::string& fallback) {
    for (const std::string_view by : {key, std::string_view("id")}) {
      const std::string_view name = item.body->get_string(by);
      if (!name.empty()) return std::string(name);
    }
    return fallback;
  }

  void add_service(const KongItem& item) {
    const size_t index = model_.services.size();
    services_.add(item, "name", index, findings_);
    const std::string id = kong_id(name_of(item, "name", "service-" + std::to_string(index + 1)));
    model_.services.push_back({item, id, {}});
    each_in(item, "plugins", [&](const KongItem& plugin) {
      if (is_alone(plugin, {"service"})) model_.services[index].plugins.push_back(plugin);
    });
    each_in(item, "routes", [&](const KongItem& route) { add_route(route, index); });
  }

  void add_route(const KongItem& item, std::optional<size_t> service) {
    const Value* named = item.body->find("service");
    if (named != nullptr && !named->is_null() && !service) return;  // its service is not there
    const size_t index = model_.routes.size();
    routes_.add(item, "name", index, findings_);
    const std::string parent = service ? model_.services[*service].id + ".route-" : "route-";
    const std::string id = kong_id(name_of(item, "name", parent + std::to_string(index + 1)));
    model_.routes.push_back({item, id, service, {}});
    each_in(item, "plugins", [&](const KongItem& plugin) {
      if (is_alone(plugin, {"route"})) model_.routes[index].plugins.push_back(plugin);
    });
  }

  void add_upstream(const KongItem& item) {
    const std::string name = KongReader(item, findings_).text("name");
    if (name.empty())
      findings_.refuse(*item.body, item.path("name"), "missing; services name it as their host");
    upstreams_.add(item, "name", model_.upstreams.size(), findings_);
    KongUpstream upstream{item, name, {}};
    each_in(item, "targets", [&](const KongItem& target) { upstream.targets.push_back(target); });
    model_.upstreams.push_back(std::move(upstream));
  }

  void add_target(const KongItem& item) {
    if (const auto upstream = reference(item, "upstream", upstreams_))
      model_.upstreams[*upstream].targets.push_back(item);
    else if (item.body->find("upstream") == nullptr)
      findings_.refuse(*item.body, item.path("upstream"), "missing; name the upstream it belongs to");
  }

  void add_consumer(const KongItem& item) {
    const size_t index = model_.consumers.size();
    consumers_.add(item, "username", index, findings_);
    const std::string username = name_of(item, "username", std::string(item.body->get_string("custom_id")));
    if (username.empty())
      return findings_.refuse(*item.body, item.path("username"), "missing; it names the consumer");
    model_.consumers.push_back({item, username, {}, {}});
    for (const std::string_view list : kCredentialLists) {
      each_in(item, list, [&](const KongItem& credential) {
        model_.consumers[index].credentials.push_back({list, credential});
      });
    }
    each_in(item, "plugins", [&](const KongItem& plugin) {
      if (is_alone(plugin, {"consumer"})) model_.consumers[index].plugins.push_back(plugin);
    });
  }

  void add_certificate(const KongItem& item) {
    certificates_.add(item, "id", model_.certificates.size(), findings_);
    model_.certificates.push_back({item, {}});
  }

  void add_sni(const KongItem& item) {
    if (const auto certificate = reference(item, "certificate", certificates_))
      model_.certificates[*certificate].snis.push_back(item);
    else if (is_absent(item, "certificate"))
      findings_.refuse(*item.body, item.path("certificate"), "missing; name the certificate it belongs to");
  }

  void add_credential(std::string_view list, const KongItem& item) {
    if (const auto consumer = reference(item, "consumer", consumers_))
      model_.consumers[*consumer].credentials.push_back({list, item});
    else if (is_absent(item, "consumer"))
      findings_.refuse(*item.body, item.path("consumer"), "missing; name the consumer it belongs to");
  }

  /// Refuses a plugin that is bound to more than what it is nested in (or, at the top, to two things at
  /// once).
  bool is_alone(const KongItem& plugin, std::initializer_list<std::string_view> own) {
    for (const std::string_view key : {"service", "route", "consumer", "consumer_group"}) {
      const Value* bound = plugin.body->find(key);
      if (bound == nullptr || bound->is_null() || std::find(own.begin(), own.end(), key) != own.end())
        continue;
      findings_.refuse(
          *bound, plugin.path(key),
          "a plugin for a combination of these is not served; bind it to one of service, route or "
          "consumer");
      return false;
    }
    return true;
  }

  void add_plugin(const KongItem& item) {
    const auto has = [&](std::string_view key) {
      const Value* bound = item.body->find(key);
      return bound != nullptr && !bound->is_null();
    };
    if (has("service")) {
      const auto service = reference(item, "service", services_);
      if (is_alone(item, {"service"}) && service) model_.services[*service].plugins.push_back(item);
    } else if (has("route")) {
      const auto route = reference(item, "route", routes_);
      if (is_alone(item, {"route"}) && route) model_.routes[*route].plugins.push_back(item);
    } else if (has("consumer")) {
      const auto consumer = reference(item, "consumer", consumers_);
      if (is_alone(item, {"consumer"}) && consumer) model_.consumers[*consumer].plugins.push_back(item);
    } else if (is_alone(item, {})) {
      model_.plugins.push_back(item);
    }
  }

  const Value& root_;
  KongFindings& findings_;
  KongModel model_;
  Names services_;
  Names routes_;
  Names upstreams_;
  Names consumers_;
  Names certificates_;
};

}  // namespace

KongModel read_kong_model(const Value& root, KongFindings& findings) {
  return ModelReader(root, findings).read();
}

}  // namespace moongate::config
