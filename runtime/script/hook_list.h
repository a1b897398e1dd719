// SPDX-License-Identifier: Apache-2.0
// Which hooks would run for a request, and in which order: what `moongate explain` shows. The chains are
// those that a worker builds; nothing of them is run.
#pragma once

#include <string>
#include <vector>

#include "script/host.h"

namespace moongate::script {

struct ListedHook {
  std::string phase;
  std::string plugin;
  double priority = 0;
  std::string source;  // where its conf was written: "/apisix/routes/1"
};

/// The exchange's route must have been found. With a `consumer` the list is that of a request recognised as
/// theirs. The error is why the route would answer 503, or that there is no such consumer.
base::Result<std::vector<ListedHook>> list_hooks(Host& host, exchange::Exchange& exchange,
                                                 const std::string& consumer);

}  // namespace moongate::script
