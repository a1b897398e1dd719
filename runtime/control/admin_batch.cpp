// SPDX-License-Identifier: Apache-2.0
#include "control/admin_batch.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/ascii.h"
#include "base/json.h"
#include "config/merge.h"
#include "config/secret_reference.h"
#include "control/admin_access.h"
#include "control/references.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;
using Verb = AdminWrite::Verb;

namespace {

constexpr size_t kIdMax = 64;

HttpResponse json_response(uint16_t status, const Value& body) {
  return {status, "application/json", base::to_json(body) + "\n", {}};
}

std::string noun_of(const AdminWrite& write) { return std::string(write.target.resource->noun); }

/// A clock of the body's own would make the object's history a lie.
std::optional<HttpResponse> check_no_times(const Value& body) {
  for (const char* name : {"create_time", "update_time"}) {
    if (body.find(name) != nullptr)
      return admin_error(400, std::string("the property is forbidden:  ") + name);
    const Value* upstream = body.find("upstream");
    if (upstream != nullptr && upstream->find(name) != nullptr)
      return admin_error(400, std::string("the property is forbidden:  upstream.") + name);
  }
  return std::nullopt;
}

/// Schemas let references pass wherever a text may be; nobody could ask for a resource of such a name.
HttpResponse no_reference(const std::string& field, const std::string& text) {
  return admin_error(400, "invalid configuration: property \"" + field +
                              "\" validation failed: expected a name, got the reference " + text);
}

bool is_plain_id(std::string_view id) {
  const auto is_allowed = [](char c) { return base::is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; };
  return !id.empty() && id.size() <= kIdMax && std::all_of(id.begin(), id.end(), is_allowed);
}

/// `value` becomes what `path` leads to below `object`; false when the way there does not exist.
bool replace_below(Value* object, const std::vector<std::string>& path, Value value) {
  for (size_t i = 0; i + 1 < path.size(); i++) {
    Value* next = object->find(path[i]);
    size_t index = 0;
    if (object->is_array()) {
      const auto [end, error] = std::from_chars(path[i].data(), path[i].data() + path[i].size(), index);
      const bool is_index = error == std::errc() && end == path[i].data() + path[i].size();
      next = is_index && index < object->items().size() ? &object->items()[index] : nullptr;
    }
    if (next == nullptr || (!next->is_object() && !next->is_array())) return false;
    object = next;
  }
  if (!object->is_object()) return false;
  if (value.is_null())
    object->remove(path.back());
  else
    object->set(path.back(), std::move(value));
  return true;
}

std::string joined(const std::vector<std::string>& path) {
  std::string text;
  for (const std::string& part : path) text += "/" + part;
  return text;
}

/// "route [1]", "plugin in route [1]".
std::string user_text(const Dependent& dependent) {
  return std::string(dependent.is_by_plugin ? "plugin in " : "") +
         std::string(admin_resource(dependent.key.first).noun) + " [" + std::string(own_id(dependent.key)) +
         "]";
}

double whole_seconds(uint64_t ms) {
  const uint64_t seconds = ms / 1000;
  return static_cast<double>(seconds);
}

std::string padded_id(uint64_t revision) {
  const std::string digits = std::to_string(revision);
  return std::string(20 - digits.size(), '0') + digits;
}

HttpResponse written_response(uint16_t status, const ResourceKey& key, const Value& value,
                              uint64_t modified_index) {
  Value body = Value::object();
  body.set("key", Value::string(admin_key(key)));
  body.set("value", shown_value(key, value));
  HttpResponse response = json_response(status, body);
  response.fields.emplace_back("ETag", "\"" + std::to_string(modified_index) + "\"");
  return response;
}

}  // namespace

const StoredResource* AdminBatch::find(const ResourceKey& key) const {
  if (const auto changed = changed_.find(key); changed != changed_.end())
    return changed->second ? &*changed->second : nullptr;
  return store_.find(key);
}

std::vector<StoredChange> AdminBatch::stored_changes() const {
  std::vector<StoredChange> changes;
  for (const auto& [key, value] : changed_) changes.push_back({key, value});
  return changes;
}

