// SPDX-License-Identifier: Apache-2.0
#include "control/sync_batch.h"

#include "base/json.h"
#include "control/admin_resources.h"
#include "control/closed_names.h"
#include "control/plugin_sources.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;

namespace {

/// The hosts that a route has of its service, also of one that is wrong.
std::optional<Value> hosts_of_service(const Value& service_id, const FindJson& find_json) {
  const Result<Value> service = base::parse_json(find_json({Kind::kService, base::scalar_text(service_id)}));
  const Value* hosts = service && service->is_object() ? service->find("hosts") : nullptr;
  return hosts == nullptr ? std::nullopt : std::optional(*hosts);
}

/// A route for the same requests that answers 503; empty when `json` does not say which those are.
std::string closed_route(const std::string& id, std::string_view json, bool with_service,
                         const FindJson& find_json) {
  const Result<Value> wanted = base::parse_json(json);
  if (!wanted || !wanted->is_object()) return "";
  Value route = Value::object();
  route.set("id", Value::string(id));
  for (const char* condition : {"uri", "uris", "host", "hosts", "methods", "remote_addr", "remote_addrs",
                                "vars", "priority", "filter_func", "status"}) {
    if (const Value* value = wanted->find(condition)) route.set(condition, *value);
  }
  const Value* service = wanted->find("service_id");
  if (with_service && service == nullptr) return "";
  if (with_service) route.set("service_id", *service);
  // Without them it would answer for the hosts of all others.
  const bool lacks_hosts = route.find("host") == nullptr && route.find("hosts") == nullptr;
  if (!with_service && service != nullptr && lacks_hosts) {
    if (const auto hosts = hosts_of_service(*service, find_json)) route.set("hosts", *hosts);
  }
  Value upstream = Value::object();
  upstream.set("nodes", Value::object());
  route.set("upstream", std::move(upstream));
  return base::to_json(route);
}

}  // namespace

std::vector<std::string> stand_ins(const ResourceKey& key, const std::string& json, const std::string& body,
                                   const FindJson& find_json) {
  const std::string& id = key.second;
  std::string before;
  if (const Result<Value> parsed = base::parse_json(body))
    before = base::to_json(value_of_file(key, *parsed));
  switch (key.first) {
    case Kind::kRoute:
      return {closed_route(id, json, true, find_json), closed_route(id, json, false, find_json),
              closed_route(id, before, true, find_json), closed_route(id, before, false, find_json)};
    case Kind::kSsl:  // or else a certificate of more names would answer for its names
    case Kind::kGlobalRule:
    case Kind::kConsumerGroup:
    case Kind::kPluginMetadata:
      return {before};
    default:
      return {};
  }
}

std::vector<StoredChange> SyncBatch::changes() const {
  std::vector<StoredChange> changes;
  for (const auto& [key, value] : changed_) {
    const StoredResource* present = store_.find(key);
    const bool is_same = value ? present != nullptr && *present == *value : present == nullptr;
    if (!is_same) changes.push_back({key, value});
  }
  return changes;
}

void SyncBatch::add(const StoredChange& change) {
  if (change.value)
    put(change.key, *change.value);
  else
    remove(change.key);
}

void SyncBatch::remove(const ResourceKey& key) {
  changed_[key] = std::nullopt;
  if (live_.remove_stored(key)) judge_dependents(key);
}

void SyncBatch::put(const ResourceKey& key, StoredResource value) {
  value.stand_in.clear();
  const std::string place = live_.place_of(key);
  if (!place.empty()) {
    value.fault = taken_by_file(place);
    // Its names are this gateway's too; the hosts of its service are those that the file says.
    if (key.first == Kind::kSsl) live_.close_names(key, names_to_close(key, value.json));
    live_.quarantine(key, value.fault);
    changed_[key] = std::move(value);
    return;
  }
  std::vector<ResourceKey> displaced;
  if (value.fault.empty()) {
    auto put = live_.put_shared(key, value.json, value.created_index);
    if (put)
      displaced = put.take();
    else
      value.fault = put.error().detail;
  }
  if (!value.fault.empty()) {
    value.stand_in = choose_stand_in(key, value);
    if (value.stand_in.empty()) {
      const bool was_there = live_.find_body(key).has_value();
      live_.remove(key);
      if (was_there) judge_dependents(key);
    }
    live_.close_names(key, names_to_close(key, value.json));
  }
  live_.quarantine(key, value.fault);
  changed_[key] = std::move(value);
  for (const ResourceKey& other : displaced) judge_again(other);
}

std::string SyncBatch::choose_stand_in(const ResourceKey& key, const StoredResource& value) {
  const auto find_json = [this](const ResourceKey& wanted) {
    const StoredResource* present = find(wanted);
    return present == nullptr ? std::string() : present->json;
  };
  for (std::string& candidate : stand_ins(key, value.json, live_.find_body(key).value_or(""), find_json)) {
    std::vector<std::string> warnings;
    if (!candidate.empty() && live_.put(key, candidate, &warnings)) return std::move(candidate);
  }
  return "";
}

/// Those that the shared store has. What a file has is named as quarantined by the configuration itself.
void SyncBatch::judge_dependents(const ResourceKey& key) {
  for (const Dependent& dependent : live_.find_dependents(key)) {
    if (dependent.is_stored && judged_again_.insert(dependent.key).second) judge_again(dependent.key);
  }
}

void SyncBatch::judge_again(const ResourceKey& key) {
  const StoredResource* present = find(key);
  if (present != nullptr && present->fault.empty()) put(key, *present);
}

/// As this batch leaves it.
const StoredResource* SyncBatch::find(const ResourceKey& key) const {
  const auto changed = changed_.find(key);
  if (changed == changed_.end()) return store_.find(key);
  return changed->second ? &*changed->second : nullptr;
}

std::optional<ResourceKey> SyncBatch::recheck(const Recheck& how) {
  const auto is_hopeful = [](const StoredResource& value, bool is_also_refused) {
    return !value.fault.empty() && !value.json.empty() &&
           (is_also_refused || !value.fault.starts_with(kRefusedByWorker));
  };
  // Of this batch's own: what came behind may have helped.
  std::vector<ResourceKey> own;
  for (const auto& [key, value] : changed_) {
    if (changed_.size() > 1 && value && is_hopeful(*value, false)) own.push_back(key);
  }
  for (const ResourceKey& key : own) try_again(key);
  size_t left = how.job_count;
  for (auto next = store_.all().lower_bound(how.from); next != store_.all().end(); ++next) {
    if (!is_hopeful(next->second, how.is_of_refused) || changed_.count(next->first) > 0) continue;
    if (left-- == 0) return next->first;
    const auto refused = how.refused.find(next->first);
    try_again(next->first, refused == how.refused.end() ? "" : refused->second);
  }
  return std::nullopt;
}

/// With a `fault` that is known by now it stays in quarantine, for that.
void SyncBatch::try_again(const ResourceKey& key, const std::string& fault) {
  const StoredResource* present = find(key);
  if (present == nullptr || present->fault.empty()) return;  // judged by the way
  StoredResource value = *present;
  value.fault = fault;
  put(key, value);
  if (find(key)->fault.empty()) has_mended_ = true;
}

}  // namespace moongate::control
