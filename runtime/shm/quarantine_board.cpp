// SPDX-License-Identifier: Apache-2.0
#include "shm/quarantine_board.h"

namespace moongate::shm {

bool QuarantineBoard::strike(uint32_t plugin, uint64_t print, uint32_t limit) {
  if (plugin == 0 || plugin >= kPluginsMax || limit == 0) return false;
  print &= kPrintMask;
  uint64_t seen = words_[plugin].load(std::memory_order_acquire);
  while (true) {
    bool is_same = (seen & kPrintMask) == print;
    uint64_t strikes = is_same ? seen >> kStrikesShift & kStrikesMax : 0;
    if (strikes < kStrikesMax) strikes++;
    bool was_held = is_same && (seen & kVerdict) != 0;
    bool is_held = was_held || strikes >= limit;
    uint64_t next = print | strikes << kStrikesShift | (is_held ? kVerdict : 0);
    if (!words_[plugin].compare_exchange_weak(seen, next, std::memory_order_acq_rel)) continue;
    // A verdict on other code or confs went away, or a new one came: either way workers must look again.
    if (is_held != ((seen & kVerdict) != 0)) changes_.fetch_add(1, std::memory_order_release);
    return is_held && !was_held;
  }
}

bool QuarantineBoard::keep_only(uint32_t plugin, uint64_t print, uint32_t limit) {
  if (plugin >= kPluginsMax) return false;
  uint64_t seen = words_[plugin].load(std::memory_order_acquire);
  while (seen != 0) {
    bool is_same = (seen & kPrintMask) == (print & kPrintMask);
    bool has_enough = (seen & kVerdict) == 0 || (seen >> kStrikesShift & kStrikesMax) >= limit;
    if (is_same && has_enough && limit != 0) return false;
    if (!words_[plugin].compare_exchange_weak(seen, 0, std::memory_order_acq_rel)) continue;
    if ((seen & kVerdict) == 0) return false;
    changes_.fetch_add(1, std::memory_order_release);
    return true;
  }
  return false;
}

}  // namespace moongate::shm
