// SPDX-License-Identifier: Apache-2.0
#include "control/resource_checks.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "base/json.h"
#include "config/resources.h"
#include "config/secret_reference.h"
#include "net/event_loop.h"
#include "router/address_set.h"
#include "router/expression.h"
#include "router/host_pattern.h"
#include "router/path_pattern.h"
#include "snapshot/compiler.h"
#include "tls/certificate.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;
using config::Resource;
using Path = std::vector<std::string>;

namespace {

constexpr auto kSlice = std::chrono::seconds(1);

/// The service of a cost decoration is the one in its id, whatever it says itself.
Result<void> check_owner(const Resource& resource) {
  const Value* service = resource.body.find("service_id");
  if (service == nullptr) return {};
  const std::string id = base::scalar_text(*service);
  if (id == config::owner_id(resource.id)) return {};
  return base::invalid("service_id: is `" + id + "`, but the id is that of one below services/" +
                       std::string(config::owner_id(resource.id)) + "; leave it out");
}

/// What the data path will make of the resource: the same parsers, so that nothing is accepted here and
/// refused there.
Result<void> parse_resource(const Resource& resource) {
  const auto verdict = [](const auto& parsed) {
    return parsed ? Result<void>() : Result<void>(parsed.error());
  };
  switch (resource.kind) {
    case Kind::kRoute:
      return verdict(config::parse_route(resource.body));
    case Kind::kService:
      return verdict(config::parse_service(resource.body));
    case Kind::kUpstream:
      return verdict(config::parse_upstream(resource.body));
    case Kind::kConsumer:
      return verdict(config::parse_consumer(resource.body));
    case Kind::kCredential:
      return verdict(config::parse_credential(resource.body, resource.id));
    case Kind::kConsumerGroup:
    case Kind::kPluginConfig:
    case Kind::kGlobalRule:
      return verdict(config::parse_plugin_group(resource.body));
    case Kind::kPluginMetadata:
      return verdict(config::parse_plugin_metadata(resource.body));
    case Kind::kSsl:
      return verdict(config::parse_ssl(resource.body));
    case Kind::kProto:
    case Kind::kSecret:
    case Kind::kStreamRoute:
      return {};
    case Kind::kGraphqlCostDecoration:
      return check_owner(resource);
  }
  return {};
}

/// Calls `look` with every text of a field that may be one (`uri`) or a list (`uris`), and the way to it.
template <class Look>
void each_text(const Value& body, const char* one, const char* many, Look look) {
  if (const Value* text = body.find(one); text != nullptr && text->is_string())
    look(Path{one}, text->as_string());
  const Value* list = body.find(many);
  if (list == nullptr || !list->is_array()) return;
  for (size_t i = 0; i < list->items().size(); i++) {
    if (list->items()[i].is_string()) look(Path{many, std::to_string(i)}, list->items()[i].as_string());
  }
}

void check_hosts(const Resource& resource, Findings& findings) {
  each_text(resource.body, "host", "hosts", [&](const Path& path, const std::string& host) {
    if (auto checked = router::check_host_pattern(host); !checked)
      findings.add(resource, path, checked.error().detail);
  });
}

void check_route(const Resource& route, bool has_parameters, Findings& findings) {
  each_text(route.body, "uri", "uris", [&](const Path& path, const std::string& uri) {
    if (auto checked = router::check_pattern(uri, has_parameters); !checked)
      return findings.add(route, path, checked.error().detail + "; write a simpler pattern, or several");
    if (!uri.starts_with('/') && !uri.starts_with('*'))
      findings.warn(route, path,
                    "no path is like this, since paths begin with `/`; did you mean `/" + uri + "`?");
  });
  check_hosts(route, findings);
  each_text(route.body, "remote_addr", "remote_addrs", [&](const Path& path, const std::string& address) {
    if (auto network = router::parse_network(address); !network)
      findings.add(route, path,
                   network.error().detail + "; write an IP address, or a network such as 10.0.0.0/8");
  });
  if (const Value* vars = route.body.find("vars"); vars != nullptr && !vars->is_null()) {
    if (auto compiled = router::Expression::compile(*vars); !compiled)
      findings.add(route, {"vars"}, compiled.error().detail);
  }
}

/// A text with its reference resolved; what cannot be resolved is complained about elsewhere.
std::string resolved_text(const Value& value) {
  if (!config::is_reference(value.as_string())) return value.as_string();
  const Result<Value> found = config::resolve_reference(value.as_string(), config::process_environment());
  return found && found->is_string() ? found->as_string() : "";
}

/// A certificate that has expired is still what its owner asked for.
void check_validity(const Resource& resource, const Value* certificate, Path path, const char* field,
                    Findings& findings) {
  if (certificate == nullptr || !certificate->is_string()) return;
  const std::string fault = tls::describe_validity(resolved_text(*certificate), base::Clock::wall());
  path.emplace_back(field);
  if (!fault.empty())
    findings.warn(resource, path, "the certificate is not valid now: " + fault + "; renew it");
}

void check_upstream(const Resource& resource, const Value* upstream, Path path, Findings& findings) {
  const Value* tls = upstream == nullptr ? nullptr : upstream->find("tls");
  if (tls == nullptr || !tls->is_object()) return;
  path.emplace_back("tls");
  check_validity(resource, tls->find("client_cert"), path, "client_cert", findings);
}

/// Calls `look` for each reference to a secret manager: the way to it, and "vault/1".
template <class Look>
void each_reference(const Value& value, const Path& path, Look look) {
  const auto below = [&](const std::string& step, const Value& member) {
    Path next = path;
    next.push_back(step);
    each_reference(member, next, look);
  };
  if (value.is_string()) {
    if (const std::string_view manager = config::manager_of(value.as_string()); !manager.empty())
      look(path, manager);
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.items().size(); i++) below(std::to_string(i), value.items()[i]);
  } else if (value.is_object()) {
    for (const auto& [key, member] : value.members()) below(key, member);
  }
}

