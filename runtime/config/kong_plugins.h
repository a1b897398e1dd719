// SPDX-License-Identifier: Apache-2.0
// Kong's plugins as ours: a table with a translator for each. A plugin that is not in it refuses the file,
// since a route must not open because its authentication is unknown.
#pragma once

#include <string>
#include <vector>

#include "config/kong_model.h"

namespace moongate::config {

/// What the plugins of a file decide about other parts of it.
struct KongPluginFacts {
  bool has_base64_secrets = false;  // jwt with secret_is_base64
};
KongPluginFacts find_kong_plugin_facts(const KongModel& model, KongFindings& findings);

class KongPlugins {
 public:
  KongPlugins(const KongModel& model, KongFindings& findings) : model_(model), findings_(findings) {}

  /// The plugins of one entity, `scope` ("service:web") naming it where plugins count. Those of `inherited`
  /// that it does not have itself are taken over.
  base::Value translate(const std::vector<KongItem>& plugins, const std::string& scope,
                        const base::Value& inherited);

 private:
  struct Made;
  Made make(const KongItem& plugin, const std::string& scope);
  void add(const KongItem& plugin, const std::string& scope, const base::Value& inherited, base::Value* made);

  const KongModel& model_;
  KongFindings& findings_;
};

}  // namespace moongate::config
