// SPDX-License-Identifier: Apache-2.0
// What is below /moongate/admin: how the instance is, for the status page and for scripts, and rollbacks.
#include <cmath>

#include "base/json.h"
#include "control/admin_api.h"

namespace moongate::control {

using base::Result;
using base::Value;

namespace {

constexpr double kNumberMax = 9e15;  // what JSON's numbers hold exactly

HttpResponse json_response(const Value& value) {
  return {200, "application/json", base::to_json(value) + "\n", {}};
}

HttpResponse wrong_method(const HttpRequest& request, const char* allowed) {
  HttpResponse response = admin_error(405, request.method + " is not served here; use " + allowed);
  response.fields.emplace_back("Allow", allowed);
  return response;
}

/// The number of a snapshot, or 0.
uint64_t parse_number(const Value& value) {
  const double number = value.is_number() ? value.as_number() : 0;
  const bool is_whole = number >= 1 && number <= kNumberMax && number == std::floor(number);
  return is_whole ? static_cast<uint64_t>(number) : 0;
}

uint64_t parse_number(const std::string& text) {
  const Result<Value> value = base::parse_json(text);
  return value ? parse_number(*value) : 0;
}

}  // namespace

void AdminApi::dispatch_instance(const Call& call) {
  const std::string first = call.segments.empty() ? "" : call.segments[0];
  const bool is_read = call.request.method == "GET" || call.request.method == "HEAD";
  if (call.segments.size() == 1 && first == "rollback") return rollback(call);
  const bool is_comparison = call.segments.size() == 3 && first == "snapshots" && call.segments[2] == "diff";
  if (!is_comparison &&
      (call.segments.size() != 1 || (first != "status" && first != "metrics" && first != "snapshots")))
    return call.answer(
        admin_error(404, "not found; there are status, metrics, snapshots, snapshots/N/diff and rollback"));
  if (!is_read) return call.answer(wrong_method(call.request, "GET"));
  if (is_comparison) return compare_snapshot(call);
  if (first == "metrics") return call.answer(json_response(callbacks_.metrics()));
  if (first == "snapshots") return call.answer(json_response(callbacks_.snapshots()));
  Value status = callbacks_.status();
  Value& caller = status.set("caller", Value::object());
  caller.set("name", Value::string(call.caller.name));
  caller.set("role", Value::string(call.caller.is_viewer ? "viewer" : "admin"));
  call.answer(json_response(status));
}

void AdminApi::compare_snapshot(const Call& call) {
  const uint64_t number = parse_number(call.segments[1]);
  if (number == 0)
    return call.answer(admin_error(400, "`" + call.segments[1] + "` is not the number of a snapshot"));
  const Result<Value> differences = callbacks_.compare_snapshot(number);
  if (differences) return call.answer(json_response(*differences));
  const bool is_missing = differences.error().kind == base::ErrorKind::kNotFound;
  call.answer(admin_error(is_missing ? 404 : 500, differences.error().detail));
}

/// Back to the snapshot that was named, and never to "the one before": what that is may have changed since
/// the caller looked.
void AdminApi::rollback(const Call& call) {
  if (call.request.method != "POST") return call.answer(wrong_method(call.request, "POST"));
  const Result<Value> body = base::parse_json(call.request.body);
  const Value* wanted = body ? body->find("number") : nullptr;
  const uint64_t number = wanted == nullptr ? 0 : parse_number(*wanted);
  if (number == 0)
    return call.answer(
        admin_error(400, "say which snapshot, as in {\"number\": 3}; /moongate/admin/snapshots lists them"));
  const AdminCaller caller{call.caller.name, call.request.peer.host_text()};
  callbacks_.rollback(number, caller, [answer = call.answer](const Value& result) {
    if (result.get_bool("ok", false)) return answer(json_response(result));
    const Value* errors = result.find("errors");
    const bool has_reason = errors != nullptr && errors->is_array() && !errors->items().empty();
    answer(admin_error(400, has_reason ? errors->items().front().as_string() : "the rollback was refused"));
  });
}

}  // namespace moongate::control
