// SPDX-License-Identifier: Apache-2.0
#include "config/kong_plugins.h"

#include <algorithm>
#include <array>

#include "config/kong_paths.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Value;

namespace {

bool is_enabled(const KongItem& plugin) { return plugin.body->get_bool("enabled", true); }

/// One plugin on its way.
struct Job {
  const KongItem& plugin;
  KongItem config;           // its `config`; an empty mapping when it has none
  KongReader reader;         // of config
  const std::string& scope;  // where it counts
  const KongModel& model;
  KongFindings& findings;
  Value conf;  // ours

  /// Sets a field of ours, placed where `key` of Kong's is.
  void set(std::string_view field, Value value, std::string_view key) {
    const Value* from = reader.find(key);
    conf.set(std::string(field), placed(std::move(value), from != nullptr ? *from : *config.body));
  }
  /// Copies what is written.
  void copy(std::string_view field, std::string_view key) {
    if (const Value* from = reader.find(key)) conf.set(std::string(field), *from);
  }
};

using Translate = void (*)(Job& job);

Value without_nulls(const Value& value) {
  Value copy = value;
  if (value.is_object()) {
    std::erase_if(copy.members(), [](const Value::Member& member) { return member.second.is_null(); });
    for (auto& [key, member] : copy.members()) member = without_nulls(member);
  } else if (value.is_array()) {
    for (Value& item : copy.items()) item = without_nulls(item);
  }
  return copy;
}

/// Plugins whose configuration is Kong's own: the plugin's schema knows what it may hold.
void copy_all(Job& job) { job.conf = without_nulls(*job.config.body); }

/// The one name in a list of names: ours has room for one. Nothing means the fallback.
void set_name(Job& job, std::string_view field, std::string_view key, std::string_view fallback) {
  const std::vector<const Value*> names = job.reader.texts(key);
  if (names.size() > 1) job.reader.refuse(key, "only one name is served here; keep the one that clients use");
  job.set(field, Value::string(names.empty() ? std::string(fallback) : names.front()->as_string()), key);
}

void set_anonymous(Job& job) {
  const Value* written = job.reader.find("anonymous");
  if (written == nullptr) return;
  for (const KongConsumer& consumer : job.model.consumers) {
    const std::string name = job.reader.text("anonymous");
    if (name != consumer.username && name != consumer.item.body->get_string("id")) continue;
    return job.set("anonymous_consumer", Value::string(consumer.username), "anonymous");
  }
  job.reader.refuse("anonymous", "there is no such consumer in this file");
}

void refuse_preflight(Job& job) {
  if (!job.reader.flag("run_on_preflight", true))
    job.reader.refuse("run_on_preflight",
                      "is not served; let the cors plugin answer preflights, or remove the line");
}

void translate_jwt(Job& job) {
  constexpr std::array<std::string_view, 10> kKeys{
      "uri_param_names", "cookie_names",     "key_claim_name",     "secret_is_base64", "claims_to_verify",
      "anonymous",       "run_on_preflight", "maximum_expiration", "header_names",     "realm"};
  job.reader.check_keys(kKeys);
  set_name(job, "header", "header_names", "authorization");
  set_name(job, "query", "uri_param_names", job.reader.find("uri_param_names") != nullptr ? "" : "jwt");
  set_name(job, "cookie", "cookie_names", "");
  job.set("key_claim_name", Value::string(job.reader.text("key_claim_name", "iss")), "key_claim_name");
  if (!job.reader.texts("claims_to_verify").empty()) job.copy("claims_to_verify", "claims_to_verify");
  if (job.reader.whole("maximum_expiration", 0, 31536000, 0) != 0)
    job.reader.refuse("maximum_expiration", "is not served; remove it and sign tokens for a shorter time");
  job.copy("realm", "realm");
  set_anonymous(job);
  refuse_preflight(job);
}

void translate_key_auth(Job& job) {
  constexpr std::array<std::string_view, 9> kKeys{"key_names",        "key_in_header",    "key_in_query",
                                                  "key_in_body",      "hide_credentials", "anonymous",
                                                  "run_on_preflight", "identity_realms",  "realm"};
  job.reader.check_keys(kKeys);
  constexpr std::array<std::string_view, 1> kRealms{"identity_realms"};
  job.reader.refuse_keys(kRealms, "is not served; remove it");
  if (job.reader.flag("key_in_body", false))
    job.reader.refuse("key_in_body", "is not served; clients send the key in a header or in the query");
  set_name(job, "header", "key_names", "apikey");
  set_name(job, "query", "key_names", "apikey");
  // No field and no argument has an empty name.
  if (!job.reader.flag("key_in_header", true)) job.set("header", Value::string(""), "key_in_header");
  if (!job.reader.flag("key_in_query", true)) job.set("query", Value::string(""), "key_in_query");
  job.copy("hide_credentials", "hide_credentials");
  job.copy("realm", "realm");
  set_anonymous(job);
  refuse_preflight(job);
}

void translate_basic_auth(Job& job) {
  constexpr std::array<std::string_view, 3> kKeys{"hide_credentials", "anonymous", "realm"};
  job.reader.check_keys(kKeys);
  job.copy("hide_credentials", "hide_credentials");
  job.copy("realm", "realm");
  set_anonymous(job);
}

std::string joined(const std::vector<const Value*>& texts) {
  std::string list;
  for (const Value* text : texts) list += (list.empty() ? "" : ",") + text->as_string();
  return list;
}

bool is_plain_origin(const std::string& origin) {
  return origin.find_first_of("*+?()[]{}|^$\\") == std::string::npos;
}

/// An origin is a text, `*`, or a regular expression; when one is an expression, all become one.
void set_origins(Job& job, bool has_credentials) {
  const std::vector<const Value*> origins = job.reader.texts("origins");
  const bool has_all =
      origins.empty() || std::any_of(origins.begin(), origins.end(),
                                     [](const Value* origin) { return origin->as_string() == "*"; });
  if (has_all) return job.set("allow_origins", Value::string(has_credentials ? "**" : "*"), "origins");
  const bool is_plain = std::all_of(origins.begin(), origins.end(),
                                    [](const Value* origin) { return is_plain_origin(origin->as_string()); });
  for (const Value* origin : origins) {
    if (is_plain_origin(origin->as_string()) && origin->as_string().find("://") == std::string::npos)
      job.findings.refuse(*origin, job.config.path("origins"),
                          "expected an origin such as https://example.com");
  }
  if (is_plain) return job.set("allow_origins", Value::string(joined(origins)), "origins");
  Value list = Value::array();
  for (const Value* origin : origins) {
    const std::string& text = origin->as_string();
    list.items().push_back(
        placed_text(is_plain_origin(text) ? "^" + escape_regex(text) + "$" : text, *origin));
  }
  job.set("allow_origins_by_regex", std::move(list), "origins");
}

void translate_cors(Job& job) {
  constexpr std::array<std::string_view, 10> kKeys{"origins",
                                                   "methods",
                                                   "headers",
                                                   "exposed_headers",
                                                   "max_age",
                                                   "credentials",
                                                   "preflight_continue",
                                                   "private_network",
                                                   "allow_origin_absent",
                                                   "_comment"};
  job.reader.check_keys(kKeys);
  for (const std::string_view key : {"preflight_continue", "private_network"}) {
    if (job.reader.flag(key, false)) job.reader.refuse(key, "is not served; remove it");
  }
  const bool has_credentials = job.reader.flag("credentials", false);
  set_origins(job, has_credentials);
  const std::string methods = joined(job.reader.texts("methods"));
  job.set("allow_methods",
          Value::string(methods.empty() ? "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT" : methods),
          "methods");
  const std::string headers = joined(job.reader.texts("headers"));
  job.set("allow_headers", Value::string(headers.empty() ? "**" : headers), "headers");
  const std::string exposed = joined(job.reader.texts("exposed_headers"));
  if (!exposed.empty()) job.set("expose_headers", Value::string(exposed), "exposed_headers");
  job.copy("max_age", "max_age");
  job.set("allow_credential", Value::boolean(has_credentials), "credentials");
}

void translate_ip_restriction(Job& job) {
  constexpr std::array<std::string_view, 4> kKeys{"allow", "deny", "status", "message"};
  job.reader.check_keys(kKeys);
  const bool has_allow = !job.reader.texts("allow").empty();
  const bool has_deny = !job.reader.texts("deny").empty();
  if (has_allow == has_deny)
    job.reader.refuse("allow", "give one of allow and deny; for both, say it in `allow` alone");
  if (has_allow) job.copy("whitelist", "allow");
  if (has_deny) job.copy("blacklist", "deny");
  job.copy("response_code", "status");
  job.copy("message", "message");
}

void translate_correlation_id(Job& job) {
  constexpr std::array<std::string_view, 3> kKeys{"header_name", "generator", "echo_downstream"};
  job.reader.check_keys(kKeys);
  job.set("header_name", Value::string(job.reader.text("header_name", "Kong-Request-ID")), "header_name");
  job.set("include_in_response", Value::boolean(job.reader.flag("echo_downstream", false)),
          "echo_downstream");
  const std::string generator = job.reader.text("generator", "uuid#counter");
  if (generator != "uuid") {
    const Value* written = job.reader.find("generator");
    job.findings.note(written != nullptr ? *written : *job.plugin.body, job.config.path("generator"),
                      "ids are UUIDs here, whatever the generator");
  }
  job.set("algorithm", Value::string("uuid"), "generator");
}

void translate_rate_limiting(Job& job) {
  copy_all(job);
  // Until 3.8 Redis was described by fields beside the others.
  const Value* redis = job.conf.find("redis");
  Value described = redis != nullptr ? *redis : placed(Value::object(), *job.config.body);
  if (!described.is_object()) return job.reader.refuse("redis", "expected a mapping");
  std::erase_if(job.conf.members(), [&](const Value::Member& member) {
    if (!member.first.starts_with("redis_")) return false;
    const std::string field = member.first.substr(6);
    if (described.find(field) == nullptr) described.set(field, member.second);
    return true;
  });
  if (!described.members().empty()) job.conf.set("redis", std::move(described));
  job.conf.set("scope", placed_text(job.scope, *job.plugin.body));
}

/// Closes the door: every request is answered 503.
void translate_openid_connect(Job& job) {
  if (is_enabled(job.plugin))
    job.findings.add(
        KongLoss::kLost, *job.plugin.body, job.plugin.where,
        "openid-connect is not served yet; what it guards answers 503. Use jwt where tokens are signed "
        "with a key you know");
  Value abort = placed(Value::object(), *job.plugin.body);
  abort.set("http_status", placed_number(503, *job.plugin.body));
  abort.set("body", placed_text(R"({"message":"openid-connect is not served yet"})", *job.plugin.body));
  job.conf.set("abort", std::move(abort));
}

/// Of what is not asked for Kong counts nothing.
void translate_prometheus(Job& job) {
  constexpr std::array<std::string_view, 4> kCounted{"per_consumer", "status_code_metrics", "latency_metrics",
                                                     "bandwidth_metrics"};
  constexpr std::array<std::string_view, 3> kOthers{"upstream_health_metrics", "ai_metrics", "wasm_metrics"};
  std::vector<std::string_view> known(kCounted.begin(), kCounted.end());
  known.insert(known.end(), kOthers.begin(), kOthers.end());
  job.reader.check_keys(known);
  for (const std::string_view key : kCounted) job.set(key, Value::boolean(job.reader.flag(key, false)), key);
  job.set("prefer_name", Value::boolean(true), "per_consumer");
  job.findings.note(*job.plugin.body, job.plugin.where,
                    "the metrics have APISIX's names (apisix_http_status, apisix_http_latency, "
                    "apisix_bandwidth) on the page of `moongate.metrics.listen`");
  for (const std::string_view key : kOthers) {
    if (job.reader.flag(key, false))
      job.findings.add(KongLoss::kLost, *job.config.body->find(key), job.config.path(key),
                       "these numbers are not on the metrics page");
  }
}

struct Entry {
  std::string_view kong;
  std::string_view ours;
  Translate translate;
};

constexpr std::array<Entry, 16> kEntries{{
    {"acl", "kong-acl", copy_all},
    {"basic-auth", "basic-auth", translate_basic_auth},
    {"bot-detection", "bot-detection", copy_all},
    {"correlation-id", "request-id", translate_correlation_id},
    {"cors", "cors", translate_cors},
    {"ip-restriction", "ip-restriction", translate_ip_restriction},
    {"jwt", "jwt-auth", translate_jwt},
    {"key-auth", "key-auth", translate_key_auth},
    {"openid-connect", "fault-injection", translate_openid_connect},
    {"rate-limiting", "kong-rate-limiting", translate_rate_limiting},
    {"request-size-limiting", "request-size-limiting", copy_all},
    {"request-termination", "request-termination", copy_all},
    {"request-transformer", "request-transformer", copy_all},
    {"response-transformer", "response-transformer", copy_all},
    {"tcp-log", "tcp-log", copy_all},
    {"prometheus", "prometheus", translate_prometheus},
}};

constexpr std::array<std::string_view, 13> kPluginKeys{
    "id",    "name",     "config",        "enabled",  "protocols", "tags",          "service",
    "route", "consumer", "instance_name", "ordering", "run_on",    "consumer_group"};

const Entry* find_entry(std::string_view name) {
  const auto found =
      std::find_if(kEntries.begin(), kEntries.end(), [&](const Entry& entry) { return entry.kong == name; });
  return found == kEntries.end() ? nullptr : &*found;
}

/// A plugin that is only for some protocols runs when the request came by one of them.
void set_protocols(const KongItem& plugin, KongFindings& findings, Value* meta) {
  const std::vector<const Value*> protocols = KongReader(plugin, findings).texts("protocols");
  const auto has = [&](std::string_view name) {
    return std::any_of(protocols.begin(), protocols.end(),
                       [&](const Value* protocol) { return protocol->as_string() == name; });
  };
  const bool takes_plain = has("http") || has("grpc");
  const bool takes_tls = has("https") || has("grpcs");
  if (protocols.empty() || (takes_plain && takes_tls)) return;
  const Value& at = *protocols.front();
  if (!takes_plain && !takes_tls) {
    findings.refuse(at, plugin.path("protocols"),
                    "expected http or https among them; streams are not served");
    return;
  }
  Value rule = placed(Value::array(), at);
  for (const std::string_view part : {std::string_view("client_scheme"), std::string_view("=="),
                                      std::string_view(takes_tls ? "https" : "http")})
    rule.items().push_back(placed_text(std::string(part), at));
  Value rules = placed(Value::array(), at);
  rules.items().push_back(std::move(rule));
  meta->set("filter", std::move(rules));
}

}  // namespace