/// The field by which a plugin's consumers are told apart.
struct CredentialField {
  std::string_view plugin;
  std::string_view field;
};
constexpr std::array<CredentialField, 7> kCredentialFields{{{"basic-auth", "username"},
                                                            {"hmac-auth", "access_key"},
                                                            {"hmac-auth", "key_id"},
                                                            {"jwe-decrypt", "key"},
                                                            {"jwt-auth", "key"},
                                                            {"key-auth", "key"},
                                                            {"ldap-auth", "user_dn"}}};

struct Owner {
  const Resource* resource;
  Path path;
  std::string consumer;
};

/// "alice", or "alice, credential 1".
std::string owner_text(const Owner& owner) {
  if (owner.resource->kind == Kind::kConsumer) return owner.consumer;
  return owner.consumer + ", credential " + owner.resource->id.substr(owner.resource->id.rfind('/') + 1);
}

/// What files have first, then what was made first.
std::vector<const Resource*> by_age(const config::Document& document) {
  std::vector<const Resource*> resources;
  for (const Resource& resource : document.resources) {
    if (resource.kind == Kind::kConsumer || resource.kind == Kind::kCredential)
      resources.push_back(&resource);
  }
  const auto age = [](const Resource* one) {
    return std::tuple(one->is_stored, one->created_index, one->is_stored ? one->kind : Kind::kRoute,
                      one->is_stored ? std::string_view(one->id) : std::string_view());
  };
  std::stable_sort(resources.begin(), resources.end(),
                   [&](const Resource* a, const Resource* b) { return age(a) < age(b); });
  return resources;
}

/// Schemas let references pass wherever a text may be; nobody could ask for a resource of such a name.
void check_name(const Resource& resource, Findings& findings) {
  const config::OwnedKind* owned = config::find_owned(resource.kind);
  const size_t mark = owned == nullptr ? resource.id.npos : resource.id.find(owned->mark);
  const std::string own = mark == resource.id.npos ? "" : resource.id.substr(mark + owned->mark.size());
  const std::string& name = config::is_reference(own) ? own : resource.id;
  if (!config::is_reference(name)) return;
  findings.add(resource, {resource.kind == Kind::kConsumer ? "username" : "id"},
               "expected a name, got the reference " + name + "; write the name itself");
}

}  // namespace

void check_references(const config::Document& document, Findings& findings) {
  const config::Environment environment = config::process_environment();
  for (const Resource& resource : document.resources) {
    const Value* plugins = resource.body.find("plugins");
    if (plugins == nullptr || !plugins->is_object()) continue;
    for (const auto& [name, conf] : plugins->members()) {
      Value copy = conf;
      const auto fault = config::resolve_references(copy, environment);
      if (!fault) continue;
      Path path{"plugins", name};
      path.insert(path.end(), fault->path.begin(), fault->path.end());
      findings.add(resource, path, fault->what);
    }
  }
}

void check_managers(const config::Document& document, Findings& findings) {
  std::set<std::string, std::less<>> managers;
  for (const Resource& resource : document.resources) {
    if (resource.kind == Kind::kSecret) managers.insert(resource.id);
  }
  for (const Resource& resource : document.resources) {
    const Value* plugins = resource.body.find("plugins");
    if (plugins == nullptr || findings.concerns(resource)) continue;
    each_reference(*plugins, {"plugins"}, [&](const Path& path, std::string_view manager) {
      if (managers.count(manager) == 0)
        findings.warn(resource, path,
                      "there is no secrets/" + std::string(manager) +
                          "; what this is part of answers 503 until there is");
    });
  }
}

