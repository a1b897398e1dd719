// SPDX-License-Identifier: Apache-2.0
#include "control/loader.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_set>

#include "base/ascii.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "config/encrypted_fields.h"
#include "config/source.h"
#include "config/suggest.h"
#include "control/closed_names.h"
#include "control/findings.h"
#include "control/held.h"
#include "control/plugin_sources.h"
#include "control/references.h"
#include "control/resource_checks.h"
#include "control/times.h"
#include "control/trusted_file.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;
using config::Resource;
using snapshot::Record;
using snapshot::RecordKind;

namespace {

class Loader {
 public:
  explicit Loader(const LoadOptions& options) : options_(options) {}

  Loaded load() {
    out_.files = options_.config_paths;
    if (auto loaded = load_all(); !loaded) findings_.add_text(loaded.error().detail);
    out_.errors = std::move(findings_.errors());
    out_.wrong = findings_.wrong();
    auto& warnings = findings_.warnings();
    out_.warnings.insert(out_.warnings.end(), warnings.begin(), warnings.end());
    for (std::vector<std::string>* texts : {&out_.errors, &out_.warnings}) {
      if (texts->size() <= kErrorsMax) continue;
      const size_t more = texts->size() - kErrorsMax;
      texts->resize(kErrorsMax);
      texts->push_back("and " + std::to_string(more) + " more");
    }
    if (!out_.errors.empty()) out_.blob.clear();
    return std::move(out_);
  }

 private:
  /// Fails at what stops everything; what is wrong with single resources goes to out_.errors.
  Result<void> load_all() {
    Result<std::unique_ptr<Validator>> validator = (*options_.make_validator)();
    if (!validator) return validator.error();
    config::SourceOptions how;
    how.evaluate_lua = [&](const std::string& path, std::string_view text, uint16_t file) {
      return (*validator)->evaluate(path, text, file);
    };
    config::Visited visited;
    Result<config::Source> source = config::Source::load(options_.config_paths, how, &visited);
    out_.files.insert(out_.files.end(), visited.files.begin(), visited.files.end());
    out_.folders = std::move(visited.folders);
    out_.stamps = std::move(visited.stamps);
    if (!source) return source.error();
    auto trees = std::make_shared<Trees>();
    out_.trees = trees;
    trees->source = source.take();
    out_.warnings = trees->source.warnings();
    findings_.set_places(trees->source.places());
    Result<config::Document> made = config::make_document(trees->source.take_root(), trees->source.places());
    if (!made) return made.error();
    trees->document = made.take();
    config::Document* document = &trees->document;
    if (auto found = find_stored(document->settings); !found) return found;
    if (auto added = add_stored(*document); !added) return added;
    if (!findings_.is_empty()) return {};
    note_absent(findings_, document);
    Result<CollectedSources> collected = collect(*document);
    const auto& paths = document->settings.plugin_paths;
    out_.folders.insert(out_.folders.end(), paths.begin(), paths.end());
    if (!collected) return collected.error();
    if (auto marked = mark_encrypted(**validator, document, collected->sources); !marked) return marked;
    out_.stamps.merge(collected->stamps);
    note_links(collected->sources);
    out_.folders.insert(out_.folders.end(), collected->folders.begin(), collected->folders.end());
    read_trusted(*document);
    check_acme(*document);
    report_missing(*document, collected->missing);
    check_references(*document, findings_);
    check_managers(*document, findings_);
    if (!findings_.is_empty()) return {};
    write_bodies(*document);
    note_known(*document, collected->sources);
    if (auto checked = check(**validator, *document, collected->sources); !checked) return checked;
    check_resources(*document, findings_);
    check_credentials(*document, findings_);
    hold_referring(*document, findings_);
    if (!findings_.is_empty()) return {};
    out_.settings = document->settings;
    out_.plugin_count = collected->sources.plugins.size();
    if (auto written = write(*document, collected->sources); !written) return written;
    const size_t quarantined = findings_.quarantined().size();
    SnapshotChecker& checker = options_.checker != nullptr ? *options_.checker : own_checker_;
    Result<snapshot::BlobView> judged_by_compiling = view_of_doubtful(*document);
    if (!judged_by_compiling) return judged_by_compiling.error();
    if (auto checked = checker.check(judged_by_compiling.take(), *document, findings_); !checked)
      return checked;
    if (findings_.quarantined().size() != quarantined) {
      hold_referring(*document, findings_);
      if (auto written = write(*document, collected->sources); !written) return written;
    }
    remember_known();
    return {};
  }