struct KongPlugins::Made {
  std::string name;  // ours; empty when there is nothing to add
  Value conf;
};

KongPlugins::Made KongPlugins::make(const KongItem& plugin, const std::string& scope) {
  const KongReader reader(plugin, findings_);
  const std::string name = reader.text("name");
  const Entry* entry = find_entry(name);
  if (entry == nullptr) {
    std::vector<std::string_view> known;
    known.reserve(kEntries.size());
    for (const Entry& each : kEntries) known.push_back(each.kong);
    if (is_enabled(plugin))
      reader.refuse("name",
                    describe_unknown("plugin", name, known) +
                        "; or remove it, or write it in Lua and use it from a file of our own format");
    else
      findings_.note(*plugin.body, plugin.where,
                     "the plugin `" + name + "` is not served here; it is switched off, so nothing is lost");
    return {};
  }
  reader.check_keys(kPluginKeys);
  constexpr std::array<std::string_view, 1> kOrdering{"ordering"};
  reader.refuse_keys(kOrdering, "is not served; remove it");
  static const Value kNothing = Value::object();
  const Value* config = reader.object("config");
  const KongItem config_item{config != nullptr ? config : &kNothing, plugin.path("config")};
  Job job{plugin,
          config_item,
          KongReader(config_item, findings_),
          scope,
          model_,
          findings_,
          placed(Value::object(), config != nullptr ? *config : *plugin.body)};
  entry->translate(job);
  Value meta = placed(Value::object(), *plugin.body);
  set_protocols(plugin, findings_, &meta);
  if (!is_enabled(plugin)) meta.set("disable", placed_flag(true, *plugin.body));
  if (!meta.members().empty()) job.conf.set("_meta", std::move(meta));
  job.conf.set_place(plugin.body->file(), plugin.body->line());
  return {std::string(entry->ours), std::move(job.conf)};
}

