// SPDX-License-Identifier: Apache-2.0
#include "control/schema_catalog.h"

#include "control/plugin_sources.h"

namespace moongate::control {

using base::Result;
using snapshot::Record;
using snapshot::RecordKind;

Result<std::pair<int, std::string>> SchemaCatalog::ask(const snapshot::BlobView& served,
                                                       const std::vector<std::string>& question) {
  if (!validator_ || loaded_ != served.number()) {
    validator_.reset();
    if (auto loaded = load(served); !loaded) return loaded.error();
    loaded_ = served.number();
  }
  return validator_->describe_schemas(question);
}

Result<void> SchemaCatalog::load(const snapshot::BlobView& served) {
  Sources sources;
  for (const auto& [kind, files] : {std::pair(RecordKind::kPluginSource, &sources.plugins),
                                    std::pair(RecordKind::kLibrarySource, &sources.libraries)}) {
    for (const Record& record : served.records_of(kind))
      files->push_back({std::string(record.id), std::string(record.place), std::string(record.body)});
  }
  std::set<std::string> names;
  for (const std::string& name : shipped_plugins(lua_root_)) {
    if (served.find(RecordKind::kPluginSource, name) == nullptr) names.insert(name);
  }
  Result<CollectedSources> shipped = collect_sources(names, {{}, lua_root_});
  if (!shipped) return shipped.error();
  for (SourceFile& file : shipped->sources.plugins) sources.plugins.push_back(std::move(file));
  for (SourceFile& file : shipped->sources.libraries) sources.libraries.push_back(std::move(file));
  Result<std::unique_ptr<Validator>> made = make_validator_();
  if (!made) return made.error();
  const std::string attributes(served.body_of(RecordKind::kPluginAttr, "{}"));
  if (auto loaded = (*made)->load(sources, attributes); !loaded) return loaded;
  validator_ = made.take();
  return {};
}

}  // namespace moongate::control
