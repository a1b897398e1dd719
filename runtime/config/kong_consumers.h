// SPDX-License-Identifier: Apache-2.0
// Kong's consumers and their credentials as ours.
#pragma once

#include "config/kong_plugins.h"

namespace moongate::config {

/// The list of consumers, each followed by its credentials.
base::Value make_kong_consumers(const KongModel& model, KongPlugins& plugins, const KongPluginFacts& facts,
                                KongFindings& findings);

}  // namespace moongate::config
