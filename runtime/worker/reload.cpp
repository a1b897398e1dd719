// SPDX-License-Identifier: Apache-2.0
#include "worker/reload.h"

#include <unistd.h>

#include "base/log.h"
#include "proxy/acme_challenges.h"
#include "snapshot/refusal.h"
#include "tls/issued.h"
#include "tls/stapling.h"
#include "worker/worker.h"

namespace moongate::worker {

using snapshot::Message;
using snapshot::MessageType;

namespace {
constexpr auto kSlice = std::chrono::microseconds(500);
}

Reload::Reload(Worker& worker, net::EventLoop& loop, int channel_fd, int index)
    : worker_(worker), loop_(loop), channel_fd_(channel_fd), index_(index), slice_(on_slice, this) {
  watch_.start(loop, channel_fd, net::FdWatch::Interest::kRead, on_message, this);
  send_hello();
}

Reload::~Reload() = default;

void Reload::send(MessageType type, uint64_t number, std::string text) {
  Message message;
  message.type = type;
  message.worker = static_cast<uint32_t>(index_);
  message.pid = ::getpid();
  message.number = number;
  message.text = std::move(text);
  if (auto sent = snapshot::send_message(channel_fd_, message); !sent) MG_LOG(kError) << sent.error().detail;
}

void Reload::send_hello() { send(MessageType::kHello, worker_.present() ? worker_.present()->number : 0); }

void Reload::on_message(void* self, net::Readiness) {
  auto* reload = static_cast<Reload*>(self);
  for (;;) {
    auto message = snapshot::receive_message(reload->channel_fd_);
    if (!message) {
      // Control is gone for good (a new one gets the same socket): what serves goes on serving.
      MG_LOG(kError) << "control channel: " << message.error().detail;
      reload->watch_.stop();
      return;
    }
    if (!message->has_value()) return;
    reload->handle(std::move(**message));
  }
}

void Reload::handle(Message message) {
  switch (message.type) {
    case MessageType::kPrepare:
      return prepare(message.number, std::move(message.descriptor));
    case MessageType::kSwitch:
      return switch_to(message.number);
    case MessageType::kAbandon:
      if (message.number == number_) abandon();
      return;
    case MessageType::kAskHello:
      abandon();
      send_hello();
      return;
    case MessageType::kStaples:
      return take_staples(message.descriptor);
    case MessageType::kIssued:
      return take_issued(message.descriptor);
    case MessageType::kChallenges:
      proxy::AcmeChallenges::of_process().replace(message.text);
      return send(MessageType::kChallengesTaken, message.number);
    default:
      MG_LOG(kWarn) << "control channel: message " << static_cast<int>(message.type)
                    << " is not for a worker";
  }
}

void Reload::take_staples(const snapshot::Descriptor& descriptor) {
  auto mapped = snapshot::map_memfd(descriptor.get());
  const auto taken =
      mapped ? tls::Staples::of_process().replace(mapped->bytes()) : base::Result<void>(mapped.error());
  if (!taken) MG_LOG(kError) << taken.error().detail;
}

void Reload::take_issued(const snapshot::Descriptor& descriptor) {
  auto mapped = snapshot::map_memfd(descriptor.get());
  const auto taken =
      mapped ? tls::Issued::of_process().replace(mapped->bytes()) : base::Result<void>(mapped.error());
  if (!taken) MG_LOG(kError) << taken.error().detail;
}

void Reload::prepare(uint64_t number, snapshot::Descriptor descriptor) {
  abandon();
  auto mapped = snapshot::map_memfd(descriptor.get());
  if (!mapped) return send(MessageType::kRefused, number, mapped.error().detail);
  auto view = snapshot::BlobView::begin(mapped->bytes());
  if (!view) return send(MessageType::kRefused, number, view.error().detail);
  number_ = number;
  bytes_.emplace(mapped.take());
  compiler_ = std::make_unique<snapshot::Compiler>(view.take(), worker_.present(), worker_.pool(),
                                                   worker_.graveyard());
  compiler_->use_health_board(worker_.health_board());
  slice_.schedule(loop_);
}

void Reload::on_slice(void* self) {
  auto* reload = static_cast<Reload*>(self);
  if (!reload->compiler_) return;
  if (reload->compiler_->step(kSlice))
    reload->finish_preparation();
  else
    reload->slice_.schedule(reload->loop_);
}

void Reload::finish_preparation() {
  auto compiled = compiler_->finish();
  for (const snapshot::Complaint& complaint : compiler_->complaints()) MG_LOG(kWarn) << complaint.text();
  compiler_.reset();
  bytes_.reset();
  base::Result<void> is_ready;
  if (!compiled) is_ready = compiled.error();
  if (is_ready) is_ready = worker_.set_up(*(*compiled)->settings);
  snapshot::Refusal refusal;
  if (is_ready) {
    is_ready = worker_.host()->prepare_snapshot(**compiled);
    refusal.plugins = worker_.host()->plugin_faults();
  }
  if (!is_ready) {
    uint64_t refused = number_;
    number_ = 0;
    refusal.reason = is_ready.error().detail;
    return send(MessageType::kRefused, refused, refusal.to_text());
  }
  ready_ = compiled.take();
  send(MessageType::kReady, number_);
}

void Reload::switch_to(uint64_t number) {
  if (!ready_ || number != number_) return;
  number_ = 0;
  worker_.serve(std::move(ready_));
  ready_.reset();
  send(MessageType::kSwitched, number);
}

void Reload::abandon() {
  slice_.cancel();
  compiler_.reset();
  bytes_.reset();
  if (ready_) worker_.host()->release_snapshot(ready_->script_handle);
  ready_.reset();
  number_ = 0;
}

}  // namespace moongate::worker
