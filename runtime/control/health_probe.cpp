// SPDX-License-Identifier: Apache-2.0
#include "control/health_probe.h"

#include <cerrno>
#include <cstring>

#include "base/arena.h"
#include "http/head.h"

namespace moongate::control {

using base::Result;
using net::IoStatus;
using Kind = HealthProbe::Outcome::Kind;

namespace {

constexpr http::HeadLimits kHeadLimits{16 * 1024, 200};
constexpr std::string_view kUnixMark = "unix:";
constexpr int kInterimMax = 32;
constexpr int kReadsPerTurn = 16;

}  // namespace

bool HealthProbe::Target::is_same(const Target& other) const {
  const bool has_same_tls = tls && other.tls ? tls->key() == other.tls->key() : tls == other.tls;
  return has_same_tls && host == other.host && port == other.port && request == other.request &&
         server_name == other.server_name && timeout == other.timeout;
}

HealthProbe::HealthProbe(net::EventLoop& loop, net::Resolver& resolver, Target target, Callback on_over)
    : loop_(loop),
      target_(std::move(target)),
      on_over_(std::move(on_over)),
      deadline_(
          [](void* self) {
            auto* probe = static_cast<HealthProbe*>(self);
            const bool is_connecting = !probe->stream_ || probe->stream_->is_connecting();
            probe->finish(Kind::kTimedOut, 0, is_connecting ? "no connection in time" : "no answer in time");
          },
          this),
      over_(
          [](void* self) {
            auto* probe = static_cast<HealthProbe*>(self);
            const Callback tell = std::move(probe->on_over_);
            tell(Outcome(std::move(probe->outcome_)));
          },
          this) {
  deadline_.start(loop_.timers(), target_.timeout);
  if (target_.host.starts_with(kUnixMark))
    connect(net::make_unix_address(std::string_view(target_.host).substr(kUnixMark.size())));
  else
    resolve(resolver);
}

void HealthProbe::resolve(net::Resolver& resolver) {
  resolver.resolve(target_.host, [this, alive = std::weak_ptr<bool>(is_alive_)](const auto& result) {
    if (alive.expired() || is_over_) return;
    if (!result) return fail(result.error().detail);
    const net::Resolver::Addresses& addresses = **result;
    if (addresses.empty()) return fail("its name has no address");
    const std::string address = addresses[target_.turn % addresses.size()].host_text();
    connect(net::make_ip_address(address, target_.port));
  });
}

void HealthProbe::connect(const Result<net::SocketAddress>& address) {
  if (!address) return fail(address.error().detail);
  outcome_.address = address->host_text();
  stream_ = std::make_unique<tls::Stream>();
  if (auto started = stream_->start_connect(loop_, *address, on_ready, this); !started)
    return fail(started.error().detail);
  if (!target_.tls) return;
  auto session = tls::Session::connect(stream_->socket(), target_.tls, {target_.server_name, nullptr});
  if (!session) return fail("there is no memory for a TLS session");
  stream_->start_tls(std::move(session));
}

void HealthProbe::on_ready(void* self) {
  auto* probe = static_cast<HealthProbe*>(self);
  if (probe->is_over_ || !probe->step_connect()) return;
  if (probe->target_.request.empty()) return probe->finish(Kind::kConnected, 0, {});
  probe->write();
  if (!probe->is_over_) probe->read();
}

/// True when bytes may go.
bool HealthProbe::step_connect() {
  if (stream_->is_connecting()) {
    if (const int error = stream_->finish_connect(); error != 0) {
      if (error == ETIMEDOUT)
        finish(Kind::kTimedOut, 0, std::strerror(error));
      else
        fail(std::strerror(error));
      return false;
    }
  }
  if (!stream_->is_handshaking()) return true;
  const IoStatus status = stream_->handshake();
  if (status == IoStatus::kError) fail("the TLS handshake failed: " + stream_->describe_failure());
  return status == IoStatus::kOk;
}

void HealthProbe::write() {
  const std::string& request = target_.request;
  while (written_ < request.size() && stream_->may_write()) {
    const net::IoResult result = stream_->write(request.data() + written_, request.size() - written_);
    if (result.status == IoStatus::kError)
      return fail("the connection broke: " + stream_->describe_failure());
    written_ += result.size;
    if (result.status == IoStatus::kBlocked) return;
  }
}

void HealthProbe::read() {
  char buffer[4 * 1024];
  for (int reads = 0; !is_over_ && stream_->may_read(); reads++) {
    if (reads == kReadsPerTurn) return stream_->call_again();
    const net::IoResult result = stream_->read(buffer, sizeof buffer);
    if (result.status == IoStatus::kBlocked) return;
    if (result.status == IoStatus::kError)
      return fail("the connection broke: " + stream_->describe_failure());
    if (result.status == IoStatus::kEof) return fail("the connection was closed before an answer came");
    head_.append(buffer, result.size);
    take_head();
  }
}

void HealthProbe::take_head() {
  while (!is_over_) {
    const http::ScanResult scan = http::scan_head(head_, 0, kHeadLimits);
    if (scan.status == http::ScanStatus::kTooLarge) return fail("the answer's head is too large");
    if (scan.status == http::ScanStatus::kIncomplete) return;
    base::Arena arena;
    http::ResponseHead head(&arena);
    std::string_view reason;
    const std::string_view bytes = std::string_view(head_).substr(0, scan.head_size);
    if (!http::parse_response_head(bytes, kHeadLimits, http::Method::kGet, &head, &reason))
      return fail("the answer is no valid HTTP: " + std::string(reason));
    if (head.status >= 200) return finish(Kind::kAnswered, head.status, {});
    if (++interims_ > kInterimMax) return fail("there are interim answers without end");
    head_.erase(0, scan.head_size);
  }
}

void HealthProbe::fail(std::string detail) { finish(Kind::kFailed, 0, std::move(detail)); }

void HealthProbe::finish(Kind kind, uint16_t status, std::string detail) {
  if (is_over_) return;
  is_over_ = true;
  outcome_.kind = kind;
  outcome_.status = status;
  outcome_.detail = std::move(detail);
  deadline_.stop();
  over_.schedule(loop_);
}

}  // namespace moongate::control
