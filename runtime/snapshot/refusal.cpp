// SPDX-License-Identifier: Apache-2.0
#include "snapshot/refusal.h"

#include "base/json.h"
#include "snapshot/channel.h"

namespace moongate::snapshot {

using base::Value;

namespace {

constexpr size_t kReasonMaxBytes = 4096;
constexpr size_t kFaultMaxBytes = 500;

// A byte of a text is six in JSON at worst, and there are quotes and names beside it.
constexpr size_t size_in_json(size_t bytes) { return 6 * bytes + 16; }
static_assert(size_in_json(kReasonMaxBytes) + size_in_json(kFaultMaxBytes) < kMessageTextMax);

}  // namespace

std::string Refusal::to_text() const {
  Value text = Value::object();
  text.set("reason", Value::string(reason.substr(0, kReasonMaxBytes)));
  Value& faults = text.set("plugins", Value::object());
  size_t room = kMessageTextMax - size_in_json(kReasonMaxBytes) - size_in_json(0);
  for (const auto& [name, fault] : plugins) {
    const std::string shown = fault.substr(0, kFaultMaxBytes);
    const size_t size = size_in_json(name.size() + shown.size());
    if (size > room) break;
    room -= size;
    faults.set(name, Value::string(shown));
  }
  return base::to_json(text);
}

Refusal Refusal::from_text(std::string_view text) {
  const base::Result<Value> parsed = base::parse_json(text);
  if (!parsed || !parsed->is_object()) return {std::string(text), {}};
  Refusal refusal{std::string(parsed->get_string("reason")), {}};
  if (const Value* faults = parsed->find("plugins"); faults != nullptr && faults->is_object()) {
    for (const auto& [name, fault] : faults->members()) refusal.plugins[name] = base::scalar_text(fault);
  }
  return refusal;
}

}  // namespace moongate::snapshot
