// SPDX-License-Identifier: Apache-2.0
// The receiving half of a client connection: heads, bodies and their faults. connection_output.cpp is the
// other half.
#include "proxy/connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "http/websocket_frames.h"
#include "proxy/http2_connection.h"
#include "proxy/identity.h"
#include "proxy/proxy_protocol.h"
#include "proxy/steps.h"
#include "proxy/tunnel.h"

namespace moongate::proxy {

using exchange::Ending;
using exchange::Exchange;
using net::IoStatus;

namespace {

constexpr uint64_t kLingerMaxBytes = 1024 * 1024;
constexpr auto kLingerTimeout = std::chrono::seconds(2);

}  // namespace

char* client_read_buffer() {
  static thread_local std::unique_ptr<char[]> buffer(new char[upstream::ReadBuffer::kSize]);
  return buffer.get();
}

Connection::Connection(Context& context, int fd, const net::SocketAddress& peer, ListenerTraits traits)
    : context_(context),
      timer_(on_timeout, this),
      later_(on_later, this),
      is_tls_(traits.is_tls),
      protocols_(traits.protocols),
      http3_port_(traits.http3_port),
      number_(++context.connections_accepted) {
  std::string host = peer.family() == AF_UNIX ? std::string("unix:") : peer.host_text();
  peer_address_size_ = static_cast<uint8_t>(std::min(host.size(), sizeof peer_address_));
  std::memcpy(peer_address_, host.data(), peer_address_size_);
  peer_port_ = peer.port();
  if (auto address = router::parse_address(host)) peer_ = *address;
  state_ = traits.is_proxy_protocol ? State::kProxyHeader : State::kIdle;
  next = context.connections;
  link = &context.connections;
  if (next) next->link = &next;
  context.connections = this;
  context.connection_count++;
  stream_.adopt(context.loop, fd, on_stream_ready, this);
  arm(context.client.header_timeout);
  if (is_tls_ && state_ == State::kIdle) start_tls({});
}

Connection::~Connection() = default;

void Connection::arm(std::chrono::milliseconds timeout) { timer_.start(context_.loop.timers(), timeout); }

// Between writes it is the request's body, if any, that the client may take too long for.
void Connection::arm_for_client() {
  if (body_ == Body::kDone)
    timer_.stop();
  else
    arm(context_.client.body_timeout);
}

void Connection::consume(size_t count) {
  if (input_.is_empty())
    fresh_.remove_prefix(count);
  else
    input_.consume(count);
}

void Connection::stash() {
  if (fresh_.empty()) return;
  input_.append(fresh_);
  fresh_ = {};
}

void Connection::on_stream_ready(void* self) {
  auto* connection = static_cast<Connection*>(self);
  if (connection->state_ == State::kTunnel) {
    connection->tunnel_->on_ready();
    return;
  }
  if (connection->state_ == State::kHttp2) return connection->http2_->on_ready();
  if (connection->state_ == State::kHandshake) connection->continue_handshake();
  if (connection->state_ == State::kHandshake || connection->state_ == State::kClosed) return;
  if (connection->state_ == State::kExchange && connection->body_ == Body::kDone &&
      connection->has_been_reset()) {
    connection->end();
    return;
  }
  if (!connection->unsent_.is_empty() && connection->stream_.may_write()) connection->flush();
  if (connection->state_ != State::kClosed) connection->on_readable();
}

// `received` is what came behind a PROXY protocol header.
void Connection::start_tls(std::string_view received) {
  state_ = State::kHandshake;
  auto names = context_.snapshot ? context_.snapshot->server_names : nullptr;
  auto session = tls::Session::accept(stream_.socket(), std::move(names), received, protocols_);
  if (!session) return close();
  stream_.start_tls(std::move(session));
}

void Connection::continue_handshake() {
  switch (stream_.handshake()) {
    case IoStatus::kBlocked:
      return;
    case IoStatus::kOk:
      state_ = State::kIdle;
      arm(context_.client.header_timeout);
      if (protocols_ == tls::Protocols::kEither)
        protocols_ = stream_.session()->is_http2() ? tls::Protocols::kHttp2 : tls::Protocols::kHttp1;
      if (protocols_ == tls::Protocols::kHttp2) start_http2();
      return;
    case IoStatus::kEof:
    case IoStatus::kError: {
      const tls::Session& session = *stream_.session();
      MG_LOG(kInfo) << "TLS handshake with " << std::string_view(peer_address_, peer_address_size_)
                    << " for \"" << session.server_name() << "\" failed: " << session.describe_failure();
      return close();
    }
  }
}

// While an answer is awaited nothing is read, so a reset would go unnoticed. An end does not count: the
// client may have closed its sending half and still want the answer.
bool Connection::has_been_reset() const {
  char byte;
  return stream_.may_read() && ::recv(stream_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         errno != EAGAIN && errno != EINTR;
}

bool Connection::wants_input() const {
  switch (state_) {
    case State::kProxyHeader:
    case State::kIdle:
    case State::kHead:
    case State::kLingering:
      return true;
    case State::kExchange:
      return body_ != Body::kDone && input_.is_empty() && (!sink_ || sink_->wants_body());
    case State::kHandshake:
    case State::kHttp2:
    case State::kTunnel:
    case State::kClosed:
      return false;
  }
  return false;
}

void Connection::on_readable() {
  for (int reads = 0; wants_input() && stream_.may_read(); reads++) {
    if (reads == upstream::ReadBuffer::kReadsPerTurn) return stream_.call_again();
    char* buffer = client_read_buffer();
    net::IoResult result = stream_.read(buffer, upstream::ReadBuffer::kSize);
    if (result.status == IoStatus::kBlocked) return;
    if (result.status == IoStatus::kError) {
      finish_exchange(Ending::kClientGone);
      close();
      return;
    }
    if (result.status == IoStatus::kEof) {
      on_eof();
      return;
    }
    if (state_ == State::kLingering) {
      body_received_ += result.size;
      if (body_received_ > kLingerMaxBytes) close();
      continue;
    }
    std::string_view bytes(buffer, result.size);
    if (input_.is_empty())
      fresh_ = bytes;
    else
      input_.append(bytes);
    take_input();
    if (state_ == State::kClosed) return;
    stash();
  }
}

void Connection::take_input() {
  if (is_processing_) return;
  is_processing_ = true;
  bool is_moving = true;
  while (is_moving) {
    is_moving = false;
    if (state_ == State::kProxyHeader) is_moving = take_proxy_header();
    if (state_ == State::kIdle || state_ == State::kHead) {
      is_moving = is_http1() && take_head();
    } else if (state_ == State::kExchange && body_ != Body::kDone && !peek().empty()) {
      deliver_body();
      is_moving = state_ == State::kIdle && !peek().empty();
    }
  }
  is_processing_ = false;
}

bool Connection::take_proxy_header() {
  ProxyHeader header;
  switch (parse_proxy_header(peek(), &header)) {
    case ProxyHeaderStatus::kIncomplete:
      return false;
    case ProxyHeaderStatus::kBad:
      MG_LOG(kInfo) << "a connection without a valid PROXY protocol header was closed";
      close();
      return false;
    case ProxyHeaderStatus::kDone:
      break;
  }
  consume(header.size);
  std::string_view peer(peer_address_, peer_address_size_);
  auto address = router::parse_address(peer);
  bool is_trusted = peer == "unix:" ? context_.client.is_unix_trusted
                                    : address && context_.client.trusted.contains(*address);
  if (header.has_source && is_trusted) {
    peer_address_size_ = static_cast<uint8_t>(std::min(header.source.size(), sizeof peer_address_));
    std::memcpy(peer_address_, header.source.data(), peer_address_size_);
    peer_port_ = header.source_port;
    if (auto source = router::parse_address(header.source)) peer_ = *source;
  }
  state_ = State::kIdle;
  if (!is_tls_) return true;
  start_tls(peek());
  consume(peek().size());
  if (state_ == State::kHandshake) continue_handshake();
  return false;
}

// A client that knows that HTTP/2 is spoken here begins with its preface, and is one of HTTP/1 as soon as a
// byte differs. False while that is open, and when it is HTTP/2.
bool Connection::is_http1() {
  if (protocols_ == tls::Protocols::kHttp1) return true;
  if (protocols_ == tls::Protocols::kHttp2) {
    if (!peek().empty()) start_http2();  // which refuses what is none
    return false;
  }
  const std::string_view begin = peek().substr(0, http::kHttp2Preface.size());
  if (begin != http::kHttp2Preface.substr(0, begin.size())) {
    protocols_ = tls::Protocols::kHttp1;
    return true;
  }
  if (begin.size() == http::kHttp2Preface.size())
    start_http2();
  else if (!begin.empty())
    state_ = State::kHead;
  return false;
}

void Connection::start_http2() {
  base::ByteQueue kept;
  const std::string_view received = take_available(&kept);
  state_ = State::kHttp2;
  timer_.stop();
  http2_ = std::make_unique<Http2Connection>(context_, *this, stream_);
  http2_->start(received);
}

void Connection::end_http2(bool is_client_done) {
  if (is_client_done) return close();
  linger();
}

// True when a whole request was taken and what came behind it can be dealt with: another, or a body that
// nobody wants because the answer is out already.
bool Connection::take_head() {
  std::string_view bytes = peek();
  if (scan_from_ == 0) {  // RFC 9112 2.2: an empty line before the request line is passed over
    while (bytes.substr(0, 2) == "\r\n") {
      consume(2);
      bytes = peek();
    }
  }
  if (bytes.empty()) return false;
  http::ScanResult scan = http::scan_head(bytes, scan_from_, context_.client.head);
  if (scan.status == http::ScanStatus::kIncomplete) {
    scan_from_ = scan.resume_at;
    if (state_ == State::kIdle) {
      state_ = State::kHead;
      arm(context_.client.header_timeout);
    }
    return false;
  }
  scan_from_ = 0;
  if (scan.status == http::ScanStatus::kTooLarge) {
    bool is_line_too_long = bytes.find('\n') == std::string_view::npos;
    refuse(is_line_too_long ? 414 : 431,
           is_line_too_long ? "request line too long" : "header section too large");
    return false;
  }
  start_exchange(bytes.substr(0, scan.head_size), scan.head_size);
  if (peek().empty()) return false;
  bool has_unwanted_body =
      state_ == State::kExchange && body_ != Body::kDone && is_answer_ended_ && !exchange_;
  return state_ == State::kIdle || has_unwanted_body;
}

// An exchange on this connection, with nothing left of the one before.
Exchange* Connection::take_exchange() {
  Exchange* exchange = context_.exchanges.take();
  exchange->begin(*this, context_.snapshot);
  exchange_ = exchange;
  state_ = State::kExchange;
  body_ = Body::kDone;
  is_answer_ended_ = has_continued_ = false;
  trailers_.clear();
  sink_ = nullptr;
  body_received_ = 0;
  requests_++;
  introduce(*exchange);
  return exchange;
}

void Connection::introduce(Exchange& exchange) const {
  exchange.connection_number = number_;
  exchange.is_tls = is_tls_;
  exchange.peer_address = peer_address();
  exchange.peer_port = peer_port_;
  exchange.remote = peer_;
}

void Connection::start_exchange(std::string_view head, size_t head_size) {
  Exchange* exchange = take_exchange();
  exchange->bytes_received = head_size;
  http::HeadFault fault;
  std::string_view kept = exchange->arena.copy(head);
  consume(head_size);
  if (!http::parse_request_head(kept, context_.client.head, &exchange->request, &fault)) {
    is_keep_alive_ = false;
    exchange->fail(fault.status, fault.reason);
    answer_without_steps(context_, *exchange);
    return;
  }
  const http::RequestHead& request = exchange->request;
  is_keep_alive_ =
      request.is_keep_alive && !context_.is_draining && requests_ < context_.client.keepalive_requests;
  body_ = request.body == http::BodyKind::kChunked                                ? Body::kChunked
          : request.body == http::BodyKind::kLength && request.content_length > 0 ? Body::kLength
                                                                                  : Body::kDone;
  body_left_ = request.content_length;
  if (body_ == Body::kChunked) {
    if (!decoder_) decoder_ = std::make_unique<http::ChunkedDecoder>();
    decoder_->reset();
  }
  timer_.stop();
  exchange->body_state = body_ == Body::kDone ? exchange::BodyState::kNone : exchange::BodyState::kUnread;
  uint64_t limit = context_.client.body_size_max_bytes;
  if (limit != 0 && body_ == Body::kLength && body_left_ > limit) {
    is_keep_alive_ = false;
    exchange->fail(413, "request body too large");
    answer_without_steps(context_, *exchange);
    return;
  }
  begin_steps(context_, *exchange);
}

// Refuses a request whose head never became one.
void Connection::refuse(uint16_t status, std::string_view reason) {
  Exchange* exchange = take_exchange();
  exchange->bytes_received = peek().size();
  is_keep_alive_ = false;
  exchange->fail(status, reason);
  answer_without_steps(context_, *exchange);
}

void Connection::read_body() {
  if (body_ == Body::kDone) {
    if (sink_) sink_->on_request_body(nullptr, 0, true);
    return;
  }
  begin_reading_body();
  bool is_outermost = !is_processing_;
  is_processing_ = true;  // a request that ends in here must not begin the next one below us
  deliver_body();
  if (!is_outermost) return;
  is_processing_ = false;
  if (state_ == State::kIdle && !peek().empty()) take_input();
  if (state_ != State::kClosed) on_readable();
}

void Connection::read_body_later() {
  if (body_ == Body::kDone) return read_body();
  begin_reading_body();
  bool was_processing = std::exchange(is_processing_, true);
  deliver_body();
  is_processing_ = was_processing;
  if (body_ != Body::kDone) later_.schedule(context_.loop);
}

void Connection::on_later(void* self) {
  auto* connection = static_cast<Connection*>(self);
  connection->on_readable();
}

void Connection::begin_reading_body() {
  arm(context_.client.body_timeout);
  if (!exchange_->request.expects_continue || has_continued_ || !peek().empty() || body_received_ != 0)
    return;
  has_continued_ = true;
  iovec piece{const_cast<char*>("HTTP/1.1 100 Continue\r\n\r\n"), 25};
  // A client that is gone is noticed by the read that follows.
  static_cast<void>(try_write(&piece, 1));
}

void Connection::deliver_body() {
  while (state_ == State::kExchange && body_ != Body::kDone && !peek().empty() &&
         (!sink_ || sink_->wants_body())) {
    if (!sink_ && !is_answer_ended_) return;  // nobody asked yet
    arm(context_.client.body_timeout);
    if (body_ == Body::kLength)
      feed_length();
    else
      feed_chunked();
  }
}

// Takes everything that is here; `kept` holds the bytes while they are looked at.
std::string_view Connection::take_available(base::ByteQueue* kept) {
  std::string_view bytes = fresh_;
  fresh_ = {};
  if (!input_.is_empty()) {
    kept->swap(input_);
    bytes = kept->view();
  }
  return bytes;
}

void Connection::put_back(std::string_view rest, const base::ByteQueue& kept) {
  if (kept.is_empty())
    fresh_ = rest;
  else
    input_.append(rest);
}

void Connection::feed_length() {
  base::ByteQueue kept;
  std::string_view bytes = take_available(&kept);
  size_t size = bytes.size() < body_left_ ? bytes.size() : static_cast<size_t>(body_left_);
  put_back(bytes.substr(size), kept);
  body_left_ -= size;
  body_received_ += size;
  if (exchange_) exchange_->bytes_received += size;
  bool is_last = body_left_ == 0;
  iovec piece{const_cast<char*>(bytes.data()), size};
  give_body(&piece, 1, is_last);
}

void Connection::feed_chunked() {
  base::ByteQueue kept;
  std::string_view bytes = take_available(&kept);
  iovec pieces[32];
  int count = 0;
  size_t consumed = 0;
  bool is_last = false;
  while (count < 32) {
    auto step = decoder_->feed(bytes.substr(consumed));
    consumed += step.consumed;
    if (step.status == http::ChunkedDecoder::Status::kBad) return fail_body(400, "malformed chunked body");
    if (step.status == http::ChunkedDecoder::Status::kData) {
      body_received_ += step.data.size();
      if (!step.data.empty()) pieces[count++] = {const_cast<char*>(step.data.data()), step.data.size()};
      continue;
    }
    is_last = step.status == http::ChunkedDecoder::Status::kDone;
    break;
  }
  put_back(bytes.substr(consumed), kept);
  if (exchange_) exchange_->bytes_received += consumed;
  uint64_t limit = context_.client.body_size_max_bytes;
  if (limit != 0 && body_received_ > limit) return fail_body(413, "request body too large");
  give_body(pieces, count, is_last);
}

void Connection::give_body(const iovec* pieces, int count, bool is_last) {
  if (is_last) {
    if (body_ == Body::kChunked && sink_ && !decoder_->trailers().empty())
      sink_->on_request_trailers(decoder_->trailers());
    body_ = Body::kDone;
    timer_.stop();
  }
  if (sink_) {
    if (count > 0 || is_last) sink_->on_request_body(pieces, count, is_last);
  } else if (is_last && is_answer_ended_ && unsent_.is_empty()) {
    on_answer_written();
  }
}

void Connection::fail_body(uint16_t status, std::string_view reason) {
  is_keep_alive_ = false;
  body_ = Body::kDone;
  input_.clear();
  fresh_ = {};
  if (is_answer_ended_) return close();
  if (sink_) sink_->on_request_body_failed(status, reason);
}

// The client sends no more. Between requests that is the end; within one it may still want its answer.
void Connection::on_eof() {
  is_eof_ = true;
  is_keep_alive_ = false;
  if (state_ == State::kExchange) {
    if (body_ == Body::kDone) return;
    finish_exchange(Ending::kClientGone);
  }
  close();
}

void Connection::on_timeout(void* self) {
  auto* connection = static_cast<Connection*>(self);
  switch (connection->state_) {
    case State::kHead:
      connection->refuse(408, "the request head did not arrive in time");
      return;
    case State::kExchange:
      if (!connection->unsent_.is_empty()) {
        connection->finish_exchange(Ending::kClientGone);
        connection->close();
      } else if (connection->sink_ && !connection->sink_->wants_body()) {
        connection->arm_for_client();  // it is the node who is slow; its own timeout watches that
      } else if (connection->body_ != Body::kDone) {
        connection->fail_body(408, "the request body did not arrive in time");
      }
      return;
    default:
      connection->close();
  }
}

void Connection::drain() {
  if (state_ == State::kHttp2) return http2_->drain();
  is_keep_alive_ = false;
  if (state_ == State::kIdle) close();
}

void Connection::end() {
  if (state_ == State::kHttp2) http2_->end();
  close_websocket(http::kWebSocketGoingAway, "");  // what the sockets take of it at once
  finish_exchange(Ending::kClientGone);
  close();
}

void Connection::linger_or_close() {
  bool is_client_still_sending = !is_eof_ && (body_ != Body::kDone || !peek().empty() || stream_.may_read());
  if (!is_client_still_sending) return close();
  linger();
}

void Connection::linger() {
  // Closing with unread bytes would send RST, which may overtake the answer: RFC 9112 9.6.
  input_.clear();
  fresh_ = {};
  stream_.shutdown_write();
  state_ = State::kLingering;
  body_received_ = 0;
  arm(std::chrono::duration_cast<std::chrono::milliseconds>(kLingerTimeout));
  if (!is_processing_) on_readable();
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  timer_.stop();
  later_.cancel();
  stream_.close();
  fresh_ = {};
  input_.clear();
  unsent_.clear();
  *link = next;
  if (next) next->link = link;
  context_.connection_count--;
  context_.closed.emplace_back(this);
  context_.free_closed.schedule(context_.loop);
}

std::string_view Connection::server_address() {
  if (!server_address_.empty()) return server_address_;
  net::SocketAddress local;
  local.size = sizeof local.storage;
  ::getsockname(stream_.fd(), reinterpret_cast<sockaddr*>(&local.storage), &local.size);
  server_address_ = local.host_text();
  server_port_ = local.port();
  return server_address_;
}

uint16_t Connection::server_port() {
  server_address();
  return server_port_;
}

}  // namespace moongate::proxy
