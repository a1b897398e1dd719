// SPDX-License-Identifier: Apache-2.0
#include "proxy/route_body.h"

#include "base/log.h"
#include "exchange/variables.h"
#include "script/host.h"

namespace moongate::proxy {

using exchange::BodyState;
using exchange::StepResult;

namespace {

constexpr uint64_t kBodyMaxBytes = 64U << 20;

bool is_of_body(std::string_view name) {
  return name.starts_with("post_arg_") || name.starts_with("post_arg.") || name.starts_with("graphql_");
}

}  // namespace

bool RouteBody::can_collect() const {
  if (exchange_.client == nullptr || exchange_.body_state != BodyState::kUnread) return false;
  if (serial_ == exchange_.serial) return false;  // asked for before
  const bool has_length = exchange_.request.body == http::BodyKind::kLength;
  return !has_length || exchange_.request.content_length <= kBodyMaxBytes;
}

StepResult RouteBody::collect() {
  serial_ = exchange_.serial;
  is_over_ = is_waiting_ = false;
  later_.cancel();
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
  if (is_last)
    finish(BodyState::kCollected);
  else if (exchange_.body.size() > kBodyMaxBytes)
    finish(BodyState::kUnread);
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

// A GraphQL query may be an argument of a request without a body.
bool RouteVariables::can_look(std::string_view name) {
  has_missed_body_ |= exchange_.body_state == BodyState::kUnread;
  if (exchange_.body_state == BodyState::kNone) return name.starts_with("graphql_");
  return exchange_.body_state == BodyState::kCollected;
}

bool RouteVariables::find(std::string_view name, std::string_view* value) {
  if (!is_of_body(name)) return exchange::find_variable(exchange_, name, value);
  return can_look(name) && context_.script->find_body_variable(exchange_, name, value);
}

bool RouteVariables::has_element(std::string_view name, std::string_view element) {
  return is_of_body(name) && can_look(name) && context_.script->has_body_element(exchange_, name, element);
}

}  // namespace moongate::proxy