void KongPlugins::add(const KongItem& plugin, const std::string& scope, const Value& inherited, Value* made) {
  Made one = make(plugin, scope);
  if (one.name.empty()) return;
  // One that is switched off hides none of a wider scope. Where there can be none it is kept, for its
  // configuration to be checked and to be switched on.
  if (!is_enabled(plugin)) {
    const bool is_wide = scope == "global" || scope.starts_with("service:");
    if (!is_wide || inherited.find(one.name) != nullptr || made->find(one.name) != nullptr) return;
  }
  const Value* present = made->find(one.name);
  const Value* meta = present != nullptr ? present->find("_meta") : nullptr;
  if (present != nullptr && !(meta != nullptr && meta->get_bool("disable", false)))
    return findings_.refuse(
        *plugin.body, plugin.where,
        "the same plugin is there already, at " + findings_.places().of(*present) + "; keep one of them");
  made->set(one.name, std::move(one.conf));
}

Value KongPlugins::translate(const std::vector<KongItem>& plugins, const std::string& scope,
                             const Value& inherited) {
  Value made = Value::object();
  for (const KongItem& plugin : plugins) add(plugin, scope, inherited, &made);
  for (const auto& [name, conf] : inherited.members()) {
    if (made.find(name) == nullptr) made.set(name, conf);
  }
  return made;
}

KongPluginFacts find_kong_plugin_facts(const KongModel& model, KongFindings& findings) {
  KongPluginFacts facts;
  bool has_plain_secrets = false;
  const Value* at = nullptr;
  const auto look = [&](const std::vector<KongItem>& plugins) {
    for (const KongItem& plugin : plugins) {
      const Value* config = plugin.body->find("config");
      if (plugin.body->get_string("name") != "jwt" || !is_enabled(plugin)) continue;
      const bool is_base64 = config != nullptr && config->get_bool("secret_is_base64", false);
      (is_base64 ? facts.has_base64_secrets : has_plain_secrets) = true;
      if (is_base64) at = plugin.body;
    }
  };
  look(model.plugins);
  for (const KongService& service : model.services) look(service.plugins);
  for (const KongRoute& route : model.routes) look(route.plugins);
  if (facts.has_base64_secrets && has_plain_secrets)
    findings.refuse(
        *at, "secret_is_base64",
        "must be the same for every jwt plugin of the file, as it becomes a property of the secrets");
  return facts;
}

}  // namespace moongate::config