void AdminBatch::set_revisions(const std::map<ResourceKey, uint64_t>& revisions) {
  std::set<ResourceKey> seen;
  for (auto effect = effects_.rbegin(); effect != effects_.rend(); ++effect) {
    auto& fields = effect->response.fields;
    const auto tag =
        std::find_if(fields.begin(), fields.end(), [](const auto& field) { return field.first == "ETag"; });
    for (const AdminEffect::Change& change : effect->changes) {
      // Who wrote before another of the same batch has no revision of their own.
      const bool is_last = seen.insert(change.key).second;
      const auto revision = revisions.find(change.key);
      if (tag == fields.end()) continue;
      if (is_last && revision != revisions.end())
        tag->second = "\"" + std::to_string(revision->second) + "\"";
      else
        fields.erase(tag);
      break;
    }
  }
}

std::optional<HttpResponse> AdminBatch::add(const AdminWrite& write) {
  AdminEffect effect;
  effect.write = &write;
  Fault fault;
  switch (write.verb) {
    case Verb::kPut:
    case Verb::kPost:
      fault = add_put(write, &effect);
      break;
    case Verb::kPatch:
      fault = add_patch(write, &effect);
      break;
    case Verb::kDelete:
      fault = add_delete(write, &effect);
      break;
    case Verb::kReplaceAll:
      fault = add_replace_all(write, &effect);
      break;
  }
  if (!fault) effects_.push_back(std::move(effect));
  return fault;
}

/// The id comes from the path, or from the body; where both have one they must agree.
AdminBatch::Fault AdminBatch::choose_id(const AdminWrite& write, Value* body, std::string* id) const {
  const Kind kind = write.target.resource->kind;
  const std::string noun = noun_of(write);
  *id = write.target.id;
  if (kind == Kind::kConsumer) {
    const std::string username(body->get_string("username"));
    if (username.empty()) return admin_error(400, "invalid configuration: property \"username\" is required");
    if (!id->empty() && *id != username) return admin_error(400, "wrong username");
    if (config::is_reference(username)) return no_reference("username", username);
    *id = username;
    return std::nullopt;
  }
  if (kind == Kind::kPluginMetadata) {
    if (id->empty()) return admin_error(400, "missing plugin name");
    return std::nullopt;
  }
  const Value* written = body->find("id");
  const std::string of_body = written == nullptr ? "" : config::id_of(*body);
  const config::OwnedKind* owned = config::find_owned(kind);
  const std::string folder = owned == nullptr ? "" : write.target.parent + std::string(owned->mark);
  if (write.verb == Verb::kPost) {
    if (!id->empty() || written != nullptr) return admin_error(400, "wrong " + noun + " id, do not need it");
    uint64_t number = revision_ + 1;
    while (find({kind, folder + padded_id(number)}) != nullptr) number++;
    *id = folder + padded_id(number);
  } else if (id->empty()) {
    *id = of_body.empty() ? "" : folder + of_body;
  } else if (written != nullptr && of_body != *id && of_body != own_id({kind, *id})) {
    return admin_error(400, "wrong " + noun + " id");
  }
  if (id->empty()) return admin_error(400, "missing " + noun + " id");
  const std::string own(own_id({kind, *id}));
  if (owned != nullptr && folder + own != *id) return admin_error(400, "wrong " + noun + " id");
  if (config::is_reference(own)) return no_reference("id", own);
  body->set("id", Value::string(own));
  if (kind == Kind::kSecret) {
    const size_t slash = id->find('/');
    if (slash == id->npos || !is_plain_id(std::string_view(*id).substr(slash + 1)))
      return admin_error(400, slash == id->npos ? "missing secret id" : "wrong secret id");
  }
  return std::nullopt;
}

AdminBatch::Fault AdminBatch::check_precondition(const AdminWrite& write,
                                                 const StoredResource* present) const {
  if (write.if_match.empty()) return std::nullopt;
  const std::string tag = present == nullptr ? "" : "\"" + std::to_string(present->modified_index) + "\"";
  const bool is_met =
      present != nullptr && (write.if_match == "*" || write.if_match.find(tag) != std::string::npos);
  if (is_met) return std::nullopt;
  return admin_error(412, "value changed before overwritten");
}

AdminBatch::Fault AdminBatch::check_not_in_file(const ResourceKey& key) const {
  const std::string place = live_.place_of(key);
  if (place.empty()) return std::nullopt;
  HttpResponse response =
      admin_error(405, resource_name(key) + " is in " + place + "; change it there, or use another id here");
  response.fields.emplace_back("Allow", "GET");
  return response;
}

