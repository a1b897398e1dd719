// SPDX-License-Identifier: Apache-2.0
#include "proxy/forward.h"

#include "base/log.h"
#include "exchange/variables.h"
#include "http/writer.h"
#include "proxy/grpc_answer.h"
#include "proxy/grpc_deadline.h"
#include "proxy/identity.h"
#include "proxy/request_head.h"
#include "proxy/steps.h"
#include "proxy/stream_tunnel.h"
#include "proxy/worker_metrics.h"

namespace moongate::proxy {

using base::Clock;
using base::ErrorKind;
using exchange::BodyState;
using exchange::StepResult;
using http::BodyKind;
using upstream::AttemptStage;

void Forwarder::find_endpoint() {
  endpoint_ = exchange_.upstream->find_endpoint(*exchange_.node, *context_.resolver, scheme_);
  const bool is_found = exchange_.node->is_name && endpoint_ != nullptr;
  exchange_.node_ip = is_found ? exchange_.arena.copy(endpoint_->address().host_text()) : std::string_view();
}

// False, and an answer, when a plugin chose what cannot be spoken.
bool Forwarder::choose_scheme() {
  if (const auto scheme = exchange::find_upstream_scheme(exchange_)) {
    scheme_ = *scheme;
    return true;
  }
  MG_LOG(kError) << "upstream_scheme: \"" << exchange_.upstream_scheme
                 << "\" was chosen; write http, https, grpc or grpcs";
  exchange_.fail(500, "a plugin chose an upstream scheme that is none of http, https, grpc and grpcs");
  return false;
}

StepResult Forwarder::pick() {
  exchange::Exchange& exchange = exchange_;
  if (!choose_scheme()) return StepResult::kAnswer;
  std::string_view hash_key;
  if (exchange.upstream->needs_hash_key()) hash_key = exchange::find_hash_key(exchange);
  upstream::Node* node = exchange.upstream->pick(exchange.tried, hash_key);
  if (node == nullptr) {  // the one that was tried stays, for logs and metrics
    if (exchange.tries == 0)
      exchange.fail(503, "no node of the upstream can be used");
    else
      exchange.fail(502, "no further node of the upstream is left to try");
    exchange.source = exchange::AnswerSource::kProxyError;
    return StepResult::kAnswer;
  }
  exchange.node = node;
  find_endpoint();
  if (endpoint_) return StepResult::kNext;
  if (!exchange.node->is_name) {
    exchange.fail(503, "the upstream's node has no address");
    return StepResult::kAnswer;
  }
  is_resolving_ = is_asking_ = true;
  uint32_t serial = serial_;
  context_.resolver->resolve(exchange.node->host, [this, serial](const auto& result) {
    if (serial != serial_ || !is_resolving_) return;
    bool is_late = !is_asking_;
    is_resolving_ = false;
    if (result) find_endpoint();
    if (!endpoint_) {
      MG_LOG(kError) << "upstream " << exchange_.upstream->options().id << ": "
                     << (result ? "the node has no address" : result.error().detail);
      exchange_.fail(503, "the upstream's host name cannot be resolved");
      exchange_.source = exchange::AnswerSource::kProxyError;
    }
    if (is_late) resume(context_, exchange_, endpoint_ ? StepResult::kNext : StepResult::kAnswer);
  });
  is_asking_ = false;
  if (is_resolving_) return StepResult::kWait;
  return endpoint_ ? StepResult::kNext : StepResult::kAnswer;
}

StepResult Forwarder::start() {
  exchange::Exchange& exchange = exchange_;
  if (exchange.body_state == BodyState::kFailed) {  // what is left of it must not pass for the whole
    exchange.fail(exchange.body_fault_status, exchange.body_fault_reason);
    return StepResult::kAnswer;
  }
  if (exchange.body_state == BodyState::kReading) {  // by a wait that had to be given up
    exchange.fail(500, "a plugin left the request's body half read");
    return StepResult::kAnswer;
  }
  const upstream::Scheme former_scheme = scheme_;
  if (!choose_scheme()) return StepResult::kAnswer;
  if (scheme_ != former_scheme) find_endpoint();  // before_proxy may have changed it
  if (!endpoint_) {
    exchange.fail(503, "the upstream's node has no address");
    return StepResult::kAnswer;
  }
  const bool is_http2 = upstream::is_http2(scheme_);
  bool is_upgrade =
      exchange.request.has_upgrade && exchange.route && exchange.route->is_websocket_enabled && !is_http2;
  BodyKind body = exchange.request.body;
  if (is_whole_collected()) {
    body = BodyKind::kLength;
    exchange.request.content_length = exchange.body.size();
  }
  if (exchange.request.is_extended_connect && !is_upgrade) {
    exchange.fail(501, "the route takes no WebSocket connections (enable_websocket)");
    return StepResult::kAnswer;
  }
  if (is_http2 && !keep_deadline()) return StepResult::kAnswer;
  head_ = write_upstream_head(context_, exchange, body, is_upgrade);
  exchange.try_started = Clock::steady();
  if (exchange.tries == 0) exchange.upstream_started = exchange.try_started;
  if (exchange.tries < std::size(exchange.try_records)) {
    exchange.try_records[exchange.tries] = {};
    exchange.try_records[exchange.tries].address = exchange.arena.copy(endpoint_->text());
  }
  exchange.tries++;
  exchange.node->active++;
  is_node_counted_ = true;
  upstream::AttemptRequest request;
  request.head = head_;
  request.is_http2 = is_http2;
  request.method = exchange.request.method;
  request.body = body;
  request.wants_upgrade = is_upgrade;
  if (upstream::is_tls(scheme_)) request.server_name = find_server_name(exchange);
  request.arena = &exchange.arena;
  request.response = &exchange.response;
  try_++;
  collected_sent_ = 0;
  has_collected_left_ = false;
  later_.cancel();
  attempt_.start(endpoint_, request, exchange.route->timeouts, exchange.upstream->options().pool);
  return StepResult::kWait;
}

// A call's deadline covers all of its tries and what came before them. False, and an answer, when it has
// passed.
bool Forwarder::keep_deadline() {
  const auto timeout = find_grpc_timeout(exchange_.request);
  if (!timeout) return true;
  const base::Duration left = exchange_.started + *timeout - Clock::steady();
  if (left.count() > 0) {
    deadline_timer_.start(context_.loop.timers(), left);
    return true;
  }
  answer_grpc_deadline(exchange_);
  return false;
}

void Forwarder::on_deadline(void* self) {
  auto* forwarder = static_cast<Forwarder*>(self);
  MG_LOG(kInfo) << "upstream " << forwarder->exchange_.upstream->options().id << " node "
                << forwarder->endpoint_->text() << ": the call's deadline (grpc-timeout) has passed";
  forwarder->attempt_.cancel();
  forwarder->later_.cancel();
  forwarder->has_collected_left_ = false;
  if (!forwarder->exchange_.is_head_sent) forwarder->record_failure(504);
  forwarder->release_node();
  end_at_grpc_deadline(forwarder->context_, forwarder->exchange_);
}

void Forwarder::on_attempt_ready() {
  exchange::Exchange& exchange = exchange_;
  if (exchange.tries <= std::size(exchange.try_records)) {
    exchange.try_records[exchange.tries - 1].connect_time = Clock::steady() - exchange.try_started;
  }
  if (exchange.body_state == BodyState::kNone) {
    attempt_.send(nullptr, 0, true);
    return;
  }
  has_collected_left_ = is_whole_collected() || !exchange.body.is_empty();
  if (has_collected_left_)
    send_collected();
  else
    read_rest();
}

bool Forwarder::is_whole_collected() const {
  return exchange_.body_state == BodyState::kCollected || exchange_.body_state == BodyState::kReplaced;
}

/// What of the body is still with the client.
void Forwarder::read_rest() {
  exchange::ClientSide* client = exchange_.client;
  const uint32_t serial = serial_;
  client->set_body_sink(this);
  client->read_body();
  // The head goes with the first of the body; when none is here yet it goes alone.
  if (serial == serial_ && attempt_.is_ready() && !exchange_.has_body_left_client)
    attempt_.send(nullptr, 0, false);
}

/// Sends what was collected: all of the body, or what came before a plugin's limit was reached, which the
/// rest follows. From a file it goes in pieces, no faster than the node takes them and at most
/// kSentPerTurnBytes a turn.
void Forwarder::send_collected() {
  constexpr size_t kPieceBytes = 64 * 1024;
  constexpr size_t kSentPerTurnBytes = 1024 * 1024;
  static thread_local char buffer[kPieceBytes];
  if (!attempt_.is_ready()) return;
  bool is_whole = is_whole_collected();
  uint32_t this_try = try_;
  uint64_t until = collected_sent_ + kSentPerTurnBytes;
  while (has_collected_left_) {
    if (attempt_.is_blocked()) return;  // on_attempt_drained() goes on
    if (collected_sent_ >= until) return later_.schedule(context_.loop);
    std::string_view bytes = exchange_.body.view();
    if (exchange_.body.is_in_file()) {
      auto piece = exchange_.body.read(collected_sent_, buffer, sizeof buffer);
      if (!piece) return fail_collected(piece.error());
      bytes = *piece;
    }
    collected_sent_ += bytes.size();
    has_collected_left_ = collected_sent_ < exchange_.body.size();
    iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    if (!is_whole) exchange_.has_body_left_client = true;
    attempt_.send(&piece, bytes.empty() ? 0 : 1, is_whole && !has_collected_left_);
    if (try_ != this_try || !attempt_.is_ready()) return;  // the answer came first, or the try failed
  }
  if (is_whole) return;
  exchange_.body.clear();
  read_rest();
}

void Forwarder::fail_collected(const base::Error& error) {
  MG_LOG(kError) << error.detail;
  attempt_.cancel();
  release_node();
  fail_upstream(context_, exchange_, 500, "the request's body cannot be read back");
}

void Forwarder::on_request_body(const iovec* pieces, int count, bool is_last) {
  if (!attempt_.is_ready()) return;  // the answer came first; the rest of the body has no reader
  exchange_.has_body_left_client = true;
  attempt_.send(pieces, count, is_last);
}

// Identity is not for the client to give, in a trailer as little as in a field.
void Forwarder::on_request_trailers(std::string_view lines) {
  std::string kept;
  while (!lines.empty()) {
    size_t end = lines.find("\r\n") + 2;
    std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end);
    if (!is_identity_field(line.substr(0, line.find(':')))) kept += line;
  }
  attempt_.set_trailers(std::move(kept));
}

