// SPDX-License-Identifier: Apache-2.0
#include "control/held.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/json.h"
#include "config/suggest.h"

namespace moongate::control {

using base::Value;
using config::Document;
using config::Kind;
using config::Resource;

namespace {

constexpr size_t kHintsMax = 100;  // each looks at all ids of a kind

/// Those that others can refer to.
std::map<ResourceKey, const Resource*> index_of(const Document& document) {
  std::map<ResourceKey, const Resource*> index;
  for (const Resource& resource : document.resources) {
    const bool is_referable =
        !reference_field(resource.kind).empty() || config::find_owned_by(resource.kind) != nullptr;
    if (is_referable) index.emplace(ResourceKey{resource.kind, resource.id}, &resource);
  }
  return index;
}

bool is_shared(const Document& document) { return document.settings.etcd.is_used(); }

bool is_quarantined(const Findings& findings, const ResourceKey& key) {
  return findings.quarantined().count(resource_name(key)) > 0;
}

/// "; did you mean `u1`?", or nothing.
std::string hint_for(const ResourceKey& missing, const std::map<ResourceKey, const Resource*>& index) {
  std::vector<std::string_view> ids;
  for (auto at = index.lower_bound({missing.first, ""});
       at != index.end() && at->first.first == missing.first; ++at)
    ids.push_back(at->first.second);
  const std::string_view near = config::nearest_word(missing.second, ids);
  return near.empty() ? "" : "; did you mean `" + std::string(near) + "`?";
}

}  // namespace

void note_absent(const Findings& findings, Document* document) {
  if (!is_shared(*document) && findings.quarantined().empty()) return;
  const auto index = index_of(*document);
  std::set<ResourceKey> noted;
  for (const Resource& resource : document->resources) {
    if (resource.is_stored) continue;
    for (const ResourceKey& key : references_of({resource.kind, resource.id}, resource.body)) {
      const auto found = index.find(key);
      // Of what type a stored certificate is, the compiler says: see is_about_stored_certificate().
      const bool is_there = found != index.end() && (key.first != Kind::kSsl || !found->second->is_stored);
      const bool may_come = is_shared(*document) || is_quarantined(findings, key);
      if (is_there || !may_come || !noted.insert(key).second) continue;
      Resource& absent = document->absent.emplace_back();
      absent.kind = key.first;
      absent.id = key.second;
      absent.body = Value::object();
      absent.is_known = true;
    }
  }
}

void hold_referring(const Document& document, Findings& findings) {
  if (!is_shared(document) && findings.quarantined().empty()) return;
  const auto index = index_of(document);
  std::map<ResourceKey, std::string> hints;
  const auto hold = [&](const Resource& resource) {
    for (const ResourceKey& key : references_of({resource.kind, resource.id}, resource.body)) {
      const auto found = index.find(key);
      const bool is_left_out =
          found != index.end() && key.first == Kind::kConsumer && findings.concerns(*found->second);
      if (found != index.end() && !is_left_out) continue;
      // A file's consumer serves whatever the store has of that name.
      const bool is_held = is_quarantined(findings, key);
      if (!is_held && !is_shared(document)) continue;
      if (!is_held && hints.size() < kHintsMax && hints.count(key) == 0) hints[key] = hint_for(key, index);
      const auto hint = hints.find(key);
      return findings.quarantine(resource, describe_held(key, is_held),
                                 hint == hints.end() ? "" : hint->second);
    }
  };
  for (const bool is_owned : {false, true}) {
    for (const Resource& resource : document.resources) {
      const bool is_asked = !resource.is_stored && (config::find_owned(resource.kind) != nullptr) == is_owned;
      if (is_asked && !findings.concerns(resource)) hold(resource);
    }
  }
}

bool is_about_stored_certificate(const Document& document, const Resource& resource,
                                 const std::vector<std::string>& path) {
  if (path.empty() || path.back() != reference_field(Kind::kSsl)) return false;
  const Value* value = &resource.body;
  for (const std::string& step : path) value = value == nullptr ? nullptr : value->find(step);
  if (value == nullptr) return false;
  const std::string id = base::scalar_text(*value);
  return std::any_of(document.resources.begin(), document.resources.end(), [&](const Resource& other) {
    return other.is_stored && other.kind == Kind::kSsl && other.id == id;
  });
}

std::string describe_held(const ResourceKey& missing, bool is_quarantined) {
  const std::string field(reference_field(missing.first));
  const std::string what = (field.empty() ? "" : field + ": ") + resource_name(missing);
  if (is_quarantined) return what + " is in quarantine, and this with it";
  return what + " is in no file and, as far as is known here, not in etcd; this waits for it";
}

}  // namespace moongate::control
