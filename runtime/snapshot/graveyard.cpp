// SPDX-License-Identifier: Apache-2.0
#include "snapshot/graveyard.h"

#include <algorithm>

namespace moongate::snapshot {

namespace {

constexpr size_t kObjectsPerStep = 64;
constexpr size_t kLargeBytes = 65536;

// Drops a handful from the end; true when none is left.
template <class List>
bool drop_some(List& list) {
  const size_t count = std::min(list.size(), kObjectsPerStep);
  list.erase(list.end() - static_cast<std::ptrdiff_t>(count), list.end());
  return list.empty();
}

template <class Map>
bool drop_entries(Map& map) {
  for (size_t i = 0; i < kObjectsPerStep && !map.empty(); i++) map.erase(map.begin());
  return map.empty();
}

// What was freed lies about in thousands of pieces, which the next large allocation, in the middle of some
// turn, would sort all at once. A large allocation after each slice keeps that to the pieces of the slice.
void tidy_heap() {
  const auto piece = std::make_unique_for_overwrite<char[]>(kLargeBytes);
  *static_cast<volatile char*>(piece.get()) = 0;  // or the compiler would leave both out
}

}  // namespace

std::shared_ptr<Snapshot> Graveyard::make(std::shared_ptr<Surroundings> shared) {
  return {new Snapshot(std::move(shared)), [this](Snapshot* snapshot) { bury(snapshot); }};
}

void Graveyard::bury(Snapshot* snapshot) {
  dead_.emplace_back(snapshot);
  on_work_();
}

bool Graveyard::step(base::Duration budget) {
  const auto until = base::Clock::steady_now() + budget;
  while (!dead_.empty()) {
    if (take_apart(*dead_.front())) dead_.pop_front();
    if (base::Clock::steady_now() >= until) break;
  }
  tidy_heap();
  return dead_.empty();
}

// The router first: its routes' conditions live on in the routes, so that it only lets go of them.
bool Graveyard::take_apart(Snapshot& snapshot) {
  snapshot.router.reset();
  snapshot.routes.drop_piece();
  if (!snapshot.routes.is_empty()) return false;
  return snapshot.around.use_count() > 1 || take_apart(*snapshot.around);
}

bool Graveyard::take_apart(Surroundings& around) {
  return drop_some(around.consumers) && drop_some(around.credentials) &&
         drop_entries(around.consumer_by_name) && around.consumer_index.drop_some(kObjectsPerStep) &&
         drop_entries(around.upstreams) && drop_entries(around.upstream_hashes);
}

}  // namespace moongate::snapshot
