// SPDX-License-Identifier: Apache-2.0
// The indices of a snapshot.
#include "snapshot/compiled.h"

#include <bit>

#include "snapshot/hash.h"
#include "snapshot/snapshot.h"

namespace moongate::snapshot {

void RouteIndex::reserve(size_t count) { slots_.assign(std::bit_ceil(count * 2 + 2), kNone); }

void RouteIndex::add(const Routes& routes, uint32_t index) {
  slots_[slot_of(routes, routes[index]->id)] = index;
}

uint32_t RouteIndex::find(const Routes& routes, std::string_view id) const {
  return slots_.empty() ? kNone : slots_[slot_of(routes, id)];
}

/// Where the id is, or would be. There is always a free slot, as half of them are.
size_t RouteIndex::slot_of(const Routes& routes, std::string_view id) const {
  const size_t mask = slots_.size() - 1;
  size_t at = hash64(id) & mask;
  while (slots_[at] != kNone && routes[slots_[at]]->id != id) at = (at + 1) & mask;
  return at;
}

ConsumerIndex::Space* ConsumerIndex::find_space(std::string_view plugin, std::string_view attribute) const {
  for (const auto& space : spaces_) {
    if (space->plugin == plugin && space->attribute == attribute) return space.get();
  }
  return nullptr;
}

void ConsumerIndex::add(std::string_view plugin, std::string_view attribute, std::string_view value,
                        uint32_t credential) {
  Space* space = find_space(plugin, attribute);
  if (!space) {
    space = spaces_.emplace_back(std::make_unique<Space>()).get();
    space->plugin = plugin;
    space->attribute = attribute;
  }
  space->credentials.emplace(space->values.emplace_back(value), credential);
}

int64_t ConsumerIndex::find(std::string_view plugin, std::string_view attribute,
                            std::string_view value) const {
  const Space* space = find_space(plugin, attribute);
  if (!space) return -1;
  auto found = space->credentials.find(value);
  return found == space->credentials.end() ? -1 : static_cast<int64_t>(found->second);
}

bool ConsumerIndex::drop_some(size_t count) {
  while (!spaces_.empty()) {
    Space& space = *spaces_.back();
    for (; count > 0 && !space.credentials.empty(); count--)
      space.credentials.erase(space.credentials.begin());
    for (; count > 0 && !space.values.empty(); count--) space.values.pop_back();
    if (!space.values.empty()) return false;
    spaces_.pop_back();
  }
  return true;
}

bool Snapshot::has_credential(std::string_view username, uint64_t print) const {
  auto consumer = consumer_by_name.find(std::string(username));
  if (consumer == consumer_by_name.end() || consumer->second >= first_credentials.size()) return false;
  for (uint32_t i = first_credentials[consumer->second]; i != kNoCredential; i = credentials[i].next) {
    if (credentials[i].print == print) return true;
  }
  return false;
}

}  // namespace moongate::snapshot