void Forwarder::on_request_body_failed(uint16_t status, std::string_view reason) {
  attempt_.cancel();
  release_node();
  fail_upstream(context_, exchange_, status, reason);
}

void Forwarder::on_attempt_drained() {
  if (has_collected_left_) return send_collected();
  if (exchange_.client && exchange_.body_state == BodyState::kUnread && !attempt_.has_sent_last()) {
    exchange_.client->read_body();
  }
}

void Forwarder::on_interim_response() {
  uint16_t status = exchange_.response.status;
  // 100 is between the upstream and us: the client got its own when its body was wanted.
  if (status == 100 || !exchange_.client) return;
  http::FieldList& fields = exchange_.response.fields;
  http::remove_hop_by_hop(fields);
  fields.remove(http::FieldId::kContentLength);  // there is no body that it could be of (RFC 9110 8.6)
  exchange_.client->send_interim(status, fields);
}

void Forwarder::record_try() {
  exchange::Exchange& exchange = exchange_;
  exchange.upstream_status = exchange.response.status;
  exchange.upstream->note_answer(*exchange.node, exchange.response.status);
  if (exchange.tries == 0 || exchange.tries > std::size(exchange.try_records)) return;
  auto& record = exchange.try_records[exchange.tries - 1];
  record.status = exchange.response.status;
  record.header_time = Clock::steady() - exchange.try_started;
  record.response_time = record.header_time;
}

