// SPDX-License-Identifier: Apache-2.0
// The settings of the shared store: how they are written under `moongate.etcd`, and how APISIX's
// `deployment:` says the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/settings_table.h"

namespace moongate::config {

/// A path that begins with `/` and does not end with one.
std::optional<std::string> normalize_etcd_prefix(std::string_view text);
std::optional<Problem> read_etcd_host(const base::Value& value, Settings& settings);
base::Value write_etcd_host(const Settings& settings);
std::optional<Problem> read_etcd_tls(const base::Value& value, Settings& settings);
base::Value write_etcd_tls(const Settings& settings);

/// Moves what APISIX's `deployment:` says about etcd to `moongate.etcd` of `root`, and takes it out.
base::Result<void> take_deployment(base::Value& root, const Places& places);

}  // namespace moongate::config
