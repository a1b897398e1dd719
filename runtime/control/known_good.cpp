// SPDX-License-Identifier: Apache-2.0
#include "control/known_good.h"

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

void KnownGood::replace(const Surroundings& surroundings, const std::vector<snapshot::Hash128>& keys) {
  surroundings_ = surroundings;
  keys_.clear();
  keys_.insert(keys.begin(), keys.end());
}

}  // namespace moongate::control
