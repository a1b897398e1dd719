// SPDX-License-Identifier: Apache-2.0
// The worker's doors for HTTP/3, one for each address where it is spoken.
#pragma once

#include <memory>
#include <vector>

#include "proxy/context.h"
#include "worker/start.h"

namespace moongate::worker {

/// Owner:   the worker; ends its connections with itself.
/// Runs in: one worker's loop.
class QuicFront {
 public:
  QuicFront(proxy::Context& context, shm::ProcessSlot& slot);
  ~QuicFront();

  /// The port where HTTP/3 is served from now on; 0 when it is not.
  uint16_t open(const ListenSocket& socket, uint32_t worker, uint32_t worker_count);
  /// New connections are refused; those that are end when their requests have been answered.
  void drain();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace moongate::worker
