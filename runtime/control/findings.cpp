// SPDX-License-Identifier: Apache-2.0
#include "control/findings.h"

#include <charconv>

#include "control/references.h"

namespace moongate::control {

using base::Value;
using config::Resource;

namespace {

/// The member that `rest` begins with; the longest, since keys may hold dots ("127.0.0.1:80").
const Value::Member* find_first_member(const Value& object, std::string_view rest) {
  const Value::Member* found = nullptr;
  for (const Value::Member& member : object.members()) {
    const std::string& key = member.first;
    const bool is_whole =
        rest.starts_with(key) && (rest.size() == key.size() ||
                                  std::string_view(".[:").find(rest[key.size()]) != std::string_view::npos);
    if (is_whole && (found == nullptr || key.size() > found->first.size())) found = &member;
  }
  return found;
}

/// The index in "[12]..." and the size of its text; a size of 0 when there is none.
size_t read_index(std::string_view rest, size_t* index) {
  if (!rest.starts_with('[')) return 0;
  const char* end = rest.data() + rest.size();
  const auto [after, error] = std::from_chars(rest.data() + 1, end, *index);
  if (error != std::errc() || after == end || *after != ']') return 0;
  return static_cast<size_t>(after - rest.data()) + 1;
}

/// The way to the field that `detail` begins with, as far as there is one.
std::vector<std::string> path_of(const Value& body, std::string_view detail) {
  std::vector<std::string> path;
  const Value* at = &body;
  for (;;) {
    if (at->is_object()) {
      const Value::Member* member = find_first_member(*at, detail);
      if (member == nullptr) return path;
      path.push_back(member->first);
      detail.remove_prefix(member->first.size());
      at = &member->second;
    } else if (at->is_array()) {
      size_t index = 0;
      const size_t size = read_index(detail, &index);
      if (size == 0 || index >= at->items().size()) return path;
      path.push_back(std::to_string(index));
      detail.remove_prefix(size);
      at = &at->items()[index];
    } else {
      return path;
    }
    if (detail.starts_with('.')) detail.remove_prefix(1);
  }
}

bool begins_with_field(std::string_view detail) { return detail.find(' ') > detail.find(": "); }

}  // namespace

std::string Findings::place_of(const Resource& resource, const std::vector<std::string>& path) const {
  // What the API has made stands in no file.
  return places_ == nullptr || resource.is_stored ? ""
                                                  : places_->of(resource.body, config::pointer_text(path));
}

std::string Findings::line_of(const Resource& resource, const std::vector<std::string>& path,
                              const std::string& text) const {
  const std::string place = place_of(resource, path);
  return (place.empty() ? "" : place + ": ") + config::field_text(resource.name(), path) + ": " + text;
}

void Findings::add(const Resource& resource, const std::vector<std::string>& path, const std::string& text) {
  note(resource, path, line_of(resource, path, text));
}

void Findings::note(const Resource& resource, const std::vector<std::string>& path, std::string line) {
  concerned_.insert(&resource);
  if (is_tolerated_ && is_tolerated_(resource, path)) {
    // Not resource.name(): of a file's that is a position, which the next edit may change.
    const std::string name = resource_name({resource.kind, resource.id});
    if (resource.is_stored) wrong_.insert(name);
    if (quarantined_.emplace(name, line).second)
      warnings_.push_back("quarantined, its routes answer 503: " + line);
    return;
  }
  errors_.push_back(std::move(line));
}

void Findings::quarantine(const std::string& name, const std::string& reason, const std::string& hint) {
  if (quarantined_.emplace(name, reason).second)
    warnings_.push_back("quarantined: " + name + ": " + reason + hint);
}

void Findings::quarantine(const Resource& resource, const std::string& reason, const std::string& hint) {
  concerned_.insert(&resource);
  const std::string place = place_of(resource, {});
  quarantine(resource_name({resource.kind, resource.id}), (place.empty() ? "" : place + ": ") + reason, hint);
}

void Findings::add_setting(const config::Document& document, const std::vector<std::string>& path,
                           const std::string& text) {
  const std::string place =
      places_ == nullptr ? "" : places_->of(document.root, "/moongate" + config::pointer_text(path));
  errors_.push_back((place.empty() ? "" : place + ": ") + config::field_text("moongate", path) + ": " + text);
}

void Findings::warn(const Resource& resource, const std::vector<std::string>& path, const std::string& text) {
  warnings_.push_back(line_of(resource, path, text));
}

void Findings::add_detail(const Resource& resource, const std::string& detail) {
  const std::vector<std::string> path = path_of(resource.body, detail);
  const std::string place = place_of(resource, path);
  note(resource, path,
       (place.empty() ? "" : place + ": ") + resource.name() +
           (!path.empty() || begins_with_field(detail) ? "." : ": ") + detail);
}

}  // namespace moongate::control
