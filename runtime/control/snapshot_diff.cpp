// SPDX-License-Identifier: Apache-2.0
#include "control/snapshot_diff.h"

#include "base/json.h"
#include "control/admin_resources.h"
#include "control/loader.h"
#include "control/references.h"

namespace moongate::control {

using base::Result;
using base::Value;
using snapshot::BlobView;
using snapshot::Record;
using snapshot::RecordKind;

namespace {

constexpr size_t kShownMax = 200;        // resources in a description
constexpr size_t kShownFieldsMax = 100;  // of one resource
constexpr size_t kShownBytesMax = 500;   // of one value

std::string name_of(const Record& record) {
  if (const config::Kind* kind = snapshot::resource_kind(record.kind))
    return resource_name({*kind, std::string(record.id)});
  if (record.kind == RecordKind::kSettings) return "moongate";
  if (record.kind == RecordKind::kPluginAttr) return "plugin_attr";
  if (record.kind == RecordKind::kPluginSource) return "code of plugin " + std::string(record.id);
  if (record.kind == RecordKind::kLibrarySource) return "code of library " + std::string(record.id);
  return "";
}

/// Collects the fields in which two values differ.
class FieldComparison {
 public:
  void walk(const std::string& path, const Value& before, const Value& after, bool is_secret) {
    if (!before.is_object() || !after.is_object()) {
      fields_.push_back({path, before, after, is_secret});
      return;
    }
    const std::string prefix = path.empty() ? "" : path + ".";
    for (const auto& [name, member] : before.members()) {
      const Value* now = after.find(name);
      const bool is_hidden = is_secret || is_secret_name(name);
      if (now == nullptr)
        fields_.push_back({prefix + name, member, std::nullopt, is_hidden});
      else if (!(*now == member))
        walk(prefix + name, member, *now, is_hidden);
    }
    for (const auto& [name, member] : after.members()) {
      if (before.find(name) == nullptr)
        fields_.push_back({prefix + name, std::nullopt, member, is_secret || is_secret_name(name)});
    }
  }
  std::vector<FieldDifference> take() { return std::move(fields_); }

 private:
  std::vector<FieldDifference> fields_;
};

std::vector<FieldDifference> compare_fields(std::string_view before, std::string_view after) {
  const Result<Value> old_value = base::parse_json(before);
  const Result<Value> new_value = base::parse_json(after);
  if (!old_value || !new_value) return {};
  FieldComparison comparison;
  comparison.walk("", *old_value, *new_value, false);
  return comparison.take();
}

/// JSON text, cut at the boundary of a character.
std::string shown_text(const Value& value, bool is_secret) {
  std::string text = is_secret ? "\"***\"" : base::to_json(masked_value(value));
  if (text.size() <= kShownBytesMax) return text;
  size_t end = kShownBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) end--;
  return text.substr(0, end) + "\xE2\x80\xA6";
}

Value describe_field(const FieldDifference& field, bool is_hidden) {
  Value value = Value::object();
  const bool is_secret = field.is_secret || is_hidden;
  value.set("field", Value::string(field.path));
  value.set("before", field.before ? Value::string(shown_text(*field.before, is_secret)) : Value::null());
  value.set("after", field.after ? Value::string(shown_text(*field.after, is_secret)) : Value::null());
  return value;
}

std::string_view change_word(DifferenceKind kind) {
  if (kind == DifferenceKind::kAdded) return "added";
  return kind == DifferenceKind::kRemoved ? "removed" : "changed";
}

}  // namespace

SnapshotContent content_of(const BlobView& view, bool has_stored) {
  SnapshotContent content;
  for (const Record& record : view.records()) {
    const std::string name = name_of(record);
    if (!name.empty() && (has_stored || record.place != kStoredPlace)) content[name] = record.body;
  }
  return content;
}

std::vector<Difference> compare(const SnapshotContent& before, const SnapshotContent& after) {
  std::vector<Difference> differences;
  for (const auto& [name, body] : before) {
    const auto now = after.find(name);
    if (now == after.end()) {
      differences.push_back({DifferenceKind::kRemoved, name, {}});
    } else if (now->second != body) {
      differences.push_back({DifferenceKind::kChanged, name, {}});
      if (!name.starts_with("code of ")) differences.back().fields = compare_fields(body, now->second);
    }
  }
  for (const auto& [name, body] : after) {
    if (before.count(name) == 0) differences.push_back({DifferenceKind::kAdded, name, {}});
  }
  return differences;
}

Value describe_differences(const std::vector<Difference>& differences) {
  Value value = Value::object();
  Value& list = value.set("changes", Value::array());
  for (const Difference& difference : differences) {
    if (list.items().size() == kShownMax) break;
    Value change = Value::object();
    change.set("change", Value::string(std::string(change_word(difference.kind))));
    change.set("name", Value::string(difference.name));
    Value& fields = change.set("fields", Value::array());
    for (const FieldDifference& field : difference.fields) {
      if (fields.items().size() == kShownFieldsMax) break;
      // Which keys open the Admin API, and to whom it is open, is not for all who may look.
      const bool is_hidden = difference.name == "moongate" && field.path.starts_with("admin");
      fields.items().push_back(describe_field(field, is_hidden));
    }
    change.set("field_count", Value::number(static_cast<double>(difference.fields.size())));
    list.items().push_back(std::move(change));
  }
  value.set("change_count", Value::number(static_cast<double>(differences.size())));
  return value;
}

}  // namespace moongate::control