  Result<void> find_stored(const config::Settings& settings) {
    stored_ = options_.stored;
    if (!options_.find_stored) return {};
    const auto found = options_.find_stored(settings);
    if (found) stored_ = *found;
    return found ? Result<void>() : Result<void>(found.error());
  }

  /// What was made through the Admin API stands beside what the files have.
  Result<void> add_stored(config::Document& document) {
    if (stored_ == nullptr || stored_->empty()) return {};
    set_tolerated(document);
    const bool is_shared = document.settings.etcd.is_used();
    std::set<ResourceKey> left_out;
    for (const Resource& resource : document.resources) {
      const ResourceKey key{resource.kind, resource.id};
      const auto same = stored_->find(key);
      if (same == stored_->end()) continue;
      const std::string name = resource_name(key);
      // Who writes to a shared store does not know this file.
      const bool is_left_out = is_shared && options_.is_tolerated && options_.is_tolerated(name);
      if (is_left_out) {
        left_out.insert(key);
        // Its names are this gateway's too; the hosts of its service are those that the file says.
        if (key.first == Kind::kSsl) closed_[key] = names_to_close(key, same->second.json);
        findings_.quarantine(name, taken_by_file(findings_.place_of(resource, {})));
        continue;
      }
      findings_.add(
          resource, {},
          "the id `" + resource.id +
              "` is taken by one that was made through the Admin API; delete that one first, or give "
              "this one another id");
    }
    for (const auto& [key, stored] : *stored_) {
      if (left_out.count(key) > 0) continue;
      if (!stored.fault.empty()) findings_.quarantine(resource_name(key), stored.fault);
      if (!stored.fault.empty()) closed_[key] = names_to_close(key, stored.json);
      if (!stored.fault.empty() && stored.stand_in.empty()) continue;
      Result<Resource> resource = make_resource(key, stored.fault.empty() ? stored.json : stored.stand_in);
      if (!resource) return resource.error();
      resource->position = document.resources.size();
      resource->created_index = stored.created_index;
      document.resources.push_back(resource.take());
    }
    return {};
  }

  void set_tolerated(const config::Document& document) {
    findings_.set_tolerated(
        [this, &document](const Resource& resource, const std::vector<std::string>& path) {
          const bool is_tolerated =
              options_.is_tolerated && options_.is_tolerated(resource_name({resource.kind, resource.id}));
          if (resource.is_stored) return is_tolerated;
          return (document.settings.etcd.is_used() || is_tolerated) &&
                 is_about_stored_certificate(document, resource, path);
        });
  }

  /// Stored resources are read as they lie in the store; which of their fields are encrypted the schemas say.
  Result<void> mark_encrypted(Validator& validator, config::Document* document, const Sources& sources) {
    config::Keyring::of_process().set(document->settings.data_encryption);
    const bool has_stored = stored_ != nullptr && !stored_->empty();
    if (config::Keyring::of_process().is_empty() || !has_stored) return {};
    const Value* attributes = document->root.find("plugin_attr");
    const bool has_attributes = attributes != nullptr && attributes->is_object();
    auto loaded = validator.load(sources, has_attributes ? base::to_json(*attributes) : std::string("{}"));
    if (!loaded) return loaded;
    Result<config::EncryptedFields> fields = read_encrypted_fields(validator);
    if (!fields) return fields.error();
    for (Resource& resource : document->resources) {
      if (resource.is_stored) fields->mark(resource.kind, resource.id, &resource.body);
    }
    return {};
  }

