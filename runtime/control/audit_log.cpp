// SPDX-License-Identifier: Apache-2.0
#include "control/audit_log.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "control/references.h"
#include "control/snapshot_diff.h"
#include "control/times.h"

namespace moongate::control {

using base::Value;

namespace {

std::string_view verb_name(AdminWrite::Verb verb) {
  switch (verb) {
    case AdminWrite::Verb::kPut:
      return "PUT";
    case AdminWrite::Verb::kPost:
      return "POST";
    case AdminWrite::Verb::kPatch:
      return "PATCH";
    case AdminWrite::Verb::kDelete:
      return "DELETE";
    case AdminWrite::Verb::kReplaceAll:
      break;
  }
  return "REPLACE";
}

Value parsed(const std::string& json) {
  if (json.empty()) return Value::null();
  const base::Result<Value> value = base::parse_json(json);
  return value ? *value : Value::null();
}

/// What `value` has that `other` has not, or otherwise.
Value differing(const Value& value, const Value& other) {
  if (!value.is_object() || !other.is_object()) return masked_value(value);
  Value out = Value::object();
  for (const auto& [name, member] : value.members()) {
    const Value* same = other.find(name);
    if (same == nullptr || !(*same == member)) out.set(name, member);
  }
  return masked_value(out);
}

/// What the lines of one change have in common.
struct Writing {
  const AdminCaller& caller;
  std::string_view verb;
  uint64_t snapshot = 0;
  uint64_t now_ms = 0;
};

std::string make_line(const Writing& writing, const std::string& resource, const Value& before,
                      const Value& after) {
  Value line = Value::object();
  line.set("time", Value::string(time_text(writing.now_ms)));
  line.set("actor", Value::string(writing.caller.name));
  line.set("peer", Value::string(writing.caller.peer));
  line.set("verb", Value::string(std::string(writing.verb)));
  line.set("resource", Value::string(resource));
  line.set("snapshot", Value::number(static_cast<double>(writing.snapshot)));
  line.set("before", differing(before, after));
  line.set("after", differing(after, before));
  return base::to_json(line) + "\n";
}

/// Null for code, which is too long for a line, and for what is not there.
Value body_in(const SnapshotContent& content, const std::string& name) {
  const auto found = content.find(name);
  if (found == content.end()) return Value::null();
  Value body = parsed(std::string(found->second));
  // Who may write here, and from where, is nothing that a log tells.
  if (name == "moongate" && body.find("admin") != nullptr) body.set("admin", Value::string("***"));
  return body;
}

}  // namespace

void AuditLog::open() {
  file_ = snapshot::Descriptor(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!file_.is_open()) MG_LOG(kError) << base::io_error(path_).detail;
}

void AuditLog::write(const AdminEffect& effect, uint64_t snapshot, uint64_t now_ms) {
  const AdminCaller caller{effect.write->actor, effect.write->peer};
  const Writing writing{caller, verb_name(effect.write->verb), snapshot, now_ms};
  std::string lines;
  for (const AdminEffect::Change& change : effect.changes)
    lines += make_line(writing, resource_name(change.key), parsed(change.before), parsed(change.after));
  append(lines);
}

void AuditLog::write_rollback(const AdminCaller& caller, const snapshot::BlobView& from,
                              const snapshot::BlobView& to, uint64_t now_ms) {
  const Writing writing{caller, "ROLLBACK", to.number(), now_ms};
  const SnapshotContent before = content_of(from, true);
  const SnapshotContent after = content_of(to, true);
  std::string lines;
  for (const Difference& difference : compare(before, after))
    lines += make_line(writing, difference.name, body_in(before, difference.name),
                       body_in(after, difference.name));
  if (lines.empty()) lines = make_line(writing, "", Value::null(), Value::null());
  append(lines);
}

void AuditLog::append(const std::string& lines) {
  if (!file_.is_open() || lines.empty()) return;
  // One write a change, so that lines of this process never mix with what rotates the file.
  if (::write(file_.get(), lines.data(), lines.size()) != static_cast<ssize_t>(lines.size()))
    MG_LOG(kError) << base::io_error(path_).detail;
}

}  // namespace moongate::control