void Forwarder::record_failure(uint16_t status) {
  exchange_.upstream_status = status;
  if (exchange_.tries > 0 && exchange_.tries <= std::size(exchange_.try_records))
    exchange_.try_records[exchange_.tries - 1].status = status;
}

void Forwarder::release_node() {
  if (!is_node_counted_) return;
  is_node_counted_ = false;
  deadline_timer_.stop();
  exchange_.node->active--;
  if (exchange_.tries > 0 && exchange_.tries <= std::size(exchange_.try_records)) {
    exchange_.try_records[exchange_.tries - 1].response_time = Clock::steady() - exchange_.try_started;
  }
}

// The answer is whole: what follows its body is known, and filters that see the last piece may look at it.
void Forwarder::end_answer() {
  release_node();
  const std::string& trailers = attempt_.trailers();
  if (trailers.empty()) return;
  exchange_.upstream_trailers = exchange_.arena.copy(trailers);
  if (exchange_.client) exchange_.client->set_trailers(trailers);
}

void Forwarder::on_response_head(const iovec* pieces, int count, bool is_last) {
  record_try();
  if (is_last) end_answer();
  exchange_.source = exchange::AnswerSource::kUpstream;
  on_response(context_, exchange_, pieces, count, is_last);
}

void Forwarder::on_response_body(const iovec* pieces, int count, bool is_last) {
  if (is_last) end_answer();
  pass_body(context_, exchange_, pieces, count, is_last);
}

