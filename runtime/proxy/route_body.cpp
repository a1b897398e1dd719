// SPDX-License-Identifier: Apache-2.0
#include "proxy/route_body.h"

#include "exchange/variables.h"
#include "script/host.h"

namespace moongate::proxy {

using exchange::BodyState;
using exchange::StepResult;

namespace {

constexpr uint64_t kBodyMaxBytes = 1U << 20;
constexpr std::string_view kTooLong =
    "the route is looked for in the request's body, which is longer than 1 MB";

}  // namespace

StepResult RouteBody::collect() {
  serial_ = exchange_.serial;
  is_over_ = is_waiting_ = false;
  later_.cancel();
  if (exchange_.request.body == http::BodyKind::kLength && exchange_.request.content_length > kBodyMaxBytes) {
    on_request_body_failed(413, kTooLong);
    return StepResult::kNext;
  }
  exchange_.body_state = BodyState::kReading;
  exchange_.client->set_body_sink(this);
  exchange_.client->read_body_later();
  if (is_over_) return StepResult::kNext;
  is_waiting_ = true;
  return StepResult::kWait;
}

bool RouteBody::is_collecting() const { return !is_over_ && serial_ == exchange_.serial; }

void RouteBody::on_kept(bool is_last) {
  if (exchange_.body.size() > kBodyMaxBytes) return on_request_body_failed(413, kTooLong);
  if (is_last) finish(BodyState::kCollected, {});
}

void RouteBody::finish(BodyState state, std::string_view) {
  is_over_ = true;
  exchange_.body_state = state;
  if (exchange_.client) exchange_.client->set_body_sink(nullptr);
  if (is_waiting_) later_.schedule(context_.loop);
}

void RouteBody::on_later(void* self) {
  auto* body = static_cast<RouteBody*>(self);
  body->is_waiting_ = false;
  if (body->serial_ != body->exchange_.serial || body->exchange_.client == nullptr) return;
  body->go_on_(body->context_, body->exchange_);
}

RouteVariables::~RouteVariables() {
  if (!asked_.empty()) context_.script->forget_body();
}

bool RouteVariables::ask(std::string_view name, const std::string_view* element, std::string_view* value) {
  using Kind = script::Host::BodyAnswer::Kind;
  if (has_missed_body_ || fault_status_ != 0) return false;
  if (asked_.empty()) asked_ = name;
  const auto answer = context_.script->ask_body(exchange_, name, element);
  has_missed_body_ = answer.kind == Kind::kBodyMissing;
  if (answer.kind == Kind::kUnreadable) {
    fault_status_ = answer.fault_status;
    fault_reason_ = answer.text;
  }
  if (value) *value = answer.text;
  return answer.kind == Kind::kFound;
}

bool RouteVariables::find(std::string_view name, std::string_view* value) {
  return exchange::find_variable(exchange_, name, value);
}

bool RouteVariables::find_in_body(std::string_view name, std::string_view* value) {
  return ask(name, nullptr, value);
}

bool RouteVariables::has_element(std::string_view name, std::string_view element) {
  return ask(name, &element, nullptr);
}

}  // namespace moongate::proxy