  /// A plugin that is a link changes where the link leads to.
  void note_links(const Sources& sources) {
    std::error_code error;
    for (const auto* files : {&sources.plugins, &sources.libraries}) {
      for (const SourceFile& file : *files) {
        if (std::filesystem::is_symlink(file.path, error)) out_.files.push_back(file.path);
      }
    }
  }

  /// Paths are taken from the folder of the first configuration file, like those of `include`.
  Result<CollectedSources> collect(config::Document& document) {
    SourceSearch search{{}, options_.lua_root};
    const auto first = std::filesystem::absolute(options_.config_paths.front());
    const auto folder = std::filesystem::is_directory(first) ? first : first.parent_path();
    config::EtcdTls& etcd = document.settings.etcd.tls;
    for (std::string* path : {&document.settings.upstream.tls_trusted_certificate, &etcd.cert, &etcd.key,
                              &etcd.trusted_certificate, &document.settings.acme.trusted_certificate}) {
      if (!path->empty()) *path = (folder / *path).lexically_normal().string();
    }
    for (std::string& path : document.settings.plugin_paths) {
      path = (folder / path).lexically_normal().string();
      if (path.size() > 1 && path.back() == '/') path.pop_back();
      search.plugin_paths.push_back(path);
    }
    std::set<std::string> names;
    for (const Resource& resource : document.resources)
      add_plugins_of(resource, resource.is_stored ? &names : &file_plugins_);
    if (const Value* listed = document.root.find("plugins"); listed != nullptr && listed->is_array()) {
      for (const Value& item : listed->items()) {
        // APISIX writes {name: ..., stream: true} for plugins of streams.
        const std::string_view name =
            item.is_string() ? std::string_view(item.as_string()) : item.get_string("name");
        if (!name.empty()) file_plugins_.insert(std::string(name));
      }
    }
    names.insert(file_plugins_.begin(), file_plugins_.end());
    return collect_sources(names, search);
  }

  void check_acme(const config::Document& document) {
    const Value* settings = document.root.find("moongate");
    const Value* written = settings == nullptr ? nullptr : settings->find("acme");
    if (written == nullptr || !written->is_object()) return;
    const config::AcmeSettings& acme = document.settings.acme;
    if (!acme.is_used())
      findings_.add_setting(document, {"acme"},
                            "nothing is asked of an authority before you have agreed to its terms; read "
                            "them and write `agree_to_terms: true`, or remove `acme`");
    if (document.settings.etcd.is_used())
      findings_.add_setting(document, {"acme"},
                            "does not go with `moongate.etcd` in this version: the authority may ask "
                            "another gateway than the one that ordered; give `cert` and `key` there");
    const std::string& path = acme.trusted_certificate;
    if (path.empty()) return;
    out_.files.push_back(path);
    out_.stamps.emplace(path, base::file_stamp(path));
    if (Result<std::string> read = read_trusted_file(path); !read)
      findings_.add_setting(document, {"acme", "trusted_certificate"}, read.error().detail);
  }

  void read_trusted(const config::Document& document) {
    const std::string& path = document.settings.upstream.tls_trusted_certificate;
    if (path.empty()) return;
    out_.files.push_back(path);
    out_.stamps.emplace(path, base::file_stamp(path));
    Result<std::string> read = read_trusted_file(path);
    if (read) {
      trusted_ = read.take();
      return;
    }
    findings_.add_setting(document, {"upstream", "tls_trusted_certificate"}, read.error().detail);
  }

