// SPDX-License-Identifier: Apache-2.0
// Ends what a credential let in when the credential is gone: streams, tunnels and downloads live long, and a
// snapshot that takes a credential away would else mean nothing to them.
#pragma once

#include "net/event_loop.h"
#include "proxy/context.h"

namespace moongate::proxy {

/// Looks through the exchanges of a worker after each new snapshot.
///
/// Shape:   a timer for the grace that requests under way have, then slices of the pool, one a turn.
/// Runs in: one worker's loop.
class Revocation {
 public:
  explicit Revocation(Context& context)
      : context_(context), timer_(on_due, this), next_slice_(on_slice, this) {}

  /// A new snapshot serves. What it took away ends within `grace`: a look that is due already is not put off.
  void start(std::chrono::milliseconds grace);

 private:
  static void on_due(void* self);
  static void on_slice(void* self);

  Context& context_;
  net::Timer timer_;
  net::Deferred next_slice_;
  uint32_t position_ = 0;
  uint32_t ended_count_ = 0;
};

}  // namespace moongate::proxy