void Forwarder::on_upgraded(std::string_view first_bytes) {
  record_try();
  exchange_.source = exchange::AnswerSource::kUpstream;
  auto upstream_connection = attempt_.take_connection();
  exchange::ClientSide* client = exchange_.client;
  if (!client) return;
  if (exchange_.request.is_extended_connect && !accepts_websocket(exchange_)) {
    release_node();
    return fail_upstream(context_, exchange_, 502,
                         "the upstream accepted another WebSocket handshake than the one it was sent");
  }
  uint32_t serial = serial_;
  http::FieldList& fields = exchange_.response.fields;
  const http::Field* upgrade = fields.find(http::FieldId::kUpgrade);
  std::string_view protocol = upgrade ? upgrade->value : std::string_view("websocket");
  http::remove_hop_by_hop(fields);
  fields.set("Upgrade", protocol);
  client->send_head(exchange_, nullptr, 0, false);
  if (serial == serial_) client->start_tunnel(std::move(upstream_connection), first_bytes);
}

bool Forwarder::may_retry(const base::Error& error, AttemptStage stage) const {
  const exchange::Exchange& exchange = exchange_;
  if (exchange.is_head_sent || exchange.has_body_left_client || !exchange.client) return false;
  auto limit = exchange.upstream->options().retry_timeout;
  if (limit.count() > 0 && Clock::steady() - exchange.upstream_started > limit) return false;
  if (stage == AttemptStage::kConnecting) return true;
  // Something was sent and may have been acted on: only what may be done twice is.
  return stage == AttemptStage::kSent && http::is_idempotent(exchange.request.method) &&
         (error.kind == ErrorKind::kClosed || error.kind == ErrorKind::kTimeout);
}

void Forwarder::on_attempt_failed(const base::Error& error, AttemptStage stage) {
  exchange::Exchange& exchange = exchange_;
  const std::string& id = exchange.upstream->options().id;
  MG_LOG(kWarn) << "upstream " << id << " node " << (endpoint_ ? endpoint_->text() : exchange.node->text)
                << ": " << error.detail;
  release_node();
  const uint16_t status = error.kind == ErrorKind::kTimeout ? 504 : 502;
  bool was_reused = attempt_.is_reused();
  if (!was_reused || error.kind != ErrorKind::kClosed)  // see below
    exchange.upstream->note_failure(*exchange.node, error.kind == ErrorKind::kTimeout);
  if (may_retry(error, stage)) {
    if (was_reused && error.kind == ErrorKind::kClosed) {
      // A kept connection that the node had closed says nothing about the node: try it again on another one.
      exchange.tries--;
      resume(context_, exchange, StepResult::kNext);
      return;
    }
    if (exchange.tries <= exchange.upstream->retries_max()) {
      record_failure(status);
      retry();
      return;
    }
  }
  record_failure(status);
  if (!exchange.client || !has_begun_grpc_answer(exchange))
    return fail_upstream(context_, exchange, status, error.detail);
  const auto reset = attempt_.reset_code();
  const auto code = reset                               ? status_of_reset(*reset)
                    : error.kind == ErrorKind::kInvalid ? GrpcStatus::kInternal
                                                        : GrpcStatus::kUnavailable;
  end_grpc_answer(context_, exchange, make_grpc_trailers(exchange, code, error.detail));
}

void Forwarder::retry() {
  StepResult result = pick();
  if (result != StepResult::kAnswer) count_retry(context_);
  if (result == StepResult::kWait) return;
  resume(context_, exchange_, result);
}

void Forwarder::on_client_drained() { attempt_.resume(); }

void Forwarder::cancel() {
  serial_++;
  try_++;
  has_collected_left_ = false;
  later_.cancel();
  is_resolving_ = false;
  attempt_.cancel();
  release_node();
  endpoint_.reset();
}

}  // namespace moongate::proxy
