// SPDX-License-Identifier: Apache-2.0
#include "control/admin_lists.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/arena.h"
#include "base/json.h"
#include "config/encrypted_fields.h"
#include "config/secret_reference.h"
#include "control/admin_access.h"
#include "control/loader.h"
#include "control/references.h"
#include "http/uri.h"
#include "router/regex.h"

namespace moongate::control {

using base::Value;
using config::Kind;
using snapshot::Record;

namespace {

constexpr size_t kPageMin = 10;
constexpr size_t kPageMax = 500;

const std::string* find_argument(const AdminArguments& arguments, const std::string& name) {
  const auto found = arguments.find(name);
  return found == arguments.end() ? nullptr : &found->second;
}

std::optional<size_t> parse_count(const std::string& text) {
  size_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return count;
}

/// All conditions of a list, compiled once.
class Filter {
 public:
  /// Says what is wrong with the conditions, or nothing.
  std::string read(Kind kind, const AdminArguments& arguments) {
    if (auto fault = compile(find_argument(arguments, "name"), &name_); !fault.empty()) return fault;
    if (auto fault = compile(find_argument(arguments, "uri"), &uri_); !fault.empty()) return fault;
    label_ = find_argument(arguments, "label");
    const std::string* references = find_argument(arguments, "filter");
    const bool has_references = kind == Kind::kRoute || kind == Kind::kStreamRoute;
    if (references != nullptr && has_references) read_references(*references);
    return "";
  }

  bool is_empty() const { return !name_ && !uri_ && label_ == nullptr && references_.empty(); }

  bool matches(const Value& value) const {
    if (name_ && !name_->find(value.get_string("name"))) return false;
    if (label_ != nullptr && !label_->empty()) {
      const Value* labels = value.find("labels");
      if (labels == nullptr || labels->find(*label_) == nullptr) return false;
    }
    for (const auto& [field, id] : references_) {
      const Value* own = value.find(field);
      const std::string text = own == nullptr     ? ""
                               : own->is_string() ? own->as_string()
                                                  : base::to_json(*own);
      if (text != id) return false;
    }
    return !uri_ || has_uri(value);
  }

 private:
  std::string compile(const std::string* pattern, std::shared_ptr<router::Regex>* out) {
    if (pattern == nullptr || pattern->empty()) return "";
    std::string error = "there is no engine for regular expressions";
    if (router::RegexEngine* engine = router::regex_engine()) *out = engine->compile(*pattern, false, &error);
    return *out ? "" : "invalid pattern `" + *pattern + "`: " + error;
  }

  void read_references(std::string_view text) {
    base::Arena arena;
    std::string_view name;
    std::string_view value;
    bool has_value = false;
    while (http::next_query_argument(&text, &name, &value, &has_value)) {
      if (name == "service_id" || name == "upstream_id")
        references_.emplace_back(name, http::unescape(value, true, &arena));
    }
  }

  bool has_uri(const Value& value) const {
    if (const Value* uri = value.find("uri"); uri != nullptr && uri->is_string())
      return uri_->find(uri->as_string());
    const Value* uris = value.find("uris");
    if (uris == nullptr || !uris->is_array()) return false;
    return std::any_of(uris->items().begin(), uris->items().end(),
                       [&](const Value& uri) { return uri.is_string() && uri_->find(uri.as_string()); });
  }

