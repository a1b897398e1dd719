// SPDX-License-Identifier: Apache-2.0
#include "limit/slot_table.h"

#include "base/assert.h"

namespace moongate::limit {

namespace {

constexpr SlotValue kTombstone{SlotTable::kTombstoneTag, 0};
constexpr uint64_t kPendingLifeMs = 1000;
constexpr unsigned kCounterBits = 24;

bool is_pending(const SlotValue& value) { return (value.state & SlotTable::kPending) != 0; }

/// A state that no other claim on this machine ever has: the time and a number that all processes share.
uint64_t make_pending_state(uint64_t* counter, uint64_t now_ms) {
  uint64_t number = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED) & ((uint64_t{1} << kCounterBits) - 1);
  return SlotTable::kPending | ((now_ms << kCounterBits) & (SlotTable::kPending - 1)) | number;
}

/// Which of a bucket's slots bear the tag (bit i for slot i), and whether one was never used. Without
/// branches: where in its bucket a key sits cannot be predicted, and a wrong guess would wait for memory
/// before it is found out.
struct BucketView {
  unsigned matches = 0;
  bool has_unused = false;

  BucketView(const Slot* bucket, uint64_t tag, uint64_t tag_mask) {
    for (unsigned i = 0; i < SlotTable::kBucketSlots; ++i) {
      const uint64_t seen = bucket[i].load_tag();
      matches |= static_cast<unsigned>((seen & tag_mask) == tag) << i;
      has_unused |= seen == 0;
    }
  }
  /// The number of the next matching slot, which is crossed off.
  unsigned take() {
    const auto index = static_cast<unsigned>(std::countr_zero(matches));
    matches &= matches - 1;
    return index;
  }
};

uint64_t pending_since_ms(const SlotValue& value) {
  return (value.state & (SlotTable::kPending - 1)) >> kCounterBits;
}

}  // namespace

SlotTable::SlotTable(void* memory, size_t size_bytes, uint64_t* claim_counter, SlotFormat format)
    : slots_(static_cast<Slot*>(memory)), claim_counter_(claim_counter), format_(format) {
  constexpr size_t kBucketBytes = kBucketSlots * sizeof(Slot);
  MG_ASSERT(size_bytes >= kSizeBytesMin && reinterpret_cast<uintptr_t>(memory) % kBucketBytes == 0);
  home_count_ = size_bytes / kBucketBytes - (kProbeBuckets - 1);
}

bool SlotTable::is_free(const SlotValue& value, const Now& now) const {
  if (is_pending(value)) return pending_since_ms(value) + kPendingLifeMs < now.ms;
  return (value.state >> format_.time_shift) <= now.ticks;
}

SlotTable::Found SlotTable::find(uint64_t tag, Slot* home, Place& place) const {
  Found found = Found::kAbsent;
  for (Slot* bucket = home; bucket != home + kProbeSlots; bucket += kBucketSlots) {
    BucketView view(bucket, tag, format_.tag_mask);
    while (view.matches != 0) {
      Slot* slot = bucket + view.take();
      SlotValue value = slot->load();
      if ((value.tag & format_.tag_mask) != tag) continue;
      if (!is_pending(value)) {
        place = Place{slot, value};
        return Found::kLive;
      }
      if (found == Found::kAbsent) place = Place{slot, value};
      found = Found::kPending;
    }
    // No key ever went past a bucket that still has a slot nobody used.
    if (view.has_unused) break;
  }
  return found;
}

SlotTable::Claim SlotTable::claim(uint64_t tag, Slot* home, const SlotValue& fresh, const Now& now) const {
  for (Slot* slot = home; slot != home + kProbeSlots; ++slot) {
    SlotValue value = slot->load();
    if (!is_free(value, now)) continue;
    SlotValue pending{tag, make_pending_state(claim_counter_, now.ms)};
    if (!slot->swap(value, pending)) return Claim::kRetry;
    return commit(tag, home, Place{slot, pending}, fresh);
  }
  return Claim::kFull;
}

/// Reads the neighbourhood for other slots of the key while `place` is pending. kAlone: there is none, or
/// there were later pending ones and they are withdrawn. kEarlier: `place` is now an earlier pending one.
/// kConflict: start over.
SlotTable::Survey SlotTable::survey(uint64_t tag, Slot* home, Place& place) const {
  for (Slot* bucket = home; bucket != home + kProbeSlots; bucket += kBucketSlots) {
    BucketView view(bucket, tag, format_.tag_mask);
    while (view.matches != 0) {
      Slot* slot = bucket + view.take();
      if (slot == place.slot) continue;
      SlotValue value = slot->load();
      if ((value.tag & format_.tag_mask) != tag) continue;
      if (!is_pending(value)) {
        place.slot->swap(place.value, kTombstone);
        return Survey::kConflict;
      }
      if (slot < place.slot) {
        place = Place{slot, value};
        return Survey::kEarlier;
      }
      if (!slot->swap(value, kTombstone)) return Survey::kConflict;
    }
    if (view.has_unused) break;
  }
  return Survey::kAlone;
}

SlotTable::Claim SlotTable::commit(uint64_t tag, Slot* home, Place place, const SlotValue& fresh) const {
  // Each kEarlier moves `place` towards the home bucket, so this ends. The reading must begin after the
  // pending slot was seen: that is why an earlier one starts it again.
  for (;;) {
    switch (survey(tag, home, place)) {
      case Survey::kEarlier:
        continue;
      case Survey::kConflict:
        return Claim::kRetry;
      case Survey::kAlone:
        return place.slot->swap(place.value, fresh) ? Claim::kDone : Claim::kRetry;
    }
  }
}

size_t SlotTable::count_live(const Now& now) const {
  size_t count = 0;
  for (const Slot* slot = slots_; slot != slots_ + slot_count(); ++slot) count += !is_free(slot->load(), now);
  return count;
}

}  // namespace moongate::limit
