// SPDX-License-Identifier: Apache-2.0
#include "control/http_post.h"

#include <cstring>

#include "http/chunked.h"

namespace moongate::control {

using base::ErrorKind;
using net::IoStatus;

namespace {

constexpr http::HeadLimits kHeadLimits{16 * 1024, 100};

}  // namespace

HttpPost::HttpPost(net::EventLoop& loop, net::Resolver& resolver, const Question& question, Callback on_over)
    : loop_(loop),
      url_(question.url),
      answer_max_bytes_(question.answer_max_bytes + kHeadLimits.head_size_max_bytes),
      on_over_(std::move(on_over)),
      deadline_(
          [](void* self) {
            static_cast<HttpPost*>(self)->fail(ErrorKind::kTimeout, "no whole answer in time");
          },
          this),
      over_(
          [](void* self) {
            auto* post = static_cast<HttpPost*>(self);
            const Callback tell = std::move(post->on_over_);
            tell(std::move(post->result_));
          },
          this) {
  const std::string_view authority = http::absolute_authority(url_);
  http::HostParts host;
  if (!url_.starts_with("http://") || !http::split_host(authority, &host) ||
      url_.find_first_of(" \r\n\t") != url_.npos) {
    fail(ErrorKind::kInvalid, "it is no address of the form http://HOST[:PORT]/PATH");
    return;
  }
  std::string_view path = std::string_view(url_).substr(std::strlen("http://") + authority.size());
  path = path.substr(0, path.find('#'));
  port_ = host.port == 0 ? 80 : host.port;
  request_ = "POST " + (path.starts_with('/') ? "" : std::string("/")) + std::string(path) +
             " HTTP/1.1\r\nHost: " + std::string(authority) + "\r\nContent-Type: " + question.content_type +
             "\r\nContent-Length: " + std::to_string(question.body.size()) + "\r\nConnection: close\r\n\r\n" +
             question.body;
  deadline_.start(loop_.timers(), question.deadline);
  resolve(resolver, std::string(host.name));
}

void HttpPost::resolve(net::Resolver& resolver, const std::string& host) {
  resolver.resolve(host, [this, alive = std::weak_ptr<bool>(is_alive_)](const auto& result) {
    if (alive.expired() || is_over_) return;
    if (!result) return fail(result.error().kind, result.error().detail);
    addresses_ = *result;
    connect_next();
  });
}

void HttpPost::connect_next() {
  while (next_address_ < addresses_->size()) {
    net::SocketAddress address = (*addresses_)[next_address_++];
    auto with_port = net::make_ip_address(address.host_text(), port_);
    stream_ = std::make_unique<net::Stream>();
    const auto started = with_port ? stream_->start_connect(loop_, *with_port, on_ready, this)
                                   : base::Result<void>(with_port.error());
    if (started) return;
    last_error_ = started.error().detail;
  }
  fail(ErrorKind::kUnreachable, last_error_.empty() ? "its name has no address" : last_error_);
}

void HttpPost::on_ready(void* self) {
  auto* post = static_cast<HttpPost*>(self);
  if (post->is_over_) return;
  if (post->stream_->is_connecting()) {
    if (const int error = post->stream_->finish_connect(); error != 0) {
      post->last_error_ = std::strerror(error);
      return post->connect_next();
    }
  }
  post->write();
  if (!post->is_over_) post->read();
}

void HttpPost::write() {
  while (written_ < request_.size() && stream_->may_write()) {
    const net::IoResult result = stream_->write(request_.data() + written_, request_.size() - written_);
    if (result.status == IoStatus::kError) return fail(ErrorKind::kClosed, "the connection broke");
    written_ += result.size;
    if (result.status == IoStatus::kBlocked) return;
  }
}

void HttpPost::read() {
  char buffer[16 * 1024];
  while (!is_over_ && stream_->may_read()) {
    const net::IoResult result = stream_->read(buffer, sizeof buffer);
    if (result.status == IoStatus::kBlocked) return;
    if (result.status == IoStatus::kError) return fail(ErrorKind::kClosed, "the connection broke");
    answer_.append(buffer, result.size);
    if (answer_.size() > answer_max_bytes_) return fail(ErrorKind::kLimit, "the answer is too large");
    look_at_answer(result.status == IoStatus::kEof);
  }
}

void HttpPost::look_at_answer(bool is_at_end) {
  const http::ScanResult scan = http::scan_head(answer_, 0, kHeadLimits);
  if (scan.status == http::ScanStatus::kTooLarge)
    return fail(ErrorKind::kLimit, "the answer's head is too large");
  if (scan.status == http::ScanStatus::kIncomplete) {
    if (is_at_end) fail(ErrorKind::kClosed, "the connection was closed without an answer");
    return;
  }
  base::Arena arena;
  http::ResponseHead head(&arena);
  std::string_view reason;
  const std::string_view bytes = answer_;
  if (!http::parse_response_head(bytes.substr(0, scan.head_size), kHeadLimits, http::Method::kPost, &head,
                                 &reason))
    return fail(ErrorKind::kInvalid, std::string(reason));
  if (head.status != 200)
    return fail(ErrorKind::kInvalid, "it answers " + std::to_string(head.status) + " and not 200");
  take_body(head, bytes.substr(scan.head_size), is_at_end);
}

void HttpPost::take_body(const http::ResponseHead& head, std::string_view body, bool is_at_end) {
  if (head.body == http::BodyKind::kUntilClose) {
    if (is_at_end) finish(std::string(body));
    return;
  }
  if (head.body != http::BodyKind::kChunked) {
    if (body.size() >= head.content_length) return finish(std::string(body.substr(0, head.content_length)));
    if (is_at_end) fail(ErrorKind::kClosed, "the answer is cut off");
    return;
  }
  using Status = http::ChunkedDecoder::Status;
  http::ChunkedDecoder decoder;
  std::string payload;
  for (;;) {
    const http::ChunkedDecoder::Step step = decoder.feed(body);
    payload.append(step.data);
    body.remove_prefix(step.consumed);
    if (step.status == Status::kDone) return finish(std::move(payload));
    if (step.status == Status::kBad) return fail(ErrorKind::kInvalid, "the answer's chunks are malformed");
    if (step.status == Status::kMore) break;
  }
  if (is_at_end) fail(ErrorKind::kClosed, "the answer is cut off");
}

void HttpPost::fail(ErrorKind kind, const std::string& what) {
  finish(base::Error{kind, base::Side::kUpstream, true, url_ + ": " + what});
}

void HttpPost::finish(base::Result<std::string> result) {
  if (is_over_) return;
  is_over_ = true;
  result_ = std::move(result);
  deadline_.stop();
  over_.schedule(loop_);
}

}  // namespace moongate::control