AdminBatch::Fault AdminBatch::add_put(const AdminWrite& write, AdminEffect* effect) {
  const Kind kind = write.target.resource->kind;
  if (kind == Kind::kStreamRoute)
    return admin_error(400, "stream mode is disabled, can not add stream routes");
  if (auto fault = check_owner_is_there(write)) return fault;
  Value value = write.body;
  if (auto fault = check_no_times(value)) return fault;
  std::string id;
  if (auto fault = choose_id(write, &value, &id)) return fault;
  const ResourceKey key{kind, id};
  if (auto fault = bind_decoration(key, &value)) return fault;
  if (auto fault = check_not_in_file(key)) return fault;
  const StoredResource* present = find(key);
  if (auto fault = check_precondition(write, present)) return fault;
  if (kind != Kind::kPluginMetadata) {
    const auto now_s = whole_seconds(now_ms_);
    double created = now_s;
    if (present != nullptr) {
      if (const Result<Value> before = base::parse_json(present->json))
        created = before->get_number("create_time", now_s);
    }
    value.set("create_time", Value::number(created));
    value.set("update_time", Value::number(now_s));
  }
  return put_value(write, key, value, effect);
}

AdminBatch::Fault AdminBatch::add_patch(const AdminWrite& write, AdminEffect* effect) {
  const ResourceKey key{write.target.resource->kind, write.target.id};
  if (auto fault = check_not_in_file(key)) return fault;
  const StoredResource* present = find(key);
  if (present == nullptr) return admin_not_found();
  if (auto fault = check_precondition(write, present)) return fault;
  Result<Value> value = base::parse_json(present->json);
  if (!value) return admin_error(503, value.error().detail);
  if (auto plain = live_.decrypt(key, &*value); !plain) return admin_error(503, plain.error().detail);
  const double created = value->get_number("create_time", 0);
  if (write.target.sub_path.empty()) {
    if (!write.body.is_object())
      return admin_error(400, "invalid configuration: wrong type: expected object");
    config::merge_objects(*value, write.body);
  } else if (!replace_below(&*value, write.target.sub_path, write.body)) {
    return admin_error(400, "invalid sub-path: " + joined(write.target.sub_path));
  }
  if (config::id_of(*value) != own_id(key)) return admin_error(400, "wrong " + noun_of(write) + " id");
  if (key.first == Kind::kGraphqlCostDecoration && write.body.is_object() &&
      write.body.find("service_id") != nullptr)
    return admin_error(400, "service_id can not be patched");
  if (auto fault = bind_decoration(key, &*value)) return fault;
  for (const char* time : {"create_time", "update_time"}) {
    if (const Value* given = value->find(time); given != nullptr && !given->is_number())
      return admin_error(400, std::string("invalid configuration: property \"") + time +
                                  "\" validation failed: wrong type: expected integer");
  }
  if (value->find("create_time") == nullptr) value->set("create_time", Value::number(created));
  if (!write.target.sub_path.empty() || write.body.find("update_time") == nullptr)
    value->set("update_time", Value::number(whole_seconds(now_ms_)));
  return put_value(write, key, *value, effect);
}

AdminBatch::Fault AdminBatch::put_value(const AdminWrite& write, const ResourceKey& key, const Value& value,
                                        AdminEffect* effect) {
  const StoredResource* present = find(key);
  if (present == nullptr && store_.all().size() + changed_.size() >= ResourceStore::kResourcesMax) {
    return admin_error(503, "there are " + std::to_string(ResourceStore::kResourcesMax) +
                                " resources already; delete some, or keep them in files");
  }
  Value kept = value;
  if (auto encrypted = live_.encrypt(key, &kept); !encrypted)
    return admin_error(400, encrypted.error().detail);
  const std::string json = base::to_json(kept);
  std::vector<std::string> warnings;
  if (auto put = live_.put(key, json, &warnings); !put) return admin_error(400, put.error().detail);
  StoredResource stored;
  stored.json = json;
  stored.modified_index = ++revision_;
  stored.created_index = present == nullptr ? revision_ : present->created_index;
  if (write.ttl_s) stored.expires_at_ms = now_ms_ + static_cast<uint64_t>(*write.ttl_s * 1000);
  effect->changes.push_back({key, present == nullptr ? "" : present->json, json});
  effect->response = written_response(present == nullptr ? 201 : 200, key, kept, stored.modified_index);
  for (const std::string& warning : warnings)
    effect->response.fields.emplace_back("X-Moongate-Warning", warning);
  changed_[key] = std::move(stored);
  return std::nullopt;
}