  /// A plugin that is not there refuses whatever uses it: a route must not open because its authentication is
  /// missing.
  void report_missing(const config::Document& document, const std::vector<std::string>& missing) {
    const std::set<std::string> names(missing.begin(), missing.end());
    if (names.empty()) return;
    const std::vector<std::string> shipped = shipped_plugins(options_.lua_root);
    const std::vector<std::string_view> known(shipped.begin(), shipped.end());
    std::set<std::string> used;
    for (const Resource& resource : document.resources) {
      if (resource.kind == Kind::kPluginMetadata && names.count(resource.id) > 0) {
        used.insert(resource.id);
        findings_.add(resource, {}, describe_missing(resource.id, known));
      }
      const Value* plugins = resource.body.find("plugins");
      if (plugins == nullptr || !plugins->is_object()) continue;
      for (const auto& [name, conf] : plugins->members()) {
        if (names.count(name) == 0) continue;
        used.insert(name);
        findings_.add(resource, {"plugins", name}, describe_missing(name, known));
      }
    }
    for (const std::string& name : missing) {
      if (used.count(name) == 0) out_.warnings.push_back("plugins: " + describe_missing(name, known));
    }
  }

  static std::string describe_missing(const std::string& name, const std::vector<std::string_view>& known) {
    const std::string_view near = config::nearest_word(name, known);
    const std::string hint = near.empty() ? "put " + name + ".lua into a folder of moongate.plugin_paths"
                                          : "did you mean `" + std::string(near) + "`?";
    return "there is no plugin `" + name + "`; " + hint;
  }

  void write_bodies(const config::Document& document) {
    bodies_.reserve(document.resources.size());
    for (const Resource& resource : document.resources) bodies_.push_back(base::to_json(resource.body, true));
  }

  /// Marks what need not be checked again: the same resource was right in the same surroundings.
  void note_known(config::Document& document, const Sources& sources) {
    if (options_.known == nullptr) return;
    snapshot::Hasher hasher;
    for (const auto* files : {&sources.plugins, &sources.libraries}) {
      hasher.add(files->size());
      for (const SourceFile& file : *files) {
        hasher.add(file.name);
        hasher.add(file.path);
        hasher.add(file.text);
      }
    }
    const Value* attributes = document.root.find("plugin_attr");
    hasher.add(attributes != nullptr ? base::to_json(*attributes, true) : std::string());
    hasher.add(config::settings_to_json(document.settings));
    hasher.add(trusted_);
    for (size_t i = 0; i < document.resources.size(); i++) {
      const Resource& resource = document.resources[i];
      // Nothing refers to routes, consumers and what has an owner; to others, by their id.
      if (resource.kind == Kind::kRoute || resource.kind == Kind::kConsumer ||
          config::find_owned(resource.kind) != nullptr)
        continue;
      hasher.add(uint64_t{static_cast<uint8_t>(resource.kind)});
      hasher.add(resource.id);
      if (!KnownGood::can_know(resource.kind)) hasher.add(bodies_[i]);
    }
    surroundings_ = hasher.finish();
    for (size_t i = 0; i < document.resources.size(); i++) {
      Resource& resource = document.resources[i];
      if (!KnownGood::can_know(resource.kind)) continue;
      keys_.push_back({&resource, KnownGood::key_of(resource, bodies_[i])});
      resource.is_known = options_.known->has(surroundings_, keys_.back().second);
    }
  }

  void remember_known() {
    if (options_.known == nullptr || !findings_.is_empty()) return;
    std::vector<snapshot::Hash128> right;
    right.reserve(keys_.size());
    for (const auto& [resource, key] : keys_) {
      if (!findings_.concerns(*resource)) right.push_back(key);
    }
    options_.known->replace(surroundings_, right);
  }

  Result<void> check(Validator& validator, const config::Document& document, const Sources& sources) {
    Result<std::vector<Complaint>> complaints = validator.check(document, sources);
    if (!complaints) return complaints.error();
    std::map<std::pair<std::string_view, std::string_view>, const Resource*> by_name;
    for (const Resource& resource : document.resources)
      by_name[{config::kind_name(resource.kind), resource.id}] = &resource;
    for (const Complaint& complaint : *complaints) {
      const auto found = by_name.find({complaint.resource_kind, complaint.id});
      if (found == by_name.end())
        report_source(complaint, sources);
      else
        findings_.add(*found->second, complaint.path, complaint.text);
    }
    return {};
  }

