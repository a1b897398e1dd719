// SPDX-License-Identifier: Apache-2.0
// The keys that seal session tickets. All processes of an instance have the same ones without talking to each
// other: a secret made before the fork is replaced by its own digest every twelve hours, everywhere at the
// same moment, and the key of each period is made from it. What is gone cannot be computed again.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace moongate::tls {

struct TicketKey {
  std::array<unsigned char, 16> name;
  std::array<unsigned char, 32> cipher_key;
  std::array<unsigned char, 32> mac_key;
};

/// The keys of this process.
///
/// Owner:   static; start() before the first fork, in the process whose children share tickets.
class TicketKeys {
 public:
  static constexpr auto kPeriod = std::chrono::hours(12);
  static TicketKeys& of_process();

  /// Makes a new secret; sessions sealed before it are not resumed.
  void start(base::WallTime now);
  /// Forgets the keys of periods that are over; called before anything is sealed or opened.
  void advance(base::WallTime now);
  /// What new tickets are sealed with.
  const TicketKey& current() const { return current_; }
  /// What those of the former period were sealed with.
  const TicketKey& former() const { return former_; }

 private:
  void step();

  std::array<unsigned char, 32> secret_{};
  base::WallTime period_end_{};
  TicketKey current_{};
  TicketKey former_{};
};

}  // namespace moongate::tls
