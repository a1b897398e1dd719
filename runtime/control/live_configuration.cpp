// SPDX-License-Identifier: Apache-2.0
#include "control/live_configuration.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/json.h"
#include "control/certificate_words.h"
#include "control/closed_names.h"
#include "control/held.h"
#include "control/plugin_sources.h"
#include "control/references.h"
#include "control/resource_checks.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;
using config::Resource;
using snapshot::Record;
using snapshot::RecordChange;
using snapshot::RecordKind;

namespace {

constexpr std::array<Kind, 9> kReferring{
    Kind::kRoute,        Kind::kService,    Kind::kStreamRoute,
    Kind::kUpstream,     Kind::kConsumer,   Kind::kConsumerGroup,
    Kind::kPluginConfig, Kind::kGlobalRule, Kind::kGraphqlCostDecoration};

/// A number that changes with what the sources hold, whatever their order.
uint64_t add_source(uint64_t key, std::string_view name, uint64_t hash) {
  return key + snapshot::hash64(name, hash);
}

Resource make_known(const ResourceKey& key, std::string_view body) {
  Resource resource{key.first, key.second, Value::object()};
  if (Result<Value> parsed = base::parse_json(body); parsed && parsed->is_object())
    resource.body = parsed.take();
  resource.is_stored = true;
  return resource;
}

}  // namespace

Result<void> LiveConfiguration::begin(const snapshot::BlobView& served, const ResourceStore::Map& stored) {
  changes_.clear();
  newly_quarantined_.clear();
  wanted_otherwise_.clear();
  stored_ = &stored;
  created_.clear();
  closed_names_.clear();
  added_ = {};
  added_folders_.clear();
  added_stamps_.clear();
  view_ = served;
  Result<config::Settings> settings = config::settings_from_json(view_.body_of(RecordKind::kSettings, "{}"));
  if (!settings) return settings.error();
  settings_ = settings.take();
  config::Keyring::of_process().set(settings_.data_encryption);
  return load_validator();
}

/// The validator is made anew when it does not have exactly the code of the snapshot and of what is added.
Result<void> LiveConfiguration::load_validator() {
  Sources sources;
  const std::string_view attributes = view_.body_of(RecordKind::kPluginAttr, "{}");
  uint64_t key = snapshot::hash64(attributes, 1);
  for (const auto& [kind, files] : {std::pair(RecordKind::kPluginSource, &added_.plugins),
                                    std::pair(RecordKind::kLibrarySource, &added_.libraries)}) {
    for (const Record& record : view_.records_of(kind)) key = add_source(key, record.id, record.hash);
    for (const SourceFile& file : *files) key = add_source(key, file.name, snapshot::hash64(file.text));
  }
  if (validator_ && key == code_key_) return {};
  for (const auto& [kind, files, added] :
       {std::tuple(RecordKind::kPluginSource, &sources.plugins, &added_.plugins),
        std::tuple(RecordKind::kLibrarySource, &sources.libraries, &added_.libraries)}) {
    for (const Record& record : view_.records_of(kind))
      files->push_back({std::string(record.id), std::string(record.place), std::string(record.body)});
    files->insert(files->end(), added->begin(), added->end());
  }
  validator_.reset();
  Result<std::unique_ptr<Validator>> made = make_validator_();
  if (!made) return made.error();
  if (auto loaded = (*made)->load(sources, std::string(attributes)); !loaded) return loaded;
  validator_ = made.take();
  code_key_ = key;
  fields_.reset();
  return {};
}

/// A plugin that the snapshot does not carry yet is taken from where a load would find it. One that is
/// nowhere is the validator's to refuse.
Result<void> LiveConfiguration::add_missing_plugins(const Resource& resource) {
  std::set<std::string> names;
  const auto is_there = [&](RecordKind kind, const std::vector<SourceFile>& files, const std::string& name) {
    return view_.find(kind, name) != nullptr ||
           std::any_of(files.begin(), files.end(), [&](const SourceFile& file) { return file.name == name; });
  };
  add_plugins_of(resource, &names);
  std::erase_if(names, [&](const std::string& name) {
    return is_there(RecordKind::kPluginSource, added_.plugins, name);
  });
  if (names.empty()) return {};
  Result<CollectedSources> found = collect_sources(names, {settings_.plugin_paths, lua_root_});
  if (!found) return found.error();
  if (found->sources.plugins.empty()) return {};
  for (SourceFile& file : found->sources.plugins) added_.plugins.push_back(std::move(file));
  for (SourceFile& file : found->sources.libraries) {
    if (!is_there(RecordKind::kLibrarySource, added_.libraries, file.name))
      added_.libraries.push_back(std::move(file));
  }
  added_folders_.insert(added_folders_.end(), found->folders.begin(), found->folders.end());
  added_stamps_.merge(found->stamps);
  auto loaded = load_validator();
  if (!loaded) {
    added_ = {};
    (void)load_validator();
  }
  return loaded;
}

