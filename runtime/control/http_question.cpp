// SPDX-License-Identifier: Apache-2.0
#include "control/http_question.h"

#include <cstring>

#include "base/ascii.h"

namespace moongate::control {

using base::ErrorKind;
using net::IoStatus;

namespace {

constexpr http::HeadLimits kHeadLimits{16 * 1024, 100};

}  // namespace

HttpQuestion::HttpQuestion(net::EventLoop& loop, net::Resolver& resolver, const Options& options,
                           Callback on_over)
    : loop_(loop),
      options_(options),
      on_over_(std::move(on_over)),
      deadline_(
          [](void* self) {
            static_cast<HttpQuestion*>(self)->fail(ErrorKind::kTimeout, "no whole answer in time");
          },
          this),
      over_(
          [](void* self) {
            auto* asked = static_cast<HttpQuestion*>(self);
            const Callback tell = std::move(asked->on_over_);
            tell(std::move(asked->result_));
          },
          this) {
  const std::string& url = options_.url;
  const bool is_tls = options_.tls != nullptr;
  const std::string_view scheme = is_tls ? "https://" : "http://";
  const std::string_view authority = http::absolute_authority(url);
  http::HostParts host;
  if (!url.starts_with(scheme) || !http::split_host(authority, &host) ||
      url.find_first_of(" \r\n\t") != url.npos) {
    fail(ErrorKind::kInvalid, "it is no address of the form " + std::string(scheme) + "HOST[:PORT]/PATH");
    return;
  }
  std::string_view path = std::string_view(url).substr(scheme.size() + authority.size());
  path = path.substr(0, path.find('#'));
  port_ = host.port == 0 ? (is_tls ? 443 : 80) : host.port;
  if (options_.peer.name.empty()) options_.peer.name = host.name;
  request_ = std::string(http::method_name(options_.method)) + " " +
             (path.starts_with('/') ? "" : std::string("/")) + std::string(path) +
             " HTTP/1.1\r\nHost: " + std::string(authority) + "\r\n";
  if (options_.method == http::Method::kPost)
    request_ += "Content-Type: " + options_.content_type +
                "\r\nContent-Length: " + std::to_string(options_.body.size()) + "\r\n";
  request_ += options_.fields + "Connection: close\r\n\r\n" + options_.body;
  options_.body.clear();
  deadline_.start(loop_.timers(), options_.deadline);
  resolve(resolver, std::string(host.name));
}

void HttpQuestion::resolve(net::Resolver& resolver, const std::string& host) {
  resolver.resolve(host, [this, alive = std::weak_ptr<bool>(is_alive_)](const auto& result) {
    if (alive.expired() || is_over_) return;
    if (!result) return fail(result.error().kind, result.error().detail);
    addresses_ = *result;
    connect_next();
  });
}

void HttpQuestion::connect_next() {
  while (next_address_ < addresses_->size()) {
    const auto started = start_stream();
    if (started) return;
    last_error_ = started.error().detail;
  }
  fail(ErrorKind::kUnreachable, last_error_.empty() ? "its name has no address" : last_error_);
}

base::Result<void> HttpQuestion::start_stream() {
  const net::SocketAddress address = (*addresses_)[next_address_++];
  auto with_port = net::make_ip_address(address.host_text(), port_);
  if (!with_port) return with_port.error();
  stream_ = std::make_unique<tls::Stream>();
  if (auto started = stream_->start_connect(loop_, *with_port, on_ready, this); !started) return started;
  if (!options_.tls) return {};
  auto session = tls::Session::connect(stream_->socket(), options_.tls, options_.peer);
  if (!session) return base::invalid("there is no memory for a TLS session");
  stream_->start_tls(std::move(session));
  return {};
}

void HttpQuestion::on_ready(void* self) {
  auto* asked = static_cast<HttpQuestion*>(self);
  if (asked->is_over_ || !asked->step_connect()) return;
  asked->write();
  if (!asked->is_over_) asked->read();
}

/// True when bytes may go.
bool HttpQuestion::step_connect() {
  if (stream_->is_connecting()) {
    if (const int error = stream_->finish_connect(); error != 0) {
      last_error_ = std::strerror(error);
      connect_next();
      return false;
    }
  }
  if (!stream_->is_handshaking()) return true;
  const IoStatus status = stream_->handshake();
  if (status == IoStatus::kOk) return true;
  if (status == IoStatus::kBlocked) return false;
  const std::string reason = stream_->session()->describe_failure();
  last_error_ = reason.empty() ? "the server left the TLS handshake" : reason;
  connect_next();
  return false;
}

void HttpQuestion::write() {
  while (written_ < request_.size() && stream_->may_write()) {
    const net::IoResult result = stream_->write(request_.data() + written_, request_.size() - written_);
    if (result.status == IoStatus::kError) return fail(ErrorKind::kClosed, "the connection broke");
    written_ += result.size;
    if (result.status == IoStatus::kBlocked) return;
  }
}

void HttpQuestion::read() {
  char buffer[16 * 1024];
  while (!is_over_ && stream_->may_read()) {
    const net::IoResult result = stream_->read(buffer, sizeof buffer);
    if (result.status == IoStatus::kBlocked) return;
    if (result.status == IoStatus::kError) return fail(ErrorKind::kClosed, "the connection broke");
    take_bytes({buffer, result.size}, result.status == IoStatus::kEof);
  }
}

void HttpQuestion::take_bytes(std::string_view bytes, bool is_at_end) {
  if (status_ != 0) return take_body(bytes, is_at_end);
  head_ += bytes;
  take_head(is_at_end);
}

void HttpQuestion::take_head(bool is_at_end) {
  const http::ScanResult scan = http::scan_head(head_, 0, kHeadLimits);
  if (scan.status == http::ScanStatus::kTooLarge)
    return fail(ErrorKind::kLimit, "the answer's head is too large");
  if (scan.status == http::ScanStatus::kIncomplete) {
    if (is_at_end) fail(ErrorKind::kClosed, "the connection was closed without an answer");
    return;
  }
  base::Arena arena;
  http::ResponseHead head(&arena);
  std::string_view reason;
  const std::string bytes = std::move(head_);
  if (!http::parse_response_head(std::string_view(bytes).substr(0, scan.head_size), kHeadLimits,
                                 options_.method, &head, &reason))
    return fail(ErrorKind::kInvalid, std::string(reason));
  if (head.status != 200 && !options_.takes_any_status)
    return fail(ErrorKind::kInvalid, "it answers " + std::to_string(head.status) + " and not 200");
  status_ = head.status;
  for (uint32_t i = 0; i < head.fields.count(); i++)
    fields_.emplace(base::lower_case(std::string(head.fields[i].name)), head.fields[i].value);
  body_kind_ = head.body;
  body_left_ = head.body == http::BodyKind::kLength ? head.content_length : 0;
  take_body(std::string_view(bytes).substr(scan.head_size), is_at_end);
}

void HttpQuestion::take_body(std::string_view bytes, bool is_at_end) {
  if (body_kind_ == http::BodyKind::kChunked) return take_chunks(bytes, is_at_end);
  if (body_kind_ == http::BodyKind::kUntilClose) {
    if (take_piece(bytes) && is_at_end) finish(std::move(answer_));
    return;
  }
  bytes = bytes.substr(0, body_left_);
  body_left_ -= bytes.size();
  if (!take_piece(bytes)) return;
  if (body_left_ == 0) return finish(std::move(answer_));
  if (is_at_end) fail(ErrorKind::kClosed, "the answer is cut off");
}

void HttpQuestion::take_chunks(std::string_view bytes, bool is_at_end) {
  using Status = http::ChunkedDecoder::Status;
  for (;;) {
    const http::ChunkedDecoder::Step step = decoder_.feed(bytes);
    bytes.remove_prefix(step.consumed);
    if (step.status == Status::kBad) return fail(ErrorKind::kInvalid, "the answer's chunks are malformed");
    if (!take_piece(step.data)) return;
    if (step.status == Status::kDone) return finish(std::move(answer_));
    if (step.status == Status::kMore) break;
  }
  if (is_at_end) fail(ErrorKind::kClosed, "the answer is cut off");
}

std::string_view HttpQuestion::find_field(std::string_view name) const {
  const auto found = fields_.find(name);
  return found == fields_.end() ? std::string_view() : std::string_view(found->second);
}

/// False when the question is over by that.
bool HttpQuestion::take_piece(std::string_view piece) {
  if (piece.empty()) return !is_over_;
  if (options_.on_piece && status_ == 200) {
    deadline_.start(loop_.timers(), options_.deadline);
    if (options_.on_piece(piece)) return true;
    finish(std::string());
    return false;
  }
  if (answer_.size() + piece.size() > options_.answer_max_bytes) {
    fail(ErrorKind::kLimit, "the answer is too large");
    return false;
  }
  answer_ += piece;
  return true;
}

void HttpQuestion::fail(ErrorKind kind, const std::string& what) {
  finish(base::Error{kind, base::Side::kUpstream, written_ == 0, options_.url + ": " + what});
}

void HttpQuestion::finish(base::Result<std::string> result) {
  if (is_over_) return;
  is_over_ = true;
  result_ = std::move(result);
  deadline_.stop();
  over_.schedule(loop_);
}

}  // namespace moongate::control
