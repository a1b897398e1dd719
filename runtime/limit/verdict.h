// SPDX-License-Identifier: Apache-2.0
// What a limit answers, whichever kind of limit it is.
#pragma once

#include <cstdint>

namespace moongate::limit {

struct Verdict {
  bool is_admitted = false;
  double remaining = 0;      // whole requests of cost 1 that would be admitted now
  double reset_s = 0;        // seconds until the whole allowance is back
  double retry_after_s = 0;  // seconds until the same request would be admitted; 0 when it was
};

enum class Outcome : uint8_t {
  kDecided,
  kTableFull,  // no slot for a new key: the caller decides whether to admit or refuse
};

}  // namespace moongate::limit