Result<const config::EncryptedFields*> LiveConfiguration::encrypted_fields() {
  if (!fields_) {
    Result<config::EncryptedFields> fields = read_encrypted_fields(*validator_);
    if (!fields) return fields.error();
    fields_ = fields.take();
  }
  return &*fields_;
}

Result<void> LiveConfiguration::encrypt(const ResourceKey& key, Value* stored) {
  if (config::Keyring::of_process().is_empty()) return {};
  Resource resource{key.first, key.second, *stored};
  if (auto added = add_missing_plugins(resource); !added) return added;
  const auto fields = encrypted_fields();
  if (!fields) return fields.error();
  (*fields)->encrypt(key.first, key.second, stored);
  return {};
}

Result<void> LiveConfiguration::decrypt(const ResourceKey& key, Value* stored) {
  if (config::Keyring::of_process().is_empty()) return {};
  const auto fields = encrypted_fields();
  if (!fields) return fields.error();
  (*fields)->decrypt(key.first, key.second, stored);
  return {};
}

Result<void> LiveConfiguration::put(const ResourceKey& key, std::string_view json,
                                    std::vector<std::string>* warnings) {
  Result<Resource> resource = make_resource(key, json);
  if (!resource) return resource.error();
  return put_resource(resource.take(), warnings);
}

Result<std::vector<ResourceKey>> LiveConfiguration::put_shared(const ResourceKey& key, std::string_view json,
                                                               uint64_t created_index) {
  Result<Resource> resource = make_resource(key, json);
  if (!resource) return resource.error();
  resource->created_index = created_[key] = created_index;
  std::vector<std::string> warnings;
  if (auto put = put_resource(resource.take(), &warnings); !put) return put.error();
  return std::vector<ResourceKey>(displaced_.begin(), displaced_.end());
}

Result<void> LiveConfiguration::put_resource(Resource resource, std::vector<std::string>* warnings) {
  const ResourceKey key{resource.kind, resource.id};
  displaced_.clear();
  // While it is not among the changes yet: an index that has it would let it own what it claims.
  if (resource.kind == Kind::kConsumer || resource.kind == Kind::kCredential) index_credentials();
  if (auto added = add_missing_plugins(resource); !added) return added;
  if (!config::Keyring::of_process().is_empty()) {
    const auto fields = encrypted_fields();
    if (!fields) return fields.error();
    (*fields)->mark(key.first, key.second, &resource.body);
  }
  const auto before =
      changes_.find(key) == changes_.end() ? std::optional<std::optional<std::string>>() : changes_.at(key);
  changes_[key] = base::to_json(resource.body, true);
  if (auto checked = check(resource, warnings); !checked) {
    if (before)
      changes_[key] = *before;
    else
      changes_.erase(key);
    return checked;
  }
  note_credentials(resource);
  close_names(key, "");
  return {};
}

Result<void> LiveConfiguration::check(const Resource& resource, std::vector<std::string>* warnings) {
  config::Document document;
  document.settings = settings_;
  document.resources.push_back(resource);
  Findings findings;
  check_references(document, findings);
  if (!findings.is_empty()) return base::invalid(findings.errors().front());
  if (auto checked = check_words(resource); !checked) return checked;
  check_resources(document, findings);
  if (!findings.is_empty()) return base::invalid("invalid configuration: " + findings.errors().front());
  warnings->insert(warnings->end(), findings.warnings().begin(), findings.warnings().end());
  if (auto checked = check_credential_owner(resource); !checked) return checked;
  return try_compile(resource, &document);
}

