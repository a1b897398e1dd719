// SPDX-License-Identifier: Apache-2.0
#include "snapshot/compiler.h"

#include <algorithm>

#include "base/json.h"
#include "config/encrypted_fields.h"
#include "config/resources.h"
#include "config/secret_reference.h"

namespace moongate::snapshot {

using base::Clock;
using base::Result;
using base::Value;

namespace {

constexpr size_t kRoutesPerStep = 32;
constexpr size_t kRecordsPerStep = 256;

// Mixes what an object depends on into one number; equal numbers mean that it can be taken over.
uint64_t mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15ULL + (hash << 6) + (hash >> 2);
  hash ^= hash >> 29;
  return hash * 0xbf58476d1ce4e5b9ULL;
}

uint64_t hash_text(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

std::string version_text(uint64_t hash) { return std::to_string(hash % 1000000000000ULL); }

// Puts `over` on top of `base`: a whole conf replaces the one of the same name.
void merge_plugins(std::vector<PluginConf>& base, const std::vector<PluginConf>& over) {
  for (const PluginConf& plugin : over) {
    auto same = std::find_if(base.begin(), base.end(),
                             [&](const PluginConf& had) { return had.name == plugin.name; });
    if (same == base.end())
      base.push_back(plugin);
    else
      *same = plugin;
  }
}

void fill_missing_plugins(std::vector<PluginConf>& base, const std::vector<PluginConf>& more) {
  for (const PluginConf& plugin : more) {
    auto same = std::find_if(base.begin(), base.end(),
                             [&](const PluginConf& had) { return had.name == plugin.name; });
    if (same == base.end()) base.push_back(plugin);
  }
}

}  // namespace

struct Compiler::RouteInput {
  const Record& record;
  config::Route conf;
  const ServiceEntry* service = nullptr;
  const GroupEntry* plugin_config = nullptr;
  std::string fault;
  uint16_t fault_status = 0;
  std::vector<std::string> closed_hosts = {};  // of a service that is wrong
};

Compiler::Compiler(BlobView blob, Pin present, upstream::Pool& pool, Graveyard& graveyard)
    : blob_(std::move(blob)), present_(std::move(present)), pool_(pool), graveyard_(graveyard) {}

Compiler::~Compiler() = default;

void Compiler::complain(const Record& record, const std::string& what, bool is_consequence) {
  complaints_.push_back(
      {record.kind, std::string(record.id), std::string(record.place), what, is_consequence});
}

// The confs with their references resolved: what they stand for is never written into a snapshot. A conf that
// lacks its secret becomes one that no plugin takes, so that whatever uses it answers 503 and never goes
// without.
std::vector<PluginConf> Compiler::to_plugins(const Record& record,
                                             const std::vector<config::PluginConf>& confs,
                                             const std::string& resource_key, const std::string& version) {
  std::vector<PluginConf> plugins;
  plugins.reserve(confs.size());
  for (const auto& conf : confs) {
    Result<std::string> resolved = config::resolve_json(conf.conf_json);
    if (!resolved) complain(record, "plugins." + conf.name + resolved.error().detail);
    auto text = std::make_shared<const std::string>(resolved ? resolved.take() : std::string("null"));
    plugins.push_back({conf.name, std::move(text), resource_key, version});
  }
  return plugins;
}

bool Compiler::step(base::Duration budget) {
  auto until = Clock::steady_now() + budget;
  while (stage_ != Stage::kDone) {
    do_some();
    if (Clock::steady_now() >= until) break;
  }
  return stage_ == Stage::kDone;
}

// A handful of records of the present stage, or the step to the next.
void Compiler::do_some() {
  auto each = [this](RecordKind kind, void (Compiler::*add)(const Record&), Stage next) {
    auto records = blob_.records_of(kind);
    for (size_t n = 0; n < kRoutesPerStep && position_ < records.size(); n++)
      (this->*add)(records[position_++]);
    if (position_ < records.size()) return;
    position_ = 0;
    stage_ = next;
  };
  auto all = [this](RecordKind kind, void (Compiler::*add)(const Record&)) {
    for (const Record& record : blob_.records_of(kind)) (this->*add)(record);
  };
  switch (stage_) {
    case Stage::kRecords:
      return read_records();
    case Stage::kSurroundings:
      return read_surroundings();
    case Stage::kCompare:
      if (compare_routes()) begin_patch();
      return;
    case Stage::kPatchRoutes:
      return patch_some_routes();
    case Stage::kPatchRouter:
      return finish_patch();
    case Stage::kIndex:
      return index_present();
    case Stage::kSettings:
      read_settings();
      stage_ = fault_.ok() ? Stage::kSources : Stage::kDone;
      return;
    case Stage::kSources:
      read_sources();
      stage_ = Stage::kCertificates;
      return;
    case Stage::kCertificates:
      each(RecordKind::kSsl, &Compiler::add_certificate, Stage::kUpstreams);
      if (stage_ == Stage::kUpstreams) finish_certificates();
      return;
    case Stage::kUpstreams:
      return each(RecordKind::kUpstream, &Compiler::add_upstream, Stage::kServices);
    case Stage::kServices:
      return each(RecordKind::kService, &Compiler::add_service, Stage::kGroups);
    case Stage::kGroups:
      all(RecordKind::kPluginConfig, &Compiler::add_group);
      all(RecordKind::kConsumerGroup, &Compiler::add_group);
      all(RecordKind::kGlobalRule, &Compiler::add_global_rule);
      finish_globals();
      stage_ = Stage::kConsumers;
      return;
    case Stage::kConsumers:
      return each(RecordKind::kConsumer, &Compiler::add_consumer, Stage::kCredentials);
    case Stage::kCredentials:
      return each(RecordKind::kCredential, &Compiler::add_credential, Stage::kIndex);
    case Stage::kRoutes:
      return each(RecordKind::kRoute, &Compiler::add_route, Stage::kRouter);
    case Stage::kRouter:
      if (!router_->step(64)) return;
      next_->router = router_->finish();
      stage_ = Stage::kDone;
      return;
    case Stage::kDone:
      return;
  }
}

Result<std::shared_ptr<Snapshot>> Compiler::finish() {
  MG_ASSERT(stage_ == Stage::kDone);
  if (!fault_.ok()) return fault_.error();
  return std::move(next_);
}

void Compiler::read_records() {
  const auto is_read = blob_.read_some(kRecordsPerStep);
  if (!is_read) {
    fault_ = is_read.error();
    stage_ = Stage::kDone;
  } else if (*is_read) {
    stage_ = Stage::kSurroundings;
  }
}

void Compiler::read_settings() {
  auto settings = config::settings_from_json(blob_.body_of(RecordKind::kSettings, "{}"));
  if (!settings) {
    fault_ = settings.error();
    return;
  }
  using Mode = router::Router::Mode;
  Mode mode = settings->router == config::RouterKind::kUri                ? Mode::kUri
              : settings->router == config::RouterKind::kUriWithParameter ? Mode::kUriWithParameter
                                                                          : Mode::kHostUri;
  router_ = std::make_unique<router::Router::Builder>(mode);
  next_->settings = std::make_shared<const config::Settings>(settings.take());
  config::Keyring::of_process().set(next_->settings->data_encryption);
  read_trust();
  next_->plugin_attributes_json = blob_.body_of(RecordKind::kPluginAttr, "{}");
  const size_t route_count = blob_.records_of(RecordKind::kRoute).size();
  next_->routes.reserve(route_count);
  next_->route_order.reserve(route_count);
}

/// Which code each plugin is.
void Compiler::note_source_hashes() {
  uint64_t libraries = 0;
  for (const Record& record : blob_.records_of(RecordKind::kLibrarySource))
    libraries = mix(libraries, mix(hash_text(record.id), record.hash));
  for (const Record& record : blob_.records_of(RecordKind::kPluginSource)) {
    const bool is_shipped = (record.flags & kFlagShipped) != 0;
    source_hashes_[std::string(record.id)] = is_shipped ? record.hash : mix(record.hash, libraries);
  }
}

void Compiler::read_sources() {
  note_source_hashes();
  uint64_t libraries = 0;
  for (const Record& record : blob_.records_of(RecordKind::kLibrarySource)) {
    libraries = mix(libraries, mix(hash_text(record.id), record.hash));
    next_->library_sources.push_back(std::make_shared<const ScriptSource>(ScriptSource{
        std::string(record.id), std::string(record.place), std::string(record.body), record.hash, false}));
  }
  for (const Record& record : blob_.records_of(RecordKind::kPluginSource)) {
    bool is_shipped = (record.flags & kFlagShipped) != 0;
    next_->plugin_sources.push_back(std::make_shared<const ScriptSource>(
        ScriptSource{std::string(record.id), std::string(record.place), std::string(record.body), record.hash,
                     is_shipped}));
    next_->code_hash = mix(next_->code_hash, mix(hash_text(record.id), record.hash));
  }
  next_->code_hash = mix(next_->code_hash, libraries);
  for (const Record& record : blob_.records_of(RecordKind::kPluginMetadata)) {
    next_->plugin_metadata[std::string(record.id)] = std::string(record.body);
  }
  for (const Record& record : blob_.records_of(RecordKind::kSecret)) {
    Result<std::string> resolved = config::resolve_json(std::string(record.body));
    if (resolved)
      next_->secrets[std::string(record.id)] = resolved.take();
    else
      complain(record, resolved.error().detail.substr(1));
  }
}

// Which code the plugins of a resource run: when it changes, the resource's chain and confs are made anew.
uint64_t Compiler::plugins_fingerprint(const std::vector<PluginConf>& plugins) const {
  uint64_t hash = 1;
  for (const PluginConf& plugin : plugins) {
    auto source = source_hashes_.find(plugin.name);
    hash = mix(hash, mix(hash_text(plugin.name), source == source_hashes_.end() ? 0 : source->second));
  }
  return hash;
}

namespace {

template <class T>
Result<T> parse_body(const Record& record, Result<T> (*parse)(const Value&)) {
  auto value = base::parse_json(record.body);
  if (!value) return value.error();
  return parse(*value);
}

}  // namespace

void Compiler::add_upstream(const Record& record) {
  std::string id(record.id);
  if (auto had = find_present_upstream(id, record.hash))
    return keep_upstream(id, record.hash, std::move(had));
  auto conf = parse_body(record, config::parse_upstream);
  std::string fault = conf ? std::string() : conf.error().detail;
  auto made = conf ? make_upstream(*conf, id, &fault) : nullptr;
  if (!made) return complain(record, fault);
  keep_upstream(id, record.hash, std::move(made));
}

void Compiler::add_service(const Record& record) {
  auto conf = parse_body(record, config::parse_service);
  if (!conf) return complain(record, conf.error().detail);
  auto entry = std::make_unique<ServiceEntry>();
  entry->conf = conf.take();
  entry->hash = entry->content = record.hash;
  entry->plugins = to_plugins(record, entry->conf.plugins, "/apisix/services/" + entry->conf.id,
                              version_text(record.hash));
  if (entry->conf.upstream) {
    // Under this name it is no upstream that anyone could ask for; it keeps its connections all the same.
    const std::string key = "service#" + entry->conf.id;
    entry->upstream = find_present_upstream(key, record.hash);
    if (!entry->upstream) entry->upstream = make_upstream(*entry->conf.upstream, key, &entry->fault);
    if (entry->upstream) keep_upstream(key, record.hash, entry->upstream);
    if (!entry->upstream) complain(record, "upstream." + entry->fault);
  } else if (!entry->conf.upstream_id.empty()) {
    auto found = next_->upstreams.find(entry->conf.upstream_id);
    if (found != next_->upstreams.end())
      entry->upstream = found->second;
    else
      entry->fault = "there is no upstream " + entry->conf.upstream_id;
    if (!entry->upstream) complain(record, "upstream_id: " + entry->fault, true);
    entry->hash = mix(entry->hash, reinterpret_cast<uintptr_t>(entry->upstream.get()));
  }
  services_[std::string(record.id)] = std::move(entry);
}

void Compiler::add_group(const Record& record) {
  auto conf = parse_body(record, config::parse_plugin_group);
  if (!conf) return complain(record, conf.error().detail);
  bool is_consumer_group = record.kind == RecordKind::kConsumerGroup;
  auto entry = std::make_unique<GroupEntry>();
  entry->id = conf->id;
  entry->hash = record.hash;
  entry->plugins =
      to_plugins(record, conf->plugins,
                 (is_consumer_group ? "/apisix/consumer_groups/" : "/apisix/plugin_configs/") + conf->id,
                 version_text(record.hash));
  (is_consumer_group ? consumer_groups_ : plugin_configs_)[std::string(record.id)] = std::move(entry);
}

void Compiler::add_global_rule(const Record& record) {
  auto conf = parse_body(record, config::parse_plugin_group);
  if (!conf) return complain(record, conf.error().detail);
  auto entry = std::make_unique<GroupEntry>();
  entry->id = conf->id;
  entry->hash = record.hash;
  entry->plugins =
      to_plugins(record, conf->plugins, "/apisix/global_rules/" + conf->id, version_text(record.hash));
  global_rules_.push_back(std::move(entry));
}

void Compiler::finish_globals() {
  PluginSet& set = next_->global_plugins;
  uint64_t hash = 7;
  for (const auto& rule : global_rules_) {
    hash = mix(hash, rule->hash);
    set.conf_id += (set.conf_id.empty() ? "" : "&") + rule->id;
    for (const PluginConf& plugin : rule->plugins) set.plugins.push_back(plugin);
  }
  set.conf_type = "global_rule";
  set.dependencies = mix(hash, plugins_fingerprint(set.plugins));
  set.conf_version = version_text(hash);
  if (present_ && present_->global_plugins.dependencies == set.dependencies)
    set.chain = present_->global_plugins.chain;
}

void Compiler::add_consumer(const Record& record) {
  auto conf = parse_body(record, config::parse_consumer);
  if (!conf) return complain(record, conf.error().detail);
  auto consumer = std::make_shared<Consumer>();
  consumer->username = conf->username;
  consumer->group_id = conf->group_id;
  consumer->body_json = record.body;
  uint64_t hash = record.hash;
  if (!conf->group_id.empty()) {
    const auto group = consumer_groups_.find(conf->group_id);
    // Whoever came in without it would have none of its limits.
    if (group == consumer_groups_.end())
      return complain(record, "group_id: there is no consumer group " + conf->group_id, true);
    consumer->plugins = group->second->plugins;
    hash = mix(hash, group->second->hash);
  }
  consumer->version = version_text(hash);
  auto own = to_plugins(record, conf->plugins, "/apisix/consumers/" + conf->username, consumer->version);
  merge_plugins(consumer->plugins, own);
  auto index = static_cast<uint32_t>(next_->consumers.size());
  next_->consumer_by_name[consumer->username] = index;
  for (const PluginConf& plugin : own) add_credential_of(index, {}, plugin);
  next_->consumers.push_back(std::move(consumer));
}

void Compiler::add_credential(const Record& record) {
  auto value = base::parse_json(record.body);
  if (!value) return complain(record, value.error().detail);
  auto conf = config::parse_credential(*value, record.id);
  if (!conf) return complain(record, conf.error().detail);
  auto owner = next_->consumer_by_name.find(conf->consumer);
  if (owner == next_->consumer_by_name.end()) {
    const bool is_left_out = blob_.find(RecordKind::kConsumer, conf->consumer) != nullptr;
    return complain(record, "id: there is no consumer " + conf->consumer + "; add one of that username",
                    is_left_out);
  }
  for (const PluginConf& plugin : to_plugins(
           record, conf->plugins, "/apisix/consumers/" + std::string(record.id), version_text(record.hash))) {
    add_credential_of(owner->second, conf->id, plugin);
  }
}

// Every text attribute of the conf is a way to find it: plugins differ in which one they look up.
void Compiler::add_credential_of(uint32_t consumer, const std::string& credential_id,
                                 const PluginConf& plugin) {
  auto conf = base::parse_json(*plugin.conf_json);
  if (!conf || !conf->is_object()) return;
  auto number = static_cast<uint32_t>(next_->credentials.size());
  next_->first_credentials.resize(std::max<size_t>(next_->first_credentials.size(), consumer + 1),
                                  kNoCredential);
  uint64_t print = mix(mix(hash64(plugin.name), hash64(credential_id)), hash64(*plugin.conf_json)) | 1;
  next_->credentials.push_back(
      {consumer, credential_id, plugin.conf_json, print, next_->first_credentials[consumer]});
  next_->first_credentials[consumer] = number;
  next_->credentials_by_plugin[plugin.name].push_back(number);
  next_->has_managed_credentials |= plugin.conf_json->find("\"$secret://") != std::string::npos;
  for (const auto& [attribute, value] : conf->members()) {
    // Nobody is recognised by showing the reference itself.
    if (value.is_string() && !config::is_reference(value.as_string()))
      next_->consumer_index.add(plugin.name, attribute, value.as_string(), number);
  }
}

void Compiler::add_route(const Record& record) {
  if (reuse_route(record)) return;
  std::shared_ptr<Route> route = compile_route(record);
  if (!route || !add_to_router(record, route->origin.spec)) return leave_out(record);
  add_to_list(record, std::move(route));
}

/// The route with its spec; null, and mostly a complaint, when there is nothing to be served.
std::shared_ptr<Route> Compiler::compile_route(const Record& record) {
  auto conf = parse_body(record, config::parse_route);
  if (!conf) {
    complain(record, conf.error().detail);
    return nullptr;
  }
  if (!conf->is_enabled) return nullptr;
  RouteInput input{record, conf.take(), nullptr, nullptr, {}, 0};
  if (!input.conf.service_id.empty()) {
    input.service = find_service(input.conf.service_id);
    if (input.service == nullptr) close_without_service(&input);
  }
  if (!input.conf.plugin_config_id.empty()) {
    input.plugin_config = find_plugin_config(input.conf.plugin_config_id);
    if (input.plugin_config == nullptr) {
      input.fault_status = 503;
      input.fault = "the route's plugin_config " + input.conf.plugin_config_id + " is not there";
    }
  }
  if (input.conf.id.empty()) input.conf.id = record.id;
  const bool conf_has_upstream = input.conf.upstream.has_value();
  auto route = make_route(input);
  const bool is_own = conf_has_upstream && input.fault.empty();
  if (!route->fault_reason.empty())
    complain(record, (is_own ? "upstream." : "") + route->fault_reason, !is_own);
  route->origin.spec = make_spec(input);
  return route->origin.spec ? route : nullptr;
}

/// In a shared store it may be wrong, or not there yet: its routes are closed as all that cannot be served
/// safely are, and only for its hosts where they are known. Otherwise it was deleted by force.
void Compiler::close_without_service(RouteInput* input) const {
  const std::string& id = input->conf.service_id;
  const Record* closed = blob_.find(RecordKind::kClosedHosts, id);
  input->fault_status = closed != nullptr || is_shared() ? 503 : 404;
  input->fault = "the route's service " + id + " is not there";
  const Result<Value> hosts = closed == nullptr ? Result<Value>(Value()) : base::parse_json(closed->body);
  if (!hosts || !hosts->is_array()) return;
  for (const Value& host : hosts->items()) {
    if (host.is_string()) input->closed_hosts.push_back(host.as_string());
  }
}

/// What the router is to know of the route; null, and a complaint, when it cannot be found by that.
std::shared_ptr<const router::RouteSpec> Compiler::make_spec(const RouteInput& input) {
  router::RouteSpec spec;
  spec.id = input.conf.id;
  spec.uris = input.conf.uris;
  if (!input.conf.hosts.empty())
    spec.hosts = input.conf.hosts;
  else
    spec.hosts = input.service ? input.service->conf.hosts : input.closed_hosts;
  for (const std::string& name : input.conf.methods) {
    http::Method method = http::find_method(name);
    if (method == http::Method::kOther)
      spec.other_methods.push_back(name);
    else
      spec.methods |= router::method_bit(method);
  }
  auto addresses = router::AddressSet::parse(input.conf.remote_addrs);
  if (!addresses) {
    complain(input.record, "remote_addrs: " + addresses.error().detail);
    return nullptr;
  }
  spec.remote_addrs = addresses.take();
  if (!input.conf.vars.is_null()) {
    auto vars = router::Expression::compile(input.conf.vars);
    if (!vars) {
      complain(input.record, "vars: " + vars.error().detail);
      return nullptr;
    }
    spec.vars = vars.take();
  }
  spec.priority = input.conf.priority;
  spec.has_filter = !input.conf.filter_func.empty();
  return std::make_shared<const router::RouteSpec>(std::move(spec));
}

bool Compiler::add_to_router(const Record& record, std::shared_ptr<const router::RouteSpec> spec) {
  auto added = router_->add(std::move(spec), static_cast<uint32_t>(next_->routes.size()), record.order);
  if (!added) complain(record, added.error().detail);
  return added.ok();
}

std::shared_ptr<Route> Compiler::make_route(const RouteInput& input) {
  const config::Route& conf = input.conf;
  const ServiceEntry* service = input.service;
  std::vector<PluginConf> plugins;
  if (service) plugins = service->plugins;
  std::vector<PluginConf> own =
      to_plugins(input.record, conf.plugins, "/apisix/routes/" + conf.id, version_text(input.record.hash));
  if (input.plugin_config) fill_missing_plugins(own, input.plugin_config->plugins);
  merge_plugins(plugins, own);
  uint64_t content = mix(input.record.hash, plugins_fingerprint(plugins));
  if (input.plugin_config) content = mix(content, input.plugin_config->hash);
  const uint64_t dependencies = service ? mix(content, service->hash) : content;
  if (service) content = mix(content, service->content);

  auto route = std::make_shared<Route>();
  route->id = conf.id;
  route->name = conf.name;
  route->service_id = conf.service_id;
  if (service) route->service_name = service->conf.name;
  route->body_json = input.record.body;
  route->filter_function = conf.filter_func;
  route->fault_status = input.fault_status;
  route->fault_reason = input.fault;
  route->is_websocket_enabled =
      conf.enable_websocket.value_or(service ? service->conf.enable_websocket.value_or(false) : false);
  route->plugins.plugins = std::move(plugins);
  route->plugins.conf_type = service ? "route&service" : "route";
  route->plugins.conf_id = service ? conf.id + "&" + conf.service_id : conf.id;
  route->plugins.conf_version = version_text(content);
  route->plugins.dependencies = dependencies;

  std::string fault;
  if (conf.upstream) {
    const Route* had = present_route(conf.id);
    bool is_same = had && had->plugins.dependencies == dependencies && has_same_upstream_settings() &&
                   had->upstream && is_current(*had->upstream);
    route->upstream = is_same ? had->upstream : make_upstream(*conf.upstream, "route#" + conf.id, &fault);
  } else if (!conf.upstream_id.empty()) {
    auto found = next_->upstreams.find(conf.upstream_id);
    if (found != next_->upstreams.end())
      route->upstream = found->second;
    else
      fault = "the route's upstream " + conf.upstream_id + " is not there";
  } else if (service) {
    route->has_upstream_of_service = true;
    route->upstream = service->upstream;
    fault = service->fault;
  }
  if (!fault.empty() && route->fault_status == 0) {
    route->fault_status = conf.upstream_id.empty() || is_shared() ? 503 : 502;
    route->fault_reason = fault;
  }
  if (route->upstream) route->timeouts = route->upstream->options().timeouts;
  if (conf.timeout) route->timeouts = to_timeouts(*conf.timeout);
  route->origin = {
      input.record.hash, service ? service->hash : 0, input.plugin_config ? input.plugin_config->hash : 0,
      conf.upstream_id,  conf.plugin_config_id,       nullptr};
  take_over(conf.id, *route);
  return route;
}

}  // namespace moongate::snapshot
