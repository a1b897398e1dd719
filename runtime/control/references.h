// SPDX-License-Identifier: Apache-2.0
// Which resources a resource refers to, and by which field.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/resource_store.h"

namespace moongate::control {

/// Kinds in the order in which references hold: what is referred to comes first.
inline constexpr std::array<config::Kind, config::kKindCount> kReferenceOrder{
    config::Kind::kSsl,           config::Kind::kProto,          config::Kind::kSecret,
    config::Kind::kUpstream,      config::Kind::kPluginMetadata, config::Kind::kPluginConfig,
    config::Kind::kConsumerGroup, config::Kind::kService,        config::Kind::kGraphqlCostDecoration,
    config::Kind::kConsumer,      config::Kind::kCredential,     config::Kind::kGlobalRule,
    config::Kind::kRoute,         config::Kind::kStreamRoute};
/// Of changes: what is referred to comes first, and goes last.
bool comes_before(const StoredChange& a, const StoredChange& b);

/// The field by which others refer to resources of a kind ("upstream_id"); empty when none does.
std::string_view reference_field(config::Kind kind);

/// What `body` refers to itself, in its upstream or in its upstream's tls; not what its plugins do. What has
/// an owner refers to it.
std::vector<ResourceKey> references_of(const ResourceKey& key, const base::Value& body);

/// Whether the plugins of `body` have a field `field` with that id, however deep.
bool refers_by_plugin(const base::Value& body, std::string_view field, std::string_view id);

/// Whether canonical JSON may have a member `field` with that id: a look at the text only.
bool may_refer(std::string_view json, std::string_view field, std::string_view id);

/// "routes/1", "consumers/jack/credentials/c1".
std::string resource_name(const ResourceKey& key);
std::optional<ResourceKey> parse_resource_name(std::string_view name);

}  // namespace moongate::control
