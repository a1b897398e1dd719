// SPDX-License-Identifier: Apache-2.0
// The sending half of a client connection: framing of answers, what could not be sent yet, and what follows
// the last byte.
#include <cstring>

#include "http/writer.h"
#include "proxy/answer_length.h"
#include "proxy/connection.h"
#include "proxy/steps.h"
#include "proxy/tunnel.h"

namespace moongate::proxy {

using exchange::Ending;
using exchange::Exchange;
using net::IoStatus;

namespace {

constexpr uint64_t kDiscardMaxBytes = 64 * 1024;  // of a body nobody wanted, to keep the connection

constexpr size_t kShortBodyBytes = 4 * 1024;

// Heads are written here when they fit, which is nearly always, and short bodies behind them.
struct HeadBuffer {
  static constexpr size_t kHeadMaxBytes = 16 * 1024;
  char bytes[kHeadMaxBytes + kShortBodyBytes];
  static HeadBuffer& get() {
    static thread_local HeadBuffer buffer;
    return buffer;
  }
};

}  // namespace

// Decides how the end of the answer will be known, and makes the fields agree with it.
void Connection::choose_framing(Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  if (settle_bodiless(exchange)) {
    framing_ = Framing::kNone;
    return;
  }
  // An answer that is all here says how much it is.
  auto length = settle_length(exchange, pieces, count, is_last && trailers_.empty());
  if (length) {
    framing_ = Framing::kLength;
    answer_left_ = *length;
  } else if (exchange.request.version_minor == 0) {
    framing_ = Framing::kUntilClose;
    is_keep_alive_ = false;
  } else {
    framing_ = Framing::kChunked;
  }
}

void Connection::send_head(Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  if (state_ == State::kClosed) return;
  choose_framing(exchange, pieces, count, is_last);
  if (body_ != Body::kDone && (!sink_ || is_last)) {
    // The answer comes before the request was read to its end. A little can be read and thrown away.
    if (body_ == Body::kChunked || body_left_ > kDiscardMaxBytes ||
        (exchange.request.expects_continue && !has_continued_)) {
      is_keep_alive_ = false;
    }
  }
  if (context_.is_draining) is_keep_alive_ = false;
  const http::FieldList& fields = exchange.response.fields;
  size_t bound = http::head_size_bound(fields, exchange.response.reason.size() + 32) + 64;
  const bool is_buffered = bound <= HeadBuffer::kHeadMaxBytes;
  char* start = is_buffered ? HeadBuffer::get().bytes : exchange.arena.allocate_chars(bound);
  char* at = http::write_status_line(start, exchange.response.status, exchange.response.reason);
  at = http::write_fields(at, fields, [](const http::Field&) { return false; });
  if (exchange.response.status == 101) {
    at = http::write_field(at, "Connection", "upgrade");
  } else {
    if (framing_ == Framing::kChunked) at = http::write_field(at, "Transfer-Encoding", "chunked");
    if (!is_keep_alive_)
      at = http::write_field(at, "Connection", "close");
    else if (exchange.request.version_minor == 0)
      at = http::write_field(at, "Connection", "keep-alive");
  }
  *at++ = '\r';
  *at++ = '\n';
  exchange.is_head_sent = true;
  iovec out[72];
  out[0] = {start, static_cast<size_t>(at - start)};
  exchange.bytes_sent += out[0].iov_len;
  if (framing_ == Framing::kNone) {
    is_answer_ended_ = is_last;
    write_out(out, 1);
    if (is_last && state_ == State::kExchange && unsent_.is_empty()) on_answer_written();
    return;
  }
  if (framing_ == Framing::kLength && count <= 70) {  // the usual case: head and body in one write
    size_t size = 0;
    int used = 1;
    for (int i = 0; i < count && size < answer_left_; i++) {
      size_t part = std::min<uint64_t>(pieces[i].iov_len, answer_left_ - size);
      out[used++] = {pieces[i].iov_base, part};
      size += part;
    }
    answer_left_ -= size;
    exchange.bytes_sent += size;
    exchange.body_bytes_sent += size;
    if (is_last) {
      if (answer_left_ > 0) is_keep_alive_ = false;  // shorter than was said: only closing tells the client
      is_answer_ended_ = true;
    }
    // One piece is sent for less than two, by more than it costs to copy a short one.
    if (used == 2 && is_buffered && size <= kShortBodyBytes) {
      std::memcpy(at, out[1].iov_base, size);
      out[0].iov_len += size;
      used = 1;
    }
    write_out(out, used);
    if (is_last && state_ == State::kExchange && unsent_.is_empty()) on_answer_written();
    return;
  }
  write_out(out, 1);
  if (state_ == State::kExchange) send_body(exchange, pieces, count, is_last);
}

void Connection::send_body(Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  if (state_ != State::kExchange || is_answer_ended_) return;
  iovec out[72];
  int used = 0;
  size_t size = 0;
  char chunk_open[24];
  bool is_chunked = framing_ == Framing::kChunked;
  if (framing_ == Framing::kNone) count = 0;
  MG_ASSERT(count <= 66);
  if (is_chunked) used = 1;
  for (int i = 0; i < count; i++) {
    size_t part = pieces[i].iov_len;
    if (framing_ == Framing::kLength) part = std::min<uint64_t>(part, answer_left_ - size);
    if (part == 0) continue;
    out[used++] = {pieces[i].iov_base, part};
    size += part;
  }
  if (framing_ == Framing::kLength) answer_left_ -= size;
  const iovec* first = out;
  if (is_chunked && size > 0) {
    out[0] = {chunk_open, http::write_chunk_open(size, chunk_open)};
    out[used++] = {const_cast<char*>(http::kChunkClose.data()), http::kChunkClose.size()};
  } else if (is_chunked) {
    first = out + 1;
  }
  if (is_chunked && is_last) {
    std::string_view last = http::kLastChunk;
    if (!trailers_.empty()) {
      trailers_.insert(0, "0\r\n").append("\r\n");
      last = trailers_;
    }
    out[used++] = {const_cast<char*>(last.data()), last.size()};
  }
  exchange.bytes_sent += size;
  exchange.body_bytes_sent += size;
  if (is_last) {
    if (framing_ == Framing::kLength && answer_left_ > 0) is_keep_alive_ = false;
    is_answer_ended_ = true;
  }
  int total = used - static_cast<int>(first - out);
  if (total > 0) write_out(first, total);
  if (is_last && state_ == State::kExchange && unsent_.is_empty()) on_answer_written();
}

void Connection::send_interim(uint16_t status, const http::FieldList& fields) {
  if (state_ != State::kExchange || exchange_->request.version_minor == 0) return;
  std::string head(http::head_size_bound(fields, 64) + 8, '\0');
  char* at = http::write_status_line(head.data(), status, {});
  for (const http::Field& field : fields) {
    if (!http::is_hop_by_hop(field, {})) at = http::write_field(at, field.name, field.value);
  }
  *at++ = '\r';
  *at++ = '\n';
  iovec piece{head.data(), static_cast<size_t>(at - head.data())};
  write_out(&piece, 1);
}

void Connection::write_out(const iovec* pieces, int count) {
  if (try_write(pieces, count)) return;
  finish_exchange(Ending::kClientGone);
  close();
}

// False when the connection is dead. Calls nobody back: whoever writes looks at what has become of it.
bool Connection::try_write(const iovec* pieces, int count) {
  size_t sent = 0;
  if (unsent_.is_empty() && stream_.may_write()) {
    net::IoResult result = stream_.write(pieces, count);
    if (result.status == IoStatus::kError) return false;
    sent = result.size;
  }
  bool was_empty = unsent_.is_empty();
  for (int i = 0; i < count; i++) {
    std::string_view piece(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    if (sent >= piece.size()) {
      sent -= piece.size();
      continue;
    }
    unsent_.append(piece.substr(sent));
    sent = 0;
  }
  if (unsent_.is_empty()) return true;
  if (was_empty) arm(context_.client.send_timeout);
  return push_unsent();
}

// Writes what waits, as far as it goes. False when the connection is dead.
bool Connection::push_unsent() {
  size_t before = unsent_.size();
  while (!unsent_.is_empty() && stream_.may_write()) {
    std::string_view bytes = unsent_.view();
    net::IoResult result = stream_.write(bytes.data(), bytes.size());
    if (result.status == IoStatus::kError) return false;
    if (result.status != IoStatus::kOk) break;
    unsent_.consume(result.size);
  }
  if (unsent_.size() == before) return true;
  if (unsent_.is_empty())
    arm_for_client();
  else
    arm(context_.client.send_timeout);
  return true;
}

void Connection::flush() {
  size_t before = unsent_.size();
  if (!push_unsent()) {
    finish_exchange(Ending::kClientGone);
    close();
    return;
  }
  if (unsent_.is_empty() && is_answer_ended_) return on_answer_written();
  if (exchange_ && before > kUnsentLowBytes && unsent_.size() <= kUnsentLowBytes)
    on_client_drained(context_, *exchange_);
}

// The whole answer is with the kernel.
void Connection::on_answer_written() {
  if (exchange_) finish_exchange(Ending::kComplete);
  if (state_ != State::kExchange) return;
  if (!is_keep_alive_) return linger_or_close();
  if (body_ != Body::kDone) {  // read the rest of a body nobody wanted; feed_* comes back here
    sink_ = nullptr;
    arm(context_.client.body_timeout);
    if (!peek().empty()) {
      if (!is_processing_) take_input();
    } else if (!is_processing_) {
      on_readable();
    }
    return;
  }
  next_request();
}

void Connection::next_request() {
  state_ = State::kIdle;
  is_answer_ended_ = false;
  arm(context_.client.keepalive_timeout);
  if (is_processing_) return;  // take_input() goes on by itself
  if (!peek().empty()) take_input();
  if (state_ == State::kIdle || state_ == State::kHead) on_readable();
}

void Connection::finish_exchange(Ending ending) {
  if (!exchange_) return;
  Exchange* exchange = exchange_;
  exchange_ = nullptr;
  sink_ = nullptr;
  end_exchange(context_, *exchange, ending);
}

// A length or chunks that end too early tell the client by themselves; where only the end of the connection
// would, it must not look like one.
void Connection::abort_answer() {
  Framing framing = framing_;
  finish_exchange(Ending::kUpstreamBroke);
  if (state_ == State::kTunnel) return close();
  if (state_ != State::kExchange) return;
  is_keep_alive_ = false;
  if (framing == Framing::kUntilClose) {
    stream_.abort();
    return close();
  }
  is_answer_ended_ = true;
  if (unsent_.is_empty()) linger_or_close();
}

bool Connection::close_websocket(uint16_t code, std::string_view reason) {
  return state_ == State::kTunnel && tunnel_->close_websocket(code, reason);
}

void Connection::start_tunnel(std::unique_ptr<upstream::Connection> upstream, std::string_view first_bytes) {
  state_ = State::kTunnel;
  timer_.stop();
  tunnel_ = std::make_unique<Tunnel>(context_, stream_, std::move(upstream),
                                     [this](uint64_t to_client, uint64_t to_upstream) {
                                       if (exchange_) {
                                         exchange_->bytes_sent += to_client;
                                         exchange_->body_bytes_sent += to_client;
                                         exchange_->bytes_received += to_upstream;
                                       }
                                       finish_exchange(Ending::kComplete);
                                       close();
                                     });
  if (exchange_) tunnel_->guard(WebSocketGuard::make(*exchange_));
  tunnel_->queue_head(unsent_.view());
  tunnel_->queue_to_client(first_bytes);
  unsent_.clear();
  tunnel_->queue_to_upstream(peek());
  input_.clear();
  fresh_ = {};
  tunnel_->on_ready();
}

}  // namespace moongate::proxy
