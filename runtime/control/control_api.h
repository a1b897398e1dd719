// SPDX-License-Identifier: Apache-2.0
// APISIX's Control API, /v1/...: what the gateway has in memory, for tools on the same machine. Reads only,
// but for a reload and for giving memory back; no key is asked for, so it is off unless an address is given.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/admin_access.h"
#include "control/admin_api.h"
#include "control/admin_lists.h"
#include "control/health_checks.h"
#include "control/http_server.h"

namespace moongate::control {

class ControlApi {
 public:
  /// Of `callbacks` those for reads and reloads are used.
  ControlApi(net::EventLoop& loop, const ResourceStore& store, AdminApi::Callbacks callbacks,
             const HealthChecks& health, std::function<void()> collect_garbage);

  /// Takes over the listening socket; `address` is where it listens.
  base::Result<void> start(int fd, const std::string& address);

 private:
  void on_request(const HttpRequest& request, const HttpServer::Answer& answer);
  HttpResponse read(const std::string& name, const std::string& id) const;
  HttpResponse read_health(const HttpRequest& request, const std::vector<std::string>& parts) const;

  const ResourceStore& store_;
  AdminApi::Callbacks callbacks_;
  const HealthChecks& health_;
  std::function<void()> collect_garbage_;
  AdminAccess access_;
  HttpServer server_;
};

}  // namespace moongate::control
