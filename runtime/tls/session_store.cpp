// SPDX-License-Identifier: Apache-2.0
#include "tls/session_store.h"

#include <algorithm>
#include <utility>

namespace moongate::tls {

std::list<SessionStore::Entry>::iterator SessionStore::place_of(std::string_view name) {
  return std::find_if(sessions_.begin(), sessions_.end(),
                      [name](const Entry& entry) { return entry.name == name; });
}

void SessionStore::keep(std::string_view name, std::string bytes) {
  forget(name);
  sessions_.push_front({std::string(name), std::move(bytes)});
  if (sessions_.size() > kNamesMax) sessions_.pop_back();
}

const std::string* SessionStore::find(std::string_view name) {
  const auto place = place_of(name);
  if (place == sessions_.end()) return nullptr;
  sessions_.splice(sessions_.begin(), sessions_, place);
  return &place->bytes;
}

void SessionStore::forget(std::string_view name) {
  const auto place = place_of(name);
  if (place != sessions_.end()) sessions_.erase(place);
}

}  // namespace moongate::tls
