// SPDX-License-Identifier: Apache-2.0
// The keys that seal session tickets. All processes of an instance have the same ones without talking to each
// other: a secret made before the fork is replaced by its own digest every twelve hours, everywhere at the
// same moment, and the key of each period is made from it. What is gone cannot be computed again. The state
// is kept in a file for the next start, and written anew for each period so that the file tells no more than
// a process knows.
//
// Several machines share a secret in a file instead: the key of a period is made from it and the number of
// the period, so that they change together. Whoever has that file can open every ticket made under it.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

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
  /// Makes the keys from the secret in this file, which others must not be able to read.
  base::Result<void> start_shared(const std::string& path, base::WallTime now);
  /// Goes on where the state in this file was left; begins anew when it is missing, damaged or too old.
  base::Result<void> start_kept(const std::string& path, base::WallTime now);
  /// Writes the state to that file, unless what is there is of this period already.
  base::Result<void> keep(base::WallTime now);
  /// Forgets the keys of periods that are over; called before anything is sealed or opened.
  void advance(base::WallTime now);
  /// What new tickets are sealed with.
  const TicketKey& current() const { return state_.current; }
  /// What those of the former period were sealed with.
  const TicketKey& former() const { return state_.former; }

 private:
  struct State {
    std::array<unsigned char, 32> secret{};
    base::WallTime period_end{};
    TicketKey current{};
    TicketKey former{};
  };
  void begin_shared(base::WallTime now);
  void step();
  void skip();

  State state_;
  bool is_shared_ = false;       // the secret stays, and periods are counted from 1970
  std::string path_;             // where the state is kept; empty: nowhere
  base::WallTime kept_until_{};  // the period_end that is in the file
};

}  // namespace moongate::tls