void check_resources(const config::Document& document, Findings& findings) {
  const bool has_parameters = document.settings.router == config::RouterKind::kUriWithParameter;
  for (const Resource& resource : document.resources) {
    if (resource.is_known || findings.concerns(resource)) continue;
    check_name(resource, findings);
    if (auto parsed = parse_resource(resource); !parsed) {
      findings.add_detail(resource, parsed.error().detail);
      continue;
    }
    if (resource.kind == Kind::kRoute) check_route(resource, has_parameters, findings);
    if (resource.kind == Kind::kSsl)
      check_validity(resource, resource.body.find("cert"), {}, "cert", findings);
    if (resource.kind == Kind::kUpstream) check_upstream(resource, &resource.body, {}, findings);
    if (resource.kind == Kind::kRoute || resource.kind == Kind::kService)
      check_upstream(resource, resource.body.find("upstream"), {"upstream"}, findings);
    if (resource.kind == Kind::kService) check_hosts(resource, findings);
    if (resource.kind == Kind::kStreamRoute)
      findings.warn(resource, {}, "stream routes are not in this version; nothing is served for it");
    if (resource.kind == Kind::kSecret && !resource.id.starts_with("vault/"))
      findings.warn(resource, {},
                    "secrets of " + resource.id.substr(0, resource.id.find('/')) +
                        " are not supported in this version; keep them in Vault, or write $env://NAME where "
                        "they are used");
  }
}

bool is_judged_whole(const Resource& resource, std::string_view json) {
  if (resource.kind != Kind::kRoute) return false;
  if (resource.is_known) return true;
  const bool is_simple = json.find("\"$") == json.npos;  // no references
  const auto& members = resource.body.members();
  return is_simple && std::none_of(members.begin(), members.end(), [](const Value::Member& member) {
           const std::string& field = member.first;
           return field == "upstream" || field == "vars" || field.starts_with("remote_addr");
         });
}

std::vector<ShownCredential> credentials_of(const Resource& resource) {
  std::vector<ShownCredential> shown;
  if (resource.kind != Kind::kConsumer && resource.kind != Kind::kCredential) return shown;
  const Value* plugins = resource.body.find("plugins");
  for (const CredentialField& field : kCredentialFields) {
    const Value* conf = plugins == nullptr ? nullptr : plugins->find(field.plugin);
    const Value* value = conf == nullptr ? nullptr : conf->find(field.field);
    if (value == nullptr || !value->is_string()) continue;
    std::string text = resolved_text(*value);
    if (text.empty()) continue;
    const std::string plugin(field.plugin);
    shown.push_back({plugin, std::move(text), {"plugins", plugin, std::string(field.field)}});
  }
  return shown;
}

void check_credentials(const config::Document& document, Findings& findings) {
  std::map<std::pair<std::string, std::string>, Owner> owners;
  for (const Resource* resource : by_age(document)) {
    if (resource->is_stored && findings.concerns(*resource)) continue;
    std::vector<std::pair<std::pair<std::string, std::string>, Owner>> claims;
    bool is_wrong = false;
    for (ShownCredential& shown : credentials_of(*resource)) {
      Owner owner{resource, shown.path, resource->id.substr(0, resource->id.find('/'))};
      auto identity = std::pair(shown.plugin, std::move(shown.text));
      const auto known = owners.find(identity);
      claims.emplace_back(std::move(identity), owner);
      if (known == owners.end() || known->second.consumer == owner.consumer) continue;
      is_wrong = true;
      const std::string place = findings.place_of(*known->second.resource, known->second.path);
      findings.add(*resource, owner.path,
                   "duplicate " + owner.path.back() + " of plugin " + shown.plugin +
                       " found with consumer: " + owner_text(known->second) +
                       (place.empty() ? "" : " (" + place + ")") + "; give each consumer its own");
    }
    // One that is not served takes nothing from others.
    if (!is_wrong || !resource->is_stored) owners.insert(claims.begin(), claims.end());
  }
}

/// Those that the next check will need most likely, which are of upstreams without certificates of their own.
SnapshotChecker::Contexts SnapshotChecker::contexts_to_keep(const Contexts& made) const {
  if (!made.empty() && made.size() <= kContextsKept) return made;
  return trust_ ? trust_->client_contexts : Contexts();
}

Result<void> SnapshotChecker::check(snapshot::BlobView view, const config::Document& document,
                                    Findings& findings) {
  Result<std::unique_ptr<net::EventLoop>> loop = net::EventLoop::make();
  if (!loop) return loop.error();
  upstream::Pool pool(**loop);
  snapshot::Graveyard graveyard([] {});
  snapshot::Compiler compiler(std::move(view), trust_, pool, graveyard);
  while (!compiler.step(kSlice)) {
  }
  const auto compiled = compiler.finish();
  if (!compiled) return compiled.error();
  auto kept = std::make_shared<snapshot::Snapshot>();
  kept->settings = (*compiled)->settings;
  kept->trust_text = (*compiled)->trust_text;
  kept->trust = (*compiled)->trust;
  kept->client_contexts = contexts_to_keep((*compiled)->client_contexts);
  trust_ = std::move(kept);
  if (compiler.complaints().empty()) return {};
  std::map<std::pair<snapshot::RecordKind, std::string_view>, const Resource*> by_id;
  for (const Resource& resource : document.resources)
    by_id[{snapshot::record_kind(resource.kind), resource.id}] = &resource;
  for (const snapshot::Complaint& complaint : compiler.complaints()) {
    if (complaint.is_consequence) continue;
    const auto found = by_id.find({complaint.kind, complaint.id});
    if (found == by_id.end())
      findings.add_text(complaint.text());
    else if (!findings.concerns(*found->second))
      findings.add_detail(*found->second, complaint.detail);
  }
  return {};
}

}  // namespace moongate::control