/// What the schemas and the plugins say.
Result<void> LiveConfiguration::check_words(const Resource& resource) {
  config::Document changed;
  changed.resources.push_back(resource);
  Result<std::vector<Complaint>> complaints = validator_->check_changes(changed, context_of(resource));
  if (!complaints) return complaints.error();
  if (!complaints->empty()) return base::invalid(complaints->front().text);
  if (resource.kind == Kind::kSsl) return check_certificate_words(resource.body);
  return {};
}

config::Document LiveConfiguration::context_of(const Resource& resource) const {
  config::Document context;
  for (const ResourceKey& key : references_of({resource.kind, resource.id}, resource.body)) {
    if (const auto body = find_body(key)) context.resources.push_back(make_known(key, *body));
  }
  if (resource.kind == Kind::kGlobalRule) {
    each_body(Kind::kGlobalRule, [&](const std::string& id, std::string_view body) {
      if (id != resource.id) context.resources.push_back(make_known({Kind::kGlobalRule, id}, body));
    });
  }
  return context;
}

/// Compiles the resource with what it refers to; and a service with its routes, which may live on its
/// upstream.
Result<void> LiveConfiguration::try_compile(const Resource& resource, config::Document* document) {
  const ResourceKey key{resource.kind, resource.id};
  std::map<ResourceKey, std::string> bodies;
  add_with_referred(key, &bodies);
  if (resource.kind == Kind::kService) {
    for (const Dependent& dependent : find_dependents(key)) {
      add_with_referred(dependent.key, &bodies);
      document->resources.push_back(make_known(dependent.key, bodies[dependent.key]));
    }
  }
  snapshot::BlobWriter writer;
  writer.add(Record{RecordKind::kSettings, 0, 0, "", "", view_.body_of(RecordKind::kSettings, "{}"), 0});
  for (const auto& [one, body] : bodies)
    writer.add(Record{snapshot::record_kind(one.first), 0, 0, one.second, kStoredPlace, body, 0});
  // Without the plugins' code, which is the validator's business and more than all else together.
  for (const Record& record : view_.records_of(RecordKind::kTrusted)) writer.add(record);
  Result<std::string> blob = writer.finish({});
  if (!blob) return blob.error();
  Result<snapshot::BlobView> view = snapshot::BlobView::read(*blob);
  if (!view) return view.error();
  Findings findings;
  if (auto checked = checker_.check(view.take(), *document, findings); !checked) return checked;
  if (!findings.is_empty()) return base::invalid("invalid configuration: " + findings.errors().front());
  return {};
}

void LiveConfiguration::add_with_referred(const ResourceKey& key,
                                          std::map<ResourceKey, std::string>* bodies) const {
  const auto body = find_body(key);
  if (!body || !bodies->emplace(key, *body).second) return;
  const Result<Value> parsed = base::parse_json(*body);
  if (!parsed) return;
  for (const ResourceKey& referred : references_of(key, *parsed)) add_with_referred(referred, bodies);
}

Result<void> LiveConfiguration::check_credential_owner(const Resource& resource) {
  if (resource.kind != Kind::kConsumer && resource.kind != Kind::kCredential) return {};
  index_credentials();
  const auto consumer_of = [](const std::string& id) { return id.substr(0, id.find('/')); };
  for (const ShownCredential& shown : credentials_of(resource)) {
    const auto found = owners_.find({shown.plugin, shown.text});
    if (found == owners_.end() || consumer_of(found->second.second) == consumer_of(resource.id)) continue;
    if (goes_before(resource, found->second)) {
      displaced_.insert(found->second);
      continue;
    }
    const std::string& id = found->second.second;
    const std::string owner =
        found->second.first == Kind::kConsumer
            ? "consumer: " + id
            : "credential: " + id.substr(id.rfind('/') + 1) + " of consumer: " + consumer_of(id);
    return base::invalid("duplicate " + shown.path.back() + " of plugin " + shown.plugin + " found with " +
                         owner);
  }
  return {};
}

/// Of two that show the same key, as check_credentials has it. What a client wishes for gives way to all.
bool LiveConfiguration::goes_before(const Resource& resource, const ResourceKey& owner) const {
  if (resource.created_index == 0 || !place_of(owner).empty()) return false;
  const auto changed = created_.find(owner);
  const auto stored = stored_->find(owner);
  const uint64_t owner_index = changed != created_.end()  ? changed->second
                               : stored != stored_->end() ? stored->second.created_index
                                                          : 0;
  return std::tuple(resource.created_index, ResourceKey{resource.kind, resource.id}) <
         std::tuple(owner_index, owner);
}

