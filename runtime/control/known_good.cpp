// SPDX-License-Identifier: Apache-2.0
#include "control/known_good.h"

#include <cstring>

namespace moongate::control {

using config::Kind;

bool KnownGood::can_know(Kind kind) {
  switch (kind) {
    case Kind::kRoute:
    case Kind::kService:
    case Kind::kUpstream:
    case Kind::kConsumer:
    case Kind::kCredential:
    case Kind::kConsumerGroup:
    case Kind::kPluginConfig:
    case Kind::kGraphqlCostDecoration:
      return true;
    case Kind::kGlobalRule:
    case Kind::kPluginMetadata:
    case Kind::kSsl:
    case Kind::kProto:
    case Kind::kSecret:
    case Kind::kStreamRoute:
      return false;
  }
  return false;
}

snapshot::Hash128 KnownGood::key_of(const config::Resource& resource, std::string_view body) {
  snapshot::Hasher hasher;
  hasher.add(uint64_t{static_cast<uint8_t>(resource.kind)});
  hasher.add(resource.id);
  hasher.add(body);
  return hasher.finish();
}

std::string KnownGood::to_bytes() const {
  std::string bytes;
  bytes.reserve((1 + keys_.size()) * sizeof(snapshot::Hash128));
  const auto add = [&](const snapshot::Hash128& hash) {
    bytes.append(reinterpret_cast<const char*>(&hash), sizeof hash);
  };
  add(surroundings_);
  for (const snapshot::Hash128& key : keys_) add(key);
  return bytes;
}

void KnownGood::replace_with(std::string_view bytes) {
  std::vector<snapshot::Hash128> hashes(bytes.size() / sizeof(snapshot::Hash128));
  if (hashes.empty()) return;
  std::memcpy(hashes.data(), bytes.data(), hashes.size() * sizeof(snapshot::Hash128));
  surroundings_ = hashes.front();
  keys_ = {hashes.begin() + 1, hashes.end()};
}

void KnownGood::replace(const Surroundings& surroundings, const std::vector<snapshot::Hash128>& keys) {
  surroundings_ = surroundings;
  keys_.clear();
  keys_.insert(keys.begin(), keys.end());
}

}  // namespace moongate::control
