// SPDX-License-Identifier: Apache-2.0
#include "config/kong_consumers.h"

#include <algorithm>
#include <array>

#include "base/json.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr std::array<std::string_view, 14> kConsumerKeys{"id",
                                                         "username",
                                                         "custom_id",
                                                         "tags",
                                                         "plugins",
                                                         "keyauth_credentials",
                                                         "basicauth_credentials",
                                                         "acls",
                                                         "jwt_secrets",
                                                         "groups",
                                                         "type",
                                                         "hmacauth_credentials",
                                                         "oauth2_credentials",
                                                         "mtls_auth_credentials"};
constexpr std::array<std::string_view, 9> kCredentialKeys{"id",       "consumer", "tags",   "key",      "ttl",
                                                          "username", "password", "secret", "algorithm"};

/// Copies a field that a credential must have; Kong would make one up, which nobody could know.
void copy_required(const KongReader& reader, const KongItem& item, std::string_view key, Value* conf) {
  const std::string text = reader.text(key);
  if (text.empty()) return reader.refuse(key, "missing; a file has to say it");
  conf->set(std::string(key), placed_text(text, *item.body->find(key)));
}

void make_jwt_conf(const KongReader& reader, const KongItem& item, const KongPluginFacts& facts,
                   Value* conf) {
  copy_required(reader, item, "key", conf);
  const std::string algorithm = reader.text("algorithm", "HS256");
  conf->set("algorithm", placed_text(algorithm, *item.body));
  if (algorithm.starts_with("HS")) {
    copy_required(reader, item, "secret", conf);
    if (facts.has_base64_secrets) conf->set("base64_secret", placed_flag(true, *item.body));
  } else if (const Value* key = reader.find("rsa_public_key")) {
    conf->set("public_key", placed(*key, *key));
  } else {
    reader.refuse("rsa_public_key", "missing; give the public key in PEM form");
  }
}

void check_credential_keys(const KongReader& reader) {
  std::vector<std::string_view> known(kCredentialKeys.begin(), kCredentialKeys.end());
  known.push_back("rsa_public_key");
  reader.check_keys(known);
}

/// Why a credential is left out, so that nobody can use it; empty: it is not.
std::string_view reason_to_leave(const KongCredential& credential) {
  constexpr std::array<std::string_view, 3> kServed{"keyauth_credentials", "basicauth_credentials",
                                                    "jwt_secrets"};
  if (std::find(kServed.begin(), kServed.end(), credential.list) == kServed.end())
    return "is left out: credentials of this kind are not served";
  const Value* ttl = credential.item.body->find("ttl");
  if (ttl != nullptr && !ttl->is_null() && !(*ttl == Value::number(0)))
    return "is left out: it would never end, since `ttl` is not served";
  return {};
}

class ConsumerMaker {
 public:
  ConsumerMaker(const KongPluginFacts& facts, KongFindings& findings) : facts_(facts), findings_(findings) {}

  Value make(const KongConsumer& consumer, Value plugins) {
    const KongItem& item = consumer.item;
    const KongReader reader(item, findings_);
    reader.check_keys(kConsumerKeys);
    constexpr std::array<std::string_view, 1> kGroups{"groups"};
    reader.refuse_keys(kGroups, "groups of consumers are not served; give each consumer its plugins");
    Value made = placed(Value::object(), *item.body);
    made.set("username", placed_text(consumer.username, *item.body));
    copy_kong_tags(item, findings_, &made);
    const Value* custom_id = reader.find("custom_id");
    if (custom_id != nullptr) add_label("custom_id", *custom_id, &made);
    if (Value groups = groups_of(consumer); !groups.items().empty())
      add_label("acl_groups", placed_text(base::to_json(groups), groups.items().front()), &made);
    if (!plugins.members().empty()) made.set("plugins", std::move(plugins));
    return made;
  }

  /// Null for what is no credential.
  Value make_credential(const KongConsumer& consumer, const KongCredential& credential, size_t number) {
    if (credential.list == "acls") return Value();
    const KongItem& item = credential.item;
    if (const std::string_view reason = reason_to_leave(credential); !reason.empty()) {
      findings_.add(KongLoss::kLost, *item.body, item.where, reason);
      return Value();
    }
    const KongReader reader(item, findings_);
    check_credential_keys(reader);
    Value conf = placed(Value::object(), *item.body);
    std::string_view plugin;
    if (credential.list == "keyauth_credentials") {
      plugin = "key-auth";
      copy_required(reader, item, "key", &conf);
    } else if (credential.list == "basicauth_credentials") {
      plugin = "basic-auth";
      copy_required(reader, item, "username", &conf);
      copy_required(reader, item, "password", &conf);
    } else {
      plugin = "jwt-auth";
      make_jwt_conf(reader, item, facts_, &conf);
    }
    Value plugins = placed(Value::object(), *item.body);
    plugins.set(std::string(plugin), std::move(conf));
    const std::string_view id = item.body->get_string("id");
    const std::string own = id.empty() ? std::string(plugin) + "-" + std::to_string(number) : kong_id(id);
    Value made = placed(Value::object(), *item.body);
    made.set("id", placed_text(consumer.username + "/credentials/" + own, *item.body));
    copy_kong_tags(item, findings_, &made);
    made.set("plugins", std::move(plugins));
    return made;
  }

 private:
  static void add_label(std::string key, Value value, Value* resource) {
    if (resource->find("labels") == nullptr) resource->set("labels", placed(Value::object(), value));
    resource->find("labels")->set(std::move(key), std::move(value));
  }

  Value groups_of(const KongConsumer& consumer) {
    Value groups = Value::array();
    constexpr std::array<std::string_view, 4> kKeys{"id", "consumer", "tags", "group"};
    for (const KongCredential& credential : consumer.credentials) {
      if (credential.list != "acls") continue;
      const KongReader reader(credential.item, findings_);
      reader.check_keys(kKeys);
      const std::string group = reader.text("group");
      if (group.empty()) reader.refuse("group", "missing; it names the group");
      groups.items().push_back(placed_text(group, *credential.item.body));
    }
    return groups;
  }

  const KongPluginFacts& facts_;
  KongFindings& findings_;
};

}  // namespace

Value make_kong_consumers(const KongModel& model, KongPlugins& plugins, const KongPluginFacts& facts,
                          KongFindings& findings) {
  ConsumerMaker maker(facts, findings);
  Value list = Value::array();
  for (const KongConsumer& consumer : model.consumers) {
    Value own = plugins.translate(consumer.plugins, "consumer:" + consumer.username, Value::object());
    list.items().push_back(maker.make(consumer, std::move(own)));
    for (size_t i = 0; i < consumer.credentials.size(); ++i) {
      Value credential = maker.make_credential(consumer, consumer.credentials[i], i + 1);
      if (!credential.is_null()) list.items().push_back(std::move(credential));
    }
  }
  return list;
}

}  // namespace moongate::config