  /// What is wrong with a plugin and not with a resource; its text names the line itself where Lua knows it.
  /// Without a name it is about all of them.
  void report_source(const Complaint& complaint, const Sources& sources) {
    if (complaint.id.empty()) {
      findings_.add_text(complaint.text);
      return;
    }
    const auto found = std::find_if(sources.plugins.begin(), sources.plugins.end(),
                                    [&](const auto& plugin) { return plugin.name == complaint.id; });
    const bool is_named =
        found == sources.plugins.end() || complaint.text.find(found->path) != std::string::npos;
    findings_.add_text((is_named ? "" : found->path + ": ") + complaint.resource_kind + " `" + complaint.id +
                       "`: " + complaint.text);
  }

  Result<void> write(const config::Document& document, const Sources& sources) {
    snapshot::BlobWriter writer;
    snapshot::Hasher of_files;
    out_.counts = {};
    const std::string settings = config::settings_to_json(document.settings);
    writer.add(Record{RecordKind::kSettings, 0, 0, "", "", settings, 0});
    const Value* attributes = document.root.find("plugin_attr");
    const std::string attr =
        attributes != nullptr && attributes->is_object() ? base::to_json(*attributes, true) : "{}";
    writer.add(Record{RecordKind::kPluginAttr, 0, 0, "", "", attr, 0});
    for (size_t i = 0; i < document.resources.size(); i++) {
      const Resource& resource = document.resources[i];
      out_.counts[static_cast<size_t>(resource.kind)]++;
      const uint32_t order = resource.kind != Kind::kRoute ? 0
                             : resource.is_stored          ? kStoredOrder
                                                           : static_cast<uint32_t>(resource.position);
      const std::string place =
          resource.is_stored ? std::string(kStoredPlace) : findings_.place_of(resource, {});
      if (!resource.is_stored) {
        of_files.add(uint64_t{static_cast<uint8_t>(resource.kind)} << 32 | order);
        of_files.add(resource.id);
        of_files.add(bodies_[i]);
      }
      if (is_unknown_consumer(resource)) continue;
      writer.add(Record{snapshot::record_kind(resource.kind), 0, order, resource.id, place, bodies_[i], 0});
    }
    for (const auto& [key, names] : closed_) {
      if (!names.empty())
        writer.add(Record{*closed_kind(key.first), 0, 0, key.second, kStoredPlace, names, 0});
    }
    if (const std::string& path = document.settings.upstream.tls_trusted_certificate; !path.empty())
      writer.add(Record{RecordKind::kTrusted, 0, 0, "", path, trusted_, 0});
    for (const auto& [files, kind] : {std::pair(&sources.plugins, RecordKind::kPluginSource),
                                      std::pair(&sources.libraries, RecordKind::kLibrarySource)}) {
      for (const SourceFile& file : *files) {
        writer.add(Record{kind, 0, 0, file.name, file.path, file.text, 0});
        const bool is_of_files = is_of_files_code(file.name, kind == RecordKind::kPluginSource);
        out_.code[file.path] = {snapshot::hash64(file.text), is_of_files};
      }
    }
    for (const std::string& name : file_plugins_) of_files.add(name);
    for (const auto& [name, reason] : findings_.quarantined())
      writer.add(Record{RecordKind::kQuarantined, 0, 0, name, "", reason, 0});
    of_files.add(settings);
    of_files.add(attr);
    of_files.add(trusted_);
    out_.file_hash = of_files.finish();
    Result<std::string> blob = writer.finish({});
    if (!blob) return blob.error();
    const Result<snapshot::BlobView> view = snapshot::BlobView::begin(*blob);
    if (!view) return view.error();
    out_.hash = view->hash();
    out_.blob = blob.take();
    return {};
  }

