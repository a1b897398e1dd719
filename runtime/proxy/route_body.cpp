// SPDX-License-Identifier: Apache-2.0
#include "proxy/route_body.h"

#include "base/log.h"
#include "exchange/variables.h"
#include "script/host.h"

namespace moongate::proxy {

using exchange::BodyState;
using exchange::StepResult;

namespace {

constexpr uint64_t kBodyMaxBytes = 1U << 20;
constexpr std::string_view kTooLong =
    "the route is looked for in the request's body, which is longer than 1 MB";

bool is_of_body(std::string_view name) {
  return name.starts_with("post_arg_") || name.starts_with("post_arg.") || name.starts_with("graphql_");
}

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

void RouteBody::on_request_body(const iovec* pieces, int count, bool is_last) {
  if (!is_collecting()) return;
  for (int i = 0; i < count; i++) {
    auto kept = exchange_.body.append({static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len},
                                      context_.exchanges.body_files());
    if (kept) continue;
    MG_LOG(kError) << kept.error().detail;
    const bool is_full = kept.error().kind == base::ErrorKind::kLimit;
    return on_request_body_failed(is_full ? 507 : 500, is_full ? "there is no room for the request's body"
                                                               : "the request's body cannot be kept");
  }
  if (exchange_.body.size() > kBodyMaxBytes) return on_request_body_failed(413, kTooLong);
  if (is_last) finish(BodyState::kCollected);
}

void RouteBody::on_request_body_failed(uint16_t status, std::string_view reason) {
  if (!is_collecting()) return;
  exchange_.body_fault_status = status;
  exchange_.body_fault_reason = exchange_.arena.copy(reason);
  finish(BodyState::kFailed);
}

void RouteBody::finish(BodyState state) {
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
  return is_of_body(name) ? ask(name, nullptr, value) : exchange::find_variable(exchange_, name, value);
}

bool RouteVariables::has_element(std::string_view name, std::string_view element) {
  return is_of_body(name) && ask(name, &element, nullptr);
}

}  // namespace moongate::proxy
