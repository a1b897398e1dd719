// SPDX-License-Identifier: Apache-2.0
#include "control/audit_log.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "control/references.h"
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

}  // namespace

void AuditLog::open() {
  file_ = snapshot::Descriptor(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!file_.is_open()) MG_LOG(kError) << base::io_error(path_).detail;
}

void AuditLog::write(const AdminEffect& effect, uint64_t snapshot, uint64_t now_ms) {
  std::string lines;
  for (const AdminEffect::Change& change : effect.changes) {
    const Value before = parsed(change.before);
    const Value after = parsed(change.after);
    Value line = Value::object();
    line.set("time", Value::string(time_text(now_ms)));
    line.set("actor", Value::string(effect.write->actor));
    line.set("peer", Value::string(effect.write->peer));
    line.set("verb", Value::string(std::string(verb_name(effect.write->verb))));
    line.set("resource", Value::string(resource_name(change.key)));
    line.set("snapshot", Value::number(static_cast<double>(snapshot)));
    line.set("before", differing(before, after));
    line.set("after", differing(after, before));
    lines += base::to_json(line) + "\n";
  }
  if (!file_.is_open() || lines.empty()) return;
  // One write a change, so that lines of this process never mix with what rotates the file.
  if (::write(file_.get(), lines.data(), lines.size()) != static_cast<ssize_t>(lines.size()))
    MG_LOG(kError) << base::io_error(path_).detail;
}

}  // namespace moongate::control