  std::shared_ptr<router::Regex> name_;
  std::shared_ptr<router::Regex> uri_;
  const std::string* label_ = nullptr;
  std::vector<std::pair<std::string, std::string>> references_;
};

}  // namespace

AdminEntries::Entry AdminEntries::make_entry(const ResourceKey& key, std::string_view body) const {
  const StoredResource* stored = store_.find(key);
  if (stored == nullptr) return {key, body};
  const bool is_wrong = !stored->fault.empty() || body.empty();
  const bool has_encrypted = !is_wrong && body.find(config::kEncryptedMark) != body.npos;
  return {key,
          stored->json,
          stored->created_index,
          stored->modified_index,
          true,
          has_encrypted ? body : std::string_view(),
          is_wrong && !config::Keyring::of_process().is_empty()};
}

/// Null also for one that is deleted and served for some milliseconds more.
const Record* AdminEntries::find_record(const ResourceKey& key) const {
  const Record* record = served_.find(snapshot::record_kind(key.first), key.second);
  return record != nullptr && is_gone(key, *record) ? nullptr : record;
}

/// In the store, and so wrong that nothing is served for it.
bool AdminEntries::is_left_out(const ResourceKey& key) const {
  const StoredResource* stored = store_.find(key);
  return stored != nullptr && !stored->json.empty() &&
         served_.find(snapshot::record_kind(key.first), key.second) == nullptr &&
         served_.find(snapshot::RecordKind::kQuarantined, resource_name(key)) != nullptr;
}

bool AdminEntries::is_gone(const ResourceKey& key, const Record& record) const {
  return record.place == kStoredPlace && store_.find(key) == nullptr;
}

Value AdminEntries::value_of(const Entry& entry) const {
  base::Result<Value> value = base::parse_json(entry.json);
  if (!value || !value->is_object()) return Value::object();
  if (!entry.marked.empty()) {
    if (const base::Result<Value> marked = base::parse_json(entry.marked)) config::reveal(*marked, &*value);
  }
  const config::EncryptedFields* fields = entry.is_wrong ? ask_fields_() : nullptr;
  if (fields != nullptr) fields->decrypt(entry.key.first, entry.key.second, &*value);
  return entry.is_stored ? value.take() : value_of_file(entry.key, value.take());
}

void AdminEntries::append(std::string& out, const Entry& entry) const {
  out += "{\"key\":";
  base::append_json_string(out, admin_key(entry.key));
  const bool is_shown_whole = entry.is_stored && entry.key.first != Kind::kSsl && entry.marked.empty() &&
                              !entry.is_wrong && !entry.json.empty();
  out += ",\"value\":";
  if (is_shown_whole)
    out += entry.json;
  else
    out += base::to_json(shown_value(entry.key, value_of(entry)));
  out += ",\"createdIndex\":" + std::to_string(entry.created_index) +
         ",\"modifiedIndex\":" + std::to_string(entry.modified_index) + "}";
}

void AdminEntries::append_all(std::string& out, const std::vector<Entry>& entries, size_t first,
                              size_t last) const {
  out += "[";
  for (size_t i = first; i < last; i++) {
    if (i > first) out += ",";
    append(out, entries[i]);
  }
  out += "]";
}

HttpResponse AdminEntries::get(const ResourceKey& key) const {
  const Record* record = find_record(key);
  if (record == nullptr && !is_left_out(key)) return admin_not_found();
  const Entry entry = make_entry(key, record == nullptr ? std::string_view() : record->body);
  HttpResponse response;
  append(response.body, entry);
  response.body += "\n";
  response.fields.emplace_back("ETag", "\"" + std::to_string(entry.modified_index) + "\"");
  return response;
}

std::vector<AdminEntries::Entry> AdminEntries::collect(Kind kind, const std::string& parent) const {
  std::vector<Entry> entries;
  const config::OwnedKind* owned = config::find_owned(kind);
  const std::string prefix = owned == nullptr ? "" : parent + std::string(owned->mark);
  for (const Record& record : served_.records_of(snapshot::record_kind(kind))) {
    if (!record.id.starts_with(prefix)) continue;
    const ResourceKey key{kind, std::string(record.id)};
    if (!is_gone(key, record)) entries.push_back(make_entry(key, record.body));
  }
  for (const Record& record : served_.records_of(snapshot::RecordKind::kQuarantined)) {
    const auto key = parse_resource_name(record.id);
    if (key && key->first == kind && key->second.starts_with(prefix) && is_left_out(*key))
      entries.push_back(make_entry(*key, {}));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.created_index < b.created_index; });
  return entries;
}

HttpResponse AdminEntries::list(Kind kind, const std::string& parent, const AdminArguments& arguments) const {
  Filter filter;
  if (const std::string fault = filter.read(kind, arguments); !fault.empty()) return admin_error(400, fault);
  std::vector<Entry> entries = collect(kind, parent);
  if (!filter.is_empty())
    std::erase_if(entries, [&](const Entry& entry) { return !filter.matches(value_of(entry)); });
  const size_t total = entries.size();
  const std::string* page_text = find_argument(arguments, "page");
  const std::string* size_text = find_argument(arguments, "page_size");
  size_t first = 0;
  size_t last = total;
  if (page_text != nullptr && size_text != nullptr) {
    const std::optional<size_t> size = parse_count(*size_text);
    const std::optional<size_t> page = parse_count(*page_text);
    if (!size || *size < kPageMin || *size > kPageMax)
      return {400, "application/json", "page_size must be between 10 and 500\n", {}};
    first = std::min(total, (std::clamp<size_t>(page.value_or(1), 1, total + 1) - 1) * *size);
    last = std::min(total, first + *size);
  }
  HttpResponse response;
  response.body = "{\"list\":";
  append_all(response.body, entries, first, last);
  response.body += ",\"total\":" + std::to_string(total) + "}\n";
  return response;
}

HttpResponse AdminEntries::directory(Kind kind, const std::string& parent) const {
  const std::vector<Entry> entries = collect(kind, parent);
  HttpResponse response;
  response.body =
      "{\"action\":\"get\",\"count\":" + std::to_string(entries.size()) + ",\"node\":{\"dir\":true,\"key\":";
  base::append_json_string(response.body, admin_folder(kind, parent));
  response.body += ",\"nodes\":";
  append_all(response.body, entries, 0, entries.size());
  response.body += "}}\n";
  return response;
}

Value AdminEntries::everything() const {
  Value all = Value::object();
  std::map<std::string, uint64_t> versions;
  for (size_t i = 0; i < config::kKindCount; i++) {
    if (config::find_owned(static_cast<Kind>(i)) != nullptr) continue;
    const std::string name(config::kind_list_name(static_cast<Kind>(i)));
    all.set(name, Value::array());
    versions[name] = 0;
  }
  for (const auto& [key, stored] : store_.all()) {
    const std::string name(config::kind_list_name(key.first));
    const Record* record = find_record(key);
    Value value = value_of(make_entry(key, record == nullptr ? std::string_view() : record->body));
    if (config::find_owned(key.first) != nullptr || key.first == Kind::kPluginMetadata)
      value.set("id", Value::string(key.second));
    all.find(name)->items().push_back(shown_value(key, std::move(value)));
    versions[name] = std::max(versions[name], stored.modified_index);
  }
  for (const auto& [name, version] : versions)
    all.set(name + "_conf_version", Value::number(static_cast<double>(version)));
  return all;
}

}  // namespace moongate::control
