// SPDX-License-Identifier: Apache-2.0
// The worker's end of the control channel: takes new snapshots in, builds them beside the one that serves,
// and switches when told to.
#pragma once

#include <memory>
#include <optional>

#include "net/event_loop.h"
#include "snapshot/channel.h"
#include "snapshot/compiler.h"
#include "snapshot/sealed_file.h"

namespace moongate::worker {

class Worker;

/// Prepares and switches snapshots.
///
/// Shape:   at most one snapshot in preparation; it is compiled in slices of half a millisecond, one per turn
/// of the loop. Fails:   a snapshot that cannot be built is refused with a reason that names file and line;
/// what serves is untouched.
class Reload {
 public:
  Reload(Worker& worker, net::EventLoop& loop, int channel_fd, int index);
  ~Reload();

 private:
  static void on_message(void* self, net::Readiness ready);
  static void on_slice(void* self);
  void handle(snapshot::Message message);
  void prepare(uint64_t number, snapshot::Descriptor descriptor);
  void take_staples(const snapshot::Descriptor& descriptor);
  void take_issued(const snapshot::Descriptor& descriptor);
  void finish_preparation();
  void switch_to(uint64_t number);
  void abandon();
  void send(snapshot::MessageType type, uint64_t number, std::string text = {});
  void send_hello();

  Worker& worker_;
  net::EventLoop& loop_;
  int channel_fd_;
  int index_;
  net::FdWatch watch_;
  net::Deferred slice_;
  uint64_t number_ = 0;                        // in preparation, or ready
  std::optional<snapshot::MappedFile> bytes_;  // keeps the blob mapped while it is compiled
  std::unique_ptr<snapshot::Compiler> compiler_;
  std::shared_ptr<snapshot::Snapshot> ready_;
};

}  // namespace moongate::worker
