// SPDX-License-Identifier: Apache-2.0
#include "control/worker_links.h"

#include "base/log.h"

namespace moongate::control {

using snapshot::Message;
using snapshot::MessageType;

void WorkerLinks::add(Message started) {
  std::unique_ptr<WorkerLink>& link = links_[started.worker];
  if (link) {
    close(*link);
  } else {
    link = std::make_unique<WorkerLink>();
    link->index = started.worker;
    link->owner = this;
  }
  link->pid = started.pid;
  link->restarts = started.number;
  link->last_end = std::move(started.text);
  link->channel = std::move(started.descriptor);
  if (!link->channel.is_open()) return;
  link->watch.start(loop_, link->channel.get(), net::FdWatch::Interest::kRead, on_readable, link.get());
  // A worker that was there before us has said its kHello to somebody else.
  send(*link, MessageType::kAskHello, 0);
}

void WorkerLinks::note_end(uint32_t index, const std::string& how) {
  WorkerLink* link = find(index);
  if (link == nullptr) return;
  link->last_end = how;
  close(*link);
}

bool WorkerLinks::send(WorkerLink& link, MessageType type, uint64_t number, int descriptor,
                       std::string text) {
  if (!link.is_open()) return false;
  Message message;
  message.type = type;
  message.worker = link.index;
  message.number = number;
  message.text = std::move(text);
  message.descriptor = snapshot::Descriptor(descriptor);
  const base::Result<void> sent = snapshot::send_message(link.channel.get(), message);
  message.descriptor.release();  // it was lent
  if (sent) return true;
  MG_LOG(kError) << "worker " << link.index << " cannot be reached: " << sent.error().detail;
  close(link);
  return false;
}

WorkerLink* WorkerLinks::find(uint32_t index) {
  const auto found = links_.find(index);
  return found == links_.end() ? nullptr : found->second.get();
}

void WorkerLinks::on_readable(void* link, net::Readiness) {
  auto* self = static_cast<WorkerLink*>(link);
  self->owner->read_all(*self);
}

void WorkerLinks::read_all(WorkerLink& link) {
  while (link.is_open()) {
    base::Result<std::optional<Message>> message = snapshot::receive_message(link.channel.get());
    if (!message) return close(link);
    if (!message->has_value()) return;
    callbacks_.on_message(link, std::move(**message));
  }
}

void WorkerLinks::close(WorkerLink& link) {
  if (!link.is_open()) return;
  link.watch.stop();
  link.channel.reset();
  link.serving = 0;
  link.preparing = 0;
  link.has_greeted = false;
  link.challenges = 0;
  link.pid = 0;
  callbacks_.on_gone(link);
}

}  // namespace moongate::control