AdminBatch::Fault AdminBatch::add_delete(const AdminWrite& write, AdminEffect* effect) {
  const ResourceKey key{write.target.resource->kind, write.target.id};
  if (key.second.empty()) return admin_error(400, "missing " + noun_of(write) + " id");
  if (key.first == Kind::kCredential) {
    if (auto fault = check_owner_is_there(write)) return fault;
  }
  const StoredResource* present = find(key);
  if (present == nullptr) {
    auto fault = check_not_in_file(key);
    return fault ? std::move(fault) : admin_not_found();
  }
  if (auto fault = check_precondition(write, present)) return fault;
  if (live_.place_of(key).empty()) {
    if (auto fault = check_not_used(key, write.is_forced)) return fault;
    for (const ResourceKey& one : owned_by(key)) remove_value(one, effect);
  }  // else the file's one serves on, and whoever needs it misses nothing
  remove_value(key, effect);
  Value body = Value::object();
  body.set("deleted", Value::string("1"));
  body.set("key", Value::string(admin_key(key)));
  effect->response = json_response(200, body);
  return std::nullopt;
}

void AdminBatch::remove_value(const ResourceKey& key, AdminEffect* effect) {
  effect->changes.push_back({key, find(key)->json, ""});
  live_.remove_stored(key);
  revision_++;
  changed_[key] = std::nullopt;
}

AdminBatch::Fault AdminBatch::check_not_used(const ResourceKey& key, bool is_forced) const {
  std::vector<Dependent> dependents = live_.find_dependents(key);
  std::erase_if(dependents, [&](const Dependent& dependent) {
    const config::OwnedKind* owned = config::find_owned(dependent.key.first);
    return owned != nullptr && owned->owner == key.first;  // it goes along
  });
  const std::string noun(admin_resource(key.first).noun);
  const auto used_by_file = [&](const ResourceKey& user) {
    return admin_error(
        400, "can not delete this " + noun + ", " + resource_name(user) + " in " + live_.place_of(user) +
                 " is still using it and " +
                 (live_.is_shared() ? "would answer 503 without it" : "the next start would refuse it") +
                 "; change it there first");
  };
  const std::vector<ResourceKey> owned = live_.find_owned_in_files(key);
  if (!owned.empty()) return used_by_file(owned.front());
  if (dependents.empty()) return std::nullopt;
  if (!is_forced) {
    const bool is_direct = key.first == Kind::kService || key.first == Kind::kStreamRoute;
    return admin_error(400, "can not delete this " + noun + (is_direct ? " directly, " : ", ") +
                                user_text(dependents.front()) + " is still using it" +
                                (key.first == Kind::kStreamRoute ? " as superior_id" : " now"));
  }
  for (const Dependent& dependent : dependents) {
    if (!dependent.is_stored) return used_by_file(dependent.key);
  }
  return std::nullopt;
}

/// What goes with a resource.
std::vector<ResourceKey> AdminBatch::owned_by(const ResourceKey& owner) const {
  std::vector<ResourceKey> keys;
  const config::OwnedKind* owned = config::find_owned_by(owner.first);
  if (owned == nullptr) return keys;
  const std::string prefix = owner.second + std::string(owned->mark);
  const auto take = [&](const ResourceKey& key) {
    if (key.first == owned->kind && key.second.starts_with(prefix) && find(key) != nullptr)
      keys.push_back(key);
  };
  for (const auto& [key, value] : store_.all()) take(key);
  for (const auto& [key, value] : changed_) {
    if (store_.find(key) == nullptr) take(key);
  }
  return keys;
}

AdminBatch::Fault AdminBatch::check_owner_is_there(const AdminWrite& write) const {
  const config::OwnedKind* owned = config::find_owned(write.target.resource->kind);
  if (owned == nullptr || live_.find_body({owned->owner, write.target.parent})) return std::nullopt;
  return admin_error(404, std::string(admin_resource(owned->owner).noun) + " not found");
}