void LiveConfiguration::index_credentials() {
  if (is_credentials_known_ && credentials_of_ == view_.hash()) return;
  owners_.clear();
  shown_.clear();
  is_credentials_known_ = true;
  credentials_of_ = view_.hash();
  for (const Kind kind : {Kind::kConsumer, Kind::kCredential}) {
    each_body(kind, [&](const std::string& id, std::string_view body) {
      note_credentials(make_known({kind, id}, body));
    });
  }
}

void LiveConfiguration::note_credentials(const Resource& resource) {
  if (!is_credentials_known_) return;
  drop_credentials({resource.kind, resource.id});
  for (const ShownCredential& shown : credentials_of(resource)) {
    const Identity identity{shown.plugin, shown.text};
    const ResourceKey key{resource.kind, resource.id};
    const auto [owner, is_new] = owners_.emplace(identity, key);
    if (!is_new && displaced_.count(owner->second) > 0) owner->second = key;
    shown_[{resource.kind, resource.id}].push_back(identity);
  }
}

void LiveConfiguration::drop_credentials(const ResourceKey& key) {
  const auto found = shown_.find(key);
  if (found == shown_.end()) return;
  for (const Identity& identity : found->second) {
    const auto owner = owners_.find(identity);
    if (owner == owners_.end() || owner->second != key) continue;
    // A consumer and its credential may show the same: then the other has it now.
    const auto has_it = [&](const auto& entry) {
      return entry.first != key &&
             std::find(entry.second.begin(), entry.second.end(), identity) != entry.second.end();
    };
    const auto heir = std::find_if(shown_.begin(), shown_.end(), has_it);
    if (heir == shown_.end())
      owners_.erase(owner);
    else
      owner->second = heir->first;
  }
  shown_.erase(found);
}

void LiveConfiguration::remove(const ResourceKey& key) {
  std::vector<ResourceKey> below = find_owned_in_files(key);
  for (const Dependent& dependent : find_dependents(key)) {
    newly_quarantined_[resource_name(dependent.key)] =
        std::string(reference_field(key.first)) + ": " + resource_name(key) + " was deleted by force";
    for (ResourceKey& owned : find_owned_in_files(dependent.key)) below.push_back(std::move(owned));
  }
  // Why, is told for each of a file by itself when all is known: review_files().
  for (const ResourceKey& owned : below) newly_quarantined_[resource_name(owned)] = "";
  changes_[key] = std::nullopt;
  drop_credentials(key);
  close_names(key, "");
}

bool LiveConfiguration::remove_stored(const ResourceKey& key) {
  const bool is_served = place_of(key).empty();
  if (is_served) {
    remove(key);
  } else {
    close_names(key, "");
    quarantine(key, "");
  }
  return is_served;
}

void LiveConfiguration::close_names(const ResourceKey& key, const std::string& names) {
  if (closed_kind(key.first)) closed_names_[key] = names;
}

void LiveConfiguration::quarantine(const ResourceKey& key, const std::string& reason) {
  wanted_otherwise_[resource_name(key)] = reason;
}

