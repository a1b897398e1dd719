// SPDX-License-Identifier: Apache-2.0
// Looks at plugins one by one: what each is, or where it is wrong. For `moongate plugin check` and `moongate
// plugin list`; whole configurations are checker.h's business.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "script/checker.h"

namespace moongate::script {

struct PluginFacts {
  std::string version;
  double priority = 0;
  std::string type;    // "auth", or empty
  std::string phases;  // "rewrite, access"
};

/// Loads plugins in a VM of its own, without running their init().
class PluginProbe {
 public:
  static base::Result<std::unique_ptr<PluginProbe>> make(const std::string& lua_root);
  /// What the plugin is; the error begins with file and line.
  base::Result<PluginFacts> probe(const CheckedSource& plugin, const std::vector<CheckedSource>& libraries);

 private:
  PluginProbe() = default;
  std::unique_ptr<net::EventLoop> loop_;
  exchange::ExchangePool exchanges_;
  std::unique_ptr<Host> host_;
};

}  // namespace moongate::script