  /// The blob without routes of which is known how a worker will take them.
  Result<snapshot::BlobView> view_of_doubtful(const config::Document& document) const {
    Result<snapshot::BlobView> view = snapshot::BlobView::read(out_.blob);
    if (!view) return view;
    std::unordered_set<std::string_view> judged;
    for (size_t i = 0; i < document.resources.size(); i++) {
      if (is_judged_whole(document.resources[i], bodies_[i])) judged.insert(document.resources[i].id);
    }
    view->leave_out([&](const Record& record) {
      return record.kind == RecordKind::kRoute && judged.count(record.id) > 0;
    });
    return view;
  }

  /// A consumer that is wrong, or shows the key of another, lets nobody in.
  bool is_unknown_consumer(const Resource& resource) const {
    const bool is_consumer = resource.kind == Kind::kConsumer || resource.kind == Kind::kCredential;
    return is_consumer && resource.is_stored && findings_.concerns(resource);
  }

  /// Of libraries those are a plugin's own that lie beside its init.lua.
  bool is_of_files_code(const std::string& name, bool is_plugin) const {
    constexpr std::string_view kOwn = "apisix.plugins.";
    if (is_plugin) return file_plugins_.count(name) > 0;
    if (!name.starts_with(kOwn)) return true;
    return file_plugins_.count(name.substr(kOwn.size(), name.find('.', kOwn.size()) - kOwn.size())) > 0;
  }

  struct Trees {
    config::Source source;
    config::Document document;
  };

  const LoadOptions& options_;
  SnapshotChecker own_checker_;
  Findings findings_;
  const ResourceStore::Map* stored_ = nullptr;
  std::set<std::string> file_plugins_;         // those that the files name
  std::map<ResourceKey, std::string> closed_;  // names_to_close() of what is wrong in the store
  std::string trusted_;                        // what upstream.tls_trusted_certificate holds
  std::vector<std::string> bodies_;            // of the document's resources, as the snapshot will have them
  snapshot::Hash128 surroundings_;
  std::vector<std::pair<const Resource*, snapshot::Hash128>> keys_;
  Loaded out_;
};

}  // namespace

Result<Resource> make_resource(const ResourceKey& key, std::string_view json) {
  Resource resource{key.first, key.second, Value()};
  resource.is_stored = true;
  Result<Value> body = base::parse_json(json);
  if (!body || !body->is_object())
    return base::invalid(resource.name() + ": the stored resource is no JSON object");
  for (const char* added : {"create_time", "update_time"}) body->remove(added);
  // In the files' form the id says which plugin or consumer it is for.
  if (key.first == Kind::kPluginMetadata || config::find_owned(key.first) != nullptr)
    body->set("id", Value::string(key.second));
  resource.body = body.take();
  return resource;
}

Result<config::EncryptedFields> read_encrypted_fields(Validator& validator) {
  const Result<std::pair<int, std::string>> answer = validator.describe_schemas({"encrypted_fields"});
  if (!answer) return answer.error();
  return config::EncryptedFields::from_json(answer->second);
}

std::string store_folder(const config::EtcdSettings& settings) {
  if (settings.host.empty()) return "store";
  std::string name = "etcd";
  for (const char c : settings.prefix) {
    const bool is_plain = base::is_alphanumeric(c);
    name.push_back(is_plain ? c : '-');
  }
  return name;
}

std::string taken_by_file(const std::string& place) {
  return "is in " + place + ", which goes before the shared store; give one of them another id";
}

Loaded load_configuration(const LoadOptions& options) { return Loader(options).load(); }

Result<std::string> number_blob(std::string_view blob, uint64_t number, const std::string& reason) {
  const Result<snapshot::BlobView> view = snapshot::BlobView::read(blob);
  if (!view) return view.error();
  base::Clock::refresh();
  return snapshot::renumber(*view, {number, wall_ms(), reason});
}

}  // namespace moongate::control
