// SPDX-License-Identifier: Apache-2.0
#include "proxy/request_stream.h"

#include <algorithm>

#include "proxy/answer_length.h"
#include "proxy/steps.h"
#include "proxy/stream_connection.h"
#include "proxy/stream_tunnel.h"

namespace moongate::proxy {

using exchange::BodyState;
using exchange::Ending;
using exchange::Exchange;
using http::Http2Code;

RequestStream::RequestStream(Context& context) : context_(context), timer_(on_timeout, this) {}
RequestStream::~RequestStream() = default;

void RequestStream::arm(std::chrono::milliseconds timeout) { timer_.start(context_.loop.timers(), timeout); }

// Between frames of the answer it is the request's body, if any, that the client may take too long for.
void RequestStream::arm_for_client() {
  if (is_waiting())
    arm(context_.client.send_timeout);
  else if (is_wanted_ && !has_ended_ && !is_given_)
    arm(context_.client.body_timeout);
  else
    timer_.stop();
}

// What comes of the request does not give a client more time that takes nothing of its answer.
void RequestStream::arm_for_request() {
  if (!is_waiting() || !timer_.is_running()) arm_for_client();
}

// --- the request

void RequestStream::start(StreamConnection& connection, int64_t id, const http::Http2FieldBlock& block,
                          bool is_last) {
  connection_ = &connection;
  id_ = id;
  body_received_ = answer_left_ = 0;
  fault_status_ = 0;
  has_ended_ = is_last;
  is_malformed_ = false;
  is_end_awaited_ = connection.version_major() == 3;
  is_given_ = is_wanted_ = has_continued_ = false;
  has_answer_length_ = is_without_body_ = is_answer_ended_ = is_end_sent_ = is_broken_ = was_blocked_ = false;
  exchange_ = context_.exchanges.take();
  exchange_->begin(*this, context_.snapshot);
  connection.introduce(*exchange_);
  exchange_->bytes_received = block.size_bytes();
  if (!take_head(block, is_last)) {
    is_given_ = true;
    answer_without_steps(context_, *exchange_);
    return;
  }
  begin_steps(context_, *exchange_);
}

bool RequestStream::take_head(const http::Http2FieldBlock& block, bool is_last) {
  Exchange& exchange = *exchange_;
  http::RequestHead& request = exchange.request;
  http::HeadFault fault;
  if (!http::parse_http2_request(block, is_last, context_.client.head, &exchange.arena, &request, &fault)) {
    exchange.fail(fault.status, fault.reason);
    note_malformed(fault.status);
    return false;
  }
  request.version_major = connection_->version_major();
  if (request.is_extended_connect) offer_websocket(exchange);
  if (const http::Field* priority = request.fields.find("priority"))
    connection_->session().set_priority(id_, http::parse_priority(priority->value));
  is_given_ = request.body == http::BodyKind::kNone ||
              (request.body == http::BodyKind::kLength && request.content_length == 0);
  exchange.body_state = is_given_ ? BodyState::kNone : BodyState::kUnread;
  const uint64_t limit = context_.client.body_size_max_bytes;
  if (limit == 0 || request.body != http::BodyKind::kLength || request.content_length <= limit) return true;
  exchange.fail(413, "request body too large");
  return false;
}

void RequestStream::on_data(std::string_view bytes) {
  if (exchange_) exchange_->bytes_received += bytes.size();
  connection_->note_received(bytes.size());
  if (tunnel_) return tunnel_->on_client_data(bytes);
  const bool is_tunnel_to_be =
      exchange_ && exchange_->request.is_extended_connect && !exchange_->is_head_sent;
  if (!exchange_ || fault_status_ != 0 || (is_given_ && !is_tunnel_to_be)) {
    connection_->consume(id_, bytes.size());
    if (has_length_0()) reset(Http2Code::kProtocolError, Ending::kClientGone);
    return;
  }
  body_received_ += bytes.size();
  const http::RequestHead& request = exchange_->request;
  const uint64_t limit = context_.client.body_size_max_bytes;
  const bool is_over_length =
      request.body == http::BodyKind::kLength && body_received_ > request.content_length;
  const bool is_too_large = limit != 0 && body_received_ > limit;
  if (!is_tunnel_to_be && (is_over_length || is_too_large)) {
    connection_->consume(id_, bytes.size());
    return is_over_length ? fail_body(400, "more body than Content-Length says")
                          : fail_body(413, "request body too large");
  }
  if (!is_wanted_ || !sink_ || !received_.is_empty() || !sink_->wants_body()) return received_.append(bytes);
  const int64_t id = id_;
  StreamConnection& connection = *connection_;
  arm_for_request();
  give(bytes, false);
  connection.consume(id, bytes.size());
}

void RequestStream::on_last() {
  has_ended_ = true;
  if (tunnel_) return tunnel_->on_client_end();
  if (!exchange_ || is_given_ || fault_status_ != 0) return;
  const http::RequestHead& request = exchange_->request;
  if (request.body == http::BodyKind::kLength && body_received_ < request.content_length)
    return fail_body(400, "less body than Content-Length says");
  if (is_wanted_) deliver();
}

void RequestStream::on_fields(const http::Http2FieldBlock& block, bool is_last) {
  if (!exchange_ || is_given_ || fault_status_ != 0) return;
  constexpr size_t kTrailersMaxBytes = 8 * 1024;  // as behind a chunked body
  const bool is_too_large = block.is_too_large() || block.size_bytes() > kTrailersMaxBytes;
  if (!is_last || is_too_large || !http::parse_http2_trailers(block, &request_trailers_))
    fail_body(is_too_large ? 431 : 400, is_too_large ? "trailers too large" : "malformed trailers");
}

void RequestStream::on_malformed(std::string_view reason) {
  if (has_length_0()) return reset(Http2Code::kProtocolError, Ending::kClientGone);
  if (exchange_ && !is_given_ && fault_status_ == 0) fail_body(400, reason);
}

// What has come as its body was not to come.
bool RequestStream::has_length_0() const {
  return exchange_ && exchange_->body_state == BodyState::kNone &&
         exchange_->request.body == http::BodyKind::kLength;
}

// HTTP/3 has no reset behind an answer that would not take the answer's own bytes back.
void RequestStream::note_malformed(uint16_t status) {
  is_malformed_ = status == 400 && connection_->version_major() == 2;
}

void RequestStream::begin_reading() {
  is_wanted_ = true;
  arm_for_request();
  if (!exchange_->request.expects_continue || has_continued_ || body_received_ != 0 || has_ended_) return;
  has_continued_ = true;
  send_interim(100, http::FieldList(&exchange_->arena));
}

void RequestStream::read_body() {
  if (fault_status_ != 0) {
    if (sink_) sink_->on_request_body_failed(fault_status_, fault_reason_);
    return;
  }
  if (is_given_) {
    if (sink_) sink_->on_request_body(nullptr, 0, true);
    return;
  }
  begin_reading();
  deliver();
}

// Gives what has come, and the end when it has.
void RequestStream::deliver() {
  if (!sink_ || !sink_->wants_body()) return;
  const int64_t id = id_;
  StreamConnection& connection = *connection_;
  base::ByteQueue kept;
  kept.swap(received_);
  if (kept.is_empty() && !has_ended_) return;
  arm_for_request();
  give(kept.view(), has_ended_);
  if (!kept.is_empty()) connection.consume(id, kept.size());
}

void RequestStream::give(std::string_view bytes, bool is_last) {
  if (is_last) {
    is_given_ = true;
    arm_for_request();
    if (!request_trailers_.empty()) sink_->on_request_trailers(request_trailers_);
  }
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  sink_->on_request_body(&piece, bytes.empty() ? 0 : 1, is_last);
}

void RequestStream::drop_received() {
  if (!received_.is_empty()) connection_->consume(id_, received_.size());
  received_.clear();
}

// Told at once to whoever reads the body, and otherwise to whoever asks for it.
void RequestStream::fail_body(uint16_t status, std::string_view reason) {
  drop_received();
  note_malformed(status);
  fault_status_ = status;
  fault_reason_ = reason;
  if (!is_waiting()) timer_.stop();  // else it is the answer's
  if (is_wanted_ && sink_ && !is_answer_ended_) sink_->on_request_body_failed(status, reason);
}

// --- the answer

// Only a tunnel may follow a 2xx to CONNECT (RFC 8441 4); what an upstream or a plugin answered is none.
bool RequestStream::refuses_connect(Exchange& exchange) {
  if (exchange.response.status < 200 || exchange.response.status > 299) return false;
  exchange.response.status = 502;
  exchange.response.fields.clear();
  return true;
}

void RequestStream::send_head(Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  if (!exchange_) return;
  const bool is_tunnel = exchange.response.status == 101 && exchange.request.is_extended_connect;
  if (is_tunnel) {
    exchange.response.status = 200;
    exchange.response.fields.remove(http::FieldId::kContentLength);
    exchange.response.fields.remove("Sec-WebSocket-Accept");
  } else if (exchange.request.is_extended_connect && refuses_connect(exchange)) {
    is_without_body_ = true;
  } else {
    is_without_body_ = settle_bodiless(exchange);
  }
  if (!is_tunnel && !is_without_body_) {
    // What gRPC says in a head alone are trailers, and clients show its callers whatever else is there.
    const bool is_grpc_status = is_last && count == 0 && exchange.response.fields.find("grpc-status");
    auto length = settle_length(exchange, pieces, count, is_last && trailers_.empty() && !is_grpc_status);
    has_answer_length_ = length.has_value();
    answer_left_ = length.value_or(0);
  }
  exchange.is_head_sent = true;
  exchange.body_bytes_sent += queue(pieces, count, is_last);
  const bool has_trailers = !trailers_.empty() && !is_without_body_;
  is_end_sent_ = is_last && pending_.is_empty() && !has_trailers && !ends_with_reset();
  if (is_end_sent_) arm_for_client();  // it goes with the head, which needs no window
  connection_->session().send_head(id_, exchange.response.status, exchange.response.fields, !is_end_sent_);
  connection_->flush_later();
}

void RequestStream::send_body(Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  if (!exchange_) return;
  exchange.body_bytes_sent += queue(pieces, count, is_last);
  connection_->session().resume(id_);
  connection_->flush_later();
}

// How many bytes were queued. The mere end may need a window too.
size_t RequestStream::queue(const iovec* pieces, int count, bool is_last) {
  const bool was_waiting = is_waiting();
  size_t size = 0;
  for (int i = 0; i < count && !is_without_body_; i++) {
    std::string_view piece(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    if (has_answer_length_) piece = piece.substr(0, std::min<uint64_t>(piece.size(), answer_left_));
    if (has_answer_length_) answer_left_ -= piece.size();
    pending_.append(piece);
    size += piece.size();
  }
  is_answer_ended_ |= is_last;
  was_blocked_ |= is_blocked();
  if (!was_waiting && is_waiting()) arm(context_.client.send_timeout);
  return size;
}

bool RequestStream::is_waiting() const {
  return !pending_.is_empty() || (is_answer_ended_ && (!is_end_sent_ || is_end_awaited_));
}

void RequestStream::send_interim(uint16_t status, const http::FieldList& fields) {
  if (!exchange_ || exchange_->is_head_sent) return;
  connection_->session().send_interim(id_, status, fields);
  connection_->flush_later();
}

// A broken answer must not look complete, and a malformed request is an error whatever was answered.
bool RequestStream::ends_with_reset() const {
  return is_answer_ended_ && (is_malformed_ || is_broken_ || (has_answer_length_ && answer_left_ > 0));
}

http::StreamOffer RequestStream::offer_data(size_t size_max) {
  http::StreamOffer offer;
  offer.size = std::min(size_max, pending_.size());
  if (!is_answer_ended_ || offer.size < pending_.size()) return offer;
  if (ends_with_reset()) {
    if (offer.size > 0) return offer;
    if (is_malformed_)
      reset(Http2Code::kProtocolError, Ending::kComplete);
    else
      reset(Http2Code::kInternalError, Ending::kUpstreamBroke);
    return offer;
  }
  offer.is_last = is_end_sent_ = true;
  offer.has_trailers = !trailers_.empty();
  if (offer.has_trailers) connection_->session().send_trailers(id_, trailers_);
  return offer;
}

void RequestStream::take_data(size_t size, std::string* out) {
  out->append(pending_.view().substr(0, size));
  pending_.consume(size);
  arm_for_client();
  if (!was_blocked_ || pending_.size() > kPendingLowBytes) return;
  was_blocked_ = false;
  connection_->note_drained(id_);
}

void RequestStream::tell_drained() {
  if (tunnel_) return tunnel_->on_ready();
  if (exchange_) on_client_drained(context_, *exchange_);
}

void RequestStream::on_frame_sent(size_t size_bytes) {
  if (exchange_) exchange_->bytes_sent += size_bytes;
  if (is_end_awaited_ && is_end_sent_) arm_for_client();
}

// What there is of it still goes out; the reset follows.
void RequestStream::abort_answer() {
  if (exchange_ && !exchange_->is_head_sent)
    return reset(http::Http2Code::kInternalError, Ending::kUpstreamBroke);
  is_broken_ = true;
  queue(nullptr, 0, true);
  drop_received();
  connection_->session().resume(id_);
  connection_->flush_later();
  finish_exchange(Ending::kUpstreamBroke);
}

bool RequestStream::close_websocket(uint16_t code, std::string_view reason) {
  return exchange_ && tunnel_ && tunnel_->close_websocket(code, reason);
}

// --- the end

void RequestStream::reset(Http2Code code, Ending ending) {
  timer_.stop();
  pending_.clear();
  drop_received();
  connection_->session().reset(id_, code);
  connection_->flush_later();
  finish_exchange(ending);
}

void RequestStream::finish_exchange(Ending ending) {
  if (!exchange_) return;
  Exchange* exchange = exchange_;
  exchange_ = nullptr;
  sink_ = nullptr;
  if (tunnel_) tunnel_->close();
  end_exchange(context_, *exchange, ending);
}

void RequestStream::on_closed(Http2Code code) {
  const bool has_answered = code == Http2Code::kNoError && is_answer_ended_ && pending_.is_empty();
  leave(has_answered ? Ending::kComplete : Ending::kClientGone);
  connection_->forget(*this);
}

void RequestStream::leave(Ending ending) {
  timer_.stop();
  connection_->session().attach(id_, nullptr);
  drop_received();
  pending_.clear();
  finish_exchange(ending);
  tunnel_.reset();
  trailers_.clear();
  request_trailers_.clear();
}

void RequestStream::on_timeout(void* self) {
  auto* stream = static_cast<RequestStream*>(self);
  if (stream->is_waiting()) {
    stream->reset(Http2Code::kCancel, Ending::kClientGone);
  } else if (!stream->exchange_) {
    return;
  } else if (stream->sink_ && !stream->sink_->wants_body()) {
    stream->arm_for_client();  // it is the node who is slow; its own timeout watches that
  } else if (!stream->is_given_ && stream->connection_->is_input_held()) {
    stream->arm_for_client();  // likewise, another stream's
  } else if (!stream->is_given_) {
    stream->fail_body(408, "the request body did not arrive in time");
  }
}

void RequestStream::start_tunnel(std::unique_ptr<upstream::Connection> upstream,
                                 std::string_view first_bytes) {
  if (!exchange_) return;
  tunnel_ = std::make_unique<StreamTunnel>(*this, std::move(upstream), first_bytes);
  base::ByteQueue early;
  early.swap(received_);
  tunnel_->on_client_data(early.view());
  if (has_ended_) tunnel_->on_client_end();
  tunnel_->on_ready();
}

const tls::Handshake* RequestStream::tls_handshake() const { return connection_->tls_handshake(); }
std::string_view RequestStream::server_address() { return connection_->server_address(); }
uint16_t RequestStream::server_port() { return connection_->server_port(); }
uint16_t RequestStream::http3_port() { return connection_->http3_port(); }

}  // namespace moongate::proxy