Result<std::string> LiveConfiguration::finish(const snapshot::BlobWriter::About& about) {
  std::vector<Record> records;
  std::vector<RecordChange> changes;
  std::map<std::string, std::string> quarantined;
  releases_.begin();
  review_quarantine(&quarantined);
  drop_unused_code();
  // The changes point into it, so it must not move.
  records.reserve(changes_.size() + closed_names_.size() + added_.plugins.size() + added_.libraries.size() +
                  quarantined.size());
  for (const auto& [key, body] : changes_) {
    const RecordKind kind = snapshot::record_kind(key.first);
    const uint32_t order = key.first == Kind::kRoute ? kStoredOrder : 0;
    if (body) records.push_back({kind, 0, order, key.second, kStoredPlace, *body, 0});
    changes.push_back({kind, key.second, body ? &records.back() : nullptr});
  }
  for (const auto& [key, names] : closed_names_) {
    const RecordKind kind = *closed_kind(key.first);
    if (!names.empty()) records.push_back({kind, 0, 0, key.second, kStoredPlace, names, 0});
    changes.push_back({kind, key.second, names.empty() ? nullptr : &records.back()});
  }
  for (const auto& [kind, files] : {std::pair(RecordKind::kPluginSource, &added_.plugins),
                                    std::pair(RecordKind::kLibrarySource, &added_.libraries)}) {
    for (const SourceFile& file : *files) {
      records.push_back({kind, 0, 0, file.name, file.path, file.text, 0});
      changes.push_back({kind, file.name, &records.back()});
    }
  }
  for (const Record& record : view_.records_of(RecordKind::kQuarantined))
    changes.push_back({RecordKind::kQuarantined, std::string(record.id), nullptr});
  for (const auto& [name, reason] : quarantined) {
    records.push_back({RecordKind::kQuarantined, 0, 0, name, "", reason, 0});
    changes.push_back({RecordKind::kQuarantined, name, &records.back()});
  }
  Result<std::string> blob = snapshot::replace_records(view_, changes, about);
  if (blob && is_credentials_known_) {
    if (const auto next = snapshot::BlobView::begin(*blob)) credentials_of_ = next->hash();
  }
  return blob;
}

/// What only came for a change that was wrong is not to be loaded, or to fail, for the others.
void LiveConfiguration::drop_unused_code() {
  if (added_.plugins.empty()) return;
  std::set<std::string> used;
  for (const auto& [key, body] : changes_) {
    if (body) add_plugins_of(make_known(key, *body), &used);
  }
  std::erase_if(added_.plugins, [&](const SourceFile& plugin) {
    if (used.count(plugin.name) > 0) return false;
    const std::string own = "apisix.plugins." + plugin.name + ".";
    std::erase_if(added_.libraries, [&](const SourceFile& file) { return file.name.starts_with(own); });
    return true;
  });
  if (added_.plugins.empty()) added_.libraries.clear();
}

/// Who stays in quarantine, and who is right again now that something else has changed.
void LiveConfiguration::review_quarantine(std::map<std::string, std::string>* quarantined) {
  for (const Record& record : view_.records_of(RecordKind::kQuarantined)) {
    const auto key = parse_resource_name(record.id);
    if (key && !place_of(*key).empty()) {
      (*quarantined)[std::string(record.id)] = record.body;
      continue;
    }
    const bool is_decided =
        key && (changes_.count(*key) > 0 || wanted_otherwise_.count(std::string(record.id)) > 0);
    if (is_decided) releases_.forget(*key);
    if (!key || is_decided) continue;
    const auto stored = stored_->find(*key);
    if (stored != stored_->end() && !stored->second.fault.empty()) {
      (*quarantined)[std::string(record.id)] = stored->second.fault;
      continue;
    }
    const auto body = find_body(*key);
    if (!body && stored == stored_->end()) continue;
    // What was left out comes back when it is right.
    std::vector<std::string> warnings;
    const auto checked =
        body ? check(make_known(*key, *body), &warnings) : release(*key, stored->second.json);
    if (checked) continue;
    const std::string* held = body ? nullptr : releases_.find_held(*key);
    (*quarantined)[std::string(record.id)] = held != nullptr ? *held : std::string(record.body);
  }
  for (const auto& [name, reason] : newly_quarantined_) {
    const auto key = parse_resource_name(name);
    const bool is_changed = key && changes_.count(*key) > 0;
    if (!is_changed && (!reason.empty() || quarantined->count(name) == 0)) (*quarantined)[name] = reason;
  }
  for (const auto& [name, reason] : wanted_otherwise_) {
    if (!reason.empty()) (*quarantined)[name] = reason;
  }
  review_files(quarantined);
}

/// Now that it is known what the store has: what files have was judged by their load but for what it refers
/// to.
void LiveConfiguration::review_files(std::map<std::string, std::string>* quarantined) {
  for (const auto& [key, body] : changes_) {
    if (key.first != Kind::kSsl) continue;
    for (const Dependent& dependent : find_dependents(key)) {
      if (!dependent.is_stored) quarantined->emplace(resource_name(dependent.key), "");
    }
  }
  for (auto at = quarantined->begin(); at != quarantined->end();) {
    const auto held = at++;
    const auto key = parse_resource_name(held->first);
    if (!key || place_of(*key).empty() || is_taken(*key)) continue;
    if (const auto reason = why_held(*key, *quarantined))
      held->second = place_of(*key) + ": " + *reason;
    else
      quarantined->erase(held);
  }
}