/// A cost decoration says itself which service it is for, and no other one of it is for the same field.
AdminBatch::Fault AdminBatch::bind_decoration(const ResourceKey& key, Value* value) const {
  if (key.first != Kind::kGraphqlCostDecoration) return std::nullopt;
  const std::string service(config::owner_id(key.second));
  if (const Value* written = value->find("service_id")) {
    if (base::scalar_text(*written) != service)
      return admin_error(400, "wrong service_id, it is taken from the path");
  }
  value->set("service_id", Value::string(service));
  const std::string_view field = value->get_string("field_path");
  for (const ResourceKey& other : owned_by({Kind::kService, service})) {
    const Result<Value> body = base::parse_json(find(other)->json);
    if (other == key || !body || !body->is_object() || body->get_string("field_path") != field) continue;
    return admin_error(400, "field_path " + std::string(field) +
                                " is already decorated on this service by [" + std::string(own_id(other)) +
                                "]");
  }
  return std::nullopt;
}

/// The resources that the body lists, in the form of the store.
AdminBatch::Fault AdminBatch::read_wanted(const Value& body, std::map<ResourceKey, Value>* wanted) {
  for (const auto& [name, list] : body.members()) {
    const AdminResource* resource = find_admin_resource(name);
    if (resource == nullptr || !list.is_array())
      return admin_error(400, "unknown key `" + name + "`; give lists of resources by their plural names");
    if (resource->kind == Kind::kStreamRoute && !list.items().empty())
      return admin_error(400, "stream mode is disabled, can not add stream routes");
    for (const Value& item : list.items()) {
      const std::string id = config::id_of(item);
      if (!item.is_object() || id.empty())
        return admin_error(400, "missing " + std::string(resource->noun) + " id");
      const auto key = parse_resource_name(std::string(name).append("/").append(id));
      if (wanted->emplace(*key, value_of_file(*key, item)).second) continue;
      return admin_error(400, describe_duplicate(*key, name));
    }
  }
  return std::nullopt;
}

/// Everything that the API has made becomes what the body lists; in the order in which references hold.
AdminBatch::Fault AdminBatch::add_replace_all(const AdminWrite& write, AdminEffect* effect) {
  std::map<ResourceKey, Value> wanted;
  if (auto fault = read_wanted(write.body, &wanted)) return fault;
  std::vector<ResourceKey> gone;
  for (const auto& [key, stored] : store_.all()) {
    if (!write.keeps_others && write.kept.count(key.first) == 0 && wanted.count(key) == 0)
      gone.push_back(key);
  }
  for (const Kind kind : kReferenceOrder) {
    for (auto& [key, value] : wanted) {
      if (key.first != kind) continue;
      if (auto fault = replace_one(write, key, std::move(value), effect)) return fault;
    }
  }
  for (auto kind = kReferenceOrder.rbegin(); kind != kReferenceOrder.rend(); ++kind) {
    for (const ResourceKey& key : gone) {
      if (key.first != *kind) continue;
      if (auto fault = check_not_used(key, false)) return fault;
      remove_value(key, effect);
    }
  }
  effect->response = HttpResponse{202, "application/json", "", {}};
  return std::nullopt;
}

/// One that is as it was keeps its times and its revision.
AdminBatch::Fault AdminBatch::replace_one(const AdminWrite& write, const ResourceKey& key, Value value,
                                          AdminEffect* effect) {
  if (auto fault = check_not_in_file(key)) return fault;
  const StoredResource* present = find(key);
  Result<Value> before = base::parse_json(present == nullptr ? "{}" : present->json);
  if (before) {
    if (auto plain = live_.decrypt(key, &*before); !plain) return admin_error(503, plain.error().detail);
  }
  for (const char* time : {"create_time", "update_time"}) {
    const Value* had = before ? before->find(time) : nullptr;
    if (value.find(time) == nullptr && had != nullptr) value.set(time, *had);
  }
  if (present != nullptr && before && *before == value) return std::nullopt;
  if (key.first != Kind::kPluginMetadata) {
    const Value now = Value::number(whole_seconds(now_ms_));
    if (value.find("create_time") == nullptr) value.set("create_time", now);
    value.set("update_time", now);
  }
  return put_value(write, key, value, effect);
}

}  // namespace moongate::control
