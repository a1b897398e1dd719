// SPDX-License-Identifier: Apache-2.0
// Control's ends of the channels to the workers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/event_loop.h"
#include "snapshot/channel.h"

namespace moongate::control {

/// One worker as control knows it.
struct WorkerLink {
  uint32_t index = 0;
  int32_t pid = 0;
  uint64_t serving = 0;      // number of the snapshot it serves; 0: none
  uint64_t preparing = 0;    // what it was sent last and has not answered for; 0: nothing
  bool has_greeted = false;  // kHello has come
  uint64_t challenges = 0;   // number of those it answers
  uint64_t restarts = 0;
  std::string last_end;  // how the one before it ended
  bool is_open() const { return channel.is_open(); }

  snapshot::Descriptor channel;
  net::FdWatch watch;
  class WorkerLinks* owner = nullptr;
};

/// All of them, by index.
///
/// Runs in: control's loop. Messages arrive through the callback given at the start.
/// Fails:   a link whose channel breaks is closed and reported with on_gone.
class WorkerLinks {
 public:
  struct Callbacks {
    std::function<void(WorkerLink&, snapshot::Message)> on_message;
    std::function<void(WorkerLink&)> on_gone;
  };
  WorkerLinks(net::EventLoop& loop, Callbacks callbacks) : loop_(loop), callbacks_(std::move(callbacks)) {}

  /// A worker was started; its channel replaces the one before.
  void add(snapshot::Message started);
  /// The supervisor says that it died.
  void note_end(uint32_t index, const std::string& how);
  /// False when it could not be sent; the link is closed then.
  bool send(WorkerLink& link, snapshot::MessageType type, uint64_t number, int descriptor = -1,
            std::string text = {});

  WorkerLink* find(uint32_t index);
  std::map<uint32_t, std::unique_ptr<WorkerLink>>& all() { return links_; }
  const std::map<uint32_t, std::unique_ptr<WorkerLink>>& all() const { return links_; }

 private:
  static void on_readable(void* link, net::Readiness ready);
  void read_all(WorkerLink& link);
  void close(WorkerLink& link);

  net::EventLoop& loop_;
  Callbacks callbacks_;
  std::map<uint32_t, std::unique_ptr<WorkerLink>> links_;
};

}  // namespace moongate::control