/// Whether the store has another one of a file's id.
bool LiveConfiguration::is_taken(const ResourceKey& key) const {
  const auto wanted = wanted_otherwise_.find(resource_name(key));
  return wanted == wanted_otherwise_.end() ? stored_->find(key) != stored_->end() : !wanted->second.empty();
}

/// What a resource of a file refers to, and is not served; nothing when all is.
std::optional<std::string> LiveConfiguration::why_held(
    const ResourceKey& key, const std::map<std::string, std::string>& quarantined) {
  const Resource resource = make_known(key, find_body(key).value_or("{}"));
  bool has_certificate = false;
  for (const ResourceKey& referred : references_of(key, resource.body)) {
    const bool is_quarantined = quarantined.count(resource_name(referred)) > 0;
    const bool is_left_out = referred.first == Kind::kConsumer && why_held(referred, quarantined);
    if (!find_body(referred) || is_left_out) return describe_held(referred, is_quarantined || is_left_out);
    has_certificate = has_certificate || referred.first == Kind::kSsl;
  }
  if (!has_certificate) return std::nullopt;
  // It may be of another type, or switched off.
  std::vector<std::string> warnings;
  const auto checked = check(resource, &warnings);
  return checked ? std::nullopt : std::optional(checked.error().detail);
}

/// Puts one that nothing is served of, unless a worker is known to refuse it.
Result<void> LiveConfiguration::release(const ResourceKey& key, const std::string& json) {
  if (const std::string* held = releases_.find_held(key)) return base::invalid(*held);
  if (!releases_.takes_more()) return base::invalid("others come out of quarantine first");
  std::vector<std::string> warnings;
  auto put_back = put(key, json, &warnings);
  if (put_back) releases_.add(key, json);
  return put_back;
}

std::optional<std::string> LiveConfiguration::find_body(const ResourceKey& key) const {
  if (const auto changed = changes_.find(key); changed != changes_.end()) return changed->second;
  const Record* record = view_.find(snapshot::record_kind(key.first), key.second);
  if (record == nullptr) return std::nullopt;
  return std::string(record->body);
}

std::string LiveConfiguration::place_of(const ResourceKey& key) const {
  const Record* record = view_.find(snapshot::record_kind(key.first), key.second);
  return record == nullptr || record->place == kStoredPlace ? "" : std::string(record->place);
}

std::vector<ResourceKey> LiveConfiguration::find_owned_in_files(const ResourceKey& owner) const {
  std::vector<ResourceKey> found;
  const config::OwnedKind* owned = config::find_owned_by(owner.first);
  if (owned == nullptr) return found;
  const std::string prefix = owner.second + std::string(owned->mark);
  for (const Record& record : view_.records_of(snapshot::record_kind(owned->kind))) {
    if (record.place != kStoredPlace && record.id.starts_with(prefix))
      found.emplace_back(owned->kind, std::string(record.id));
  }
  return found;
}

template <class Look>
void LiveConfiguration::each_body(Kind kind, Look look) const {
  for (const Record& record : view_.records_of(snapshot::record_kind(kind))) {
    const std::string id(record.id);
    if (changes_.empty() || changes_.count({kind, id}) == 0) look(id, record.body);
  }
  for (const auto& [key, body] : changes_) {
    if (key.first == kind && body) look(key.second, *body);
  }
}

std::vector<Dependent> LiveConfiguration::find_dependents(const ResourceKey& key) const {
  std::vector<Dependent> found;
  const std::string_view field = reference_field(key.first);
  if (field.empty()) return found;
  for (const Kind kind : kReferring) {
    each_body(kind, [&](const std::string& id, std::string_view body) {
      if (!may_refer(body, field, key.second)) return;
      const Result<Value> parsed = base::parse_json(body);
      if (!parsed) return;
      const std::vector<ResourceKey> direct = references_of({kind, id}, *parsed);
      const bool is_direct = std::find(direct.begin(), direct.end(), key) != direct.end();
      if (!is_direct && !refers_by_plugin(*parsed, field, key.second)) return;
      const ResourceKey own{kind, id};
      found.push_back({own, !is_direct, place_of(own).empty()});
    });
  }
  return found;
}

}  // namespace moongate::control
