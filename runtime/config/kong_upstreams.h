// SPDX-License-Identifier: Apache-2.0
// Kong's services and upstreams as our upstreams. Kong keeps protocol, retries and timeouts with the service
// and nodes with the upstream that bears its host's name; ours has them together, so every service gets an
// upstream of its own.
#pragma once

#include "config/kong_model.h"

namespace moongate::config {

/// The upstream of a service; `keeps_host` sends the client's Host on.
base::Value make_kong_upstream(const KongModel& model, const KongService& service, bool keeps_host,
                               KongFindings& findings);
/// The path that a service puts before every request's, as written: "/" when it has none.
std::string kong_service_path(const KongService& service);
/// Refuses what no upstream can be made of, once for each service and upstream.
void check_kong_upstreams(const KongModel& model, KongFindings& findings);

}  // namespace moongate::config
