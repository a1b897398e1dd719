// SPDX-License-Identifier: Apache-2.0
// Who may call the Admin API: from which address, with which key, and from which web pages.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/settings.h"
#include "control/http_server.h"
#include "router/address_set.h"

namespace moongate::control {

/// {"error_msg": text}, ended by a line feed as all answers of the API are.
HttpResponse admin_error(uint16_t status, std::string_view text);

/// {"message": "Key not found"}: there is no such resource.
HttpResponse admin_not_found();

/// Keys, addresses and hosts.
///
/// Owner:   the Admin API; set anew when the settings change.
/// Fails:   closed: without a key nobody may call.
class AdminAccess {
 public:
  /// The key of DIR/admin.key, made when it is not there.
  static base::Result<std::string> read_or_make_key(const std::string& directory);

  /// `made_key` counts when the settings name none.
  base::Result<void> set(const config::AdminSettings& settings, const std::string& address,
                         const std::string& made_key);

  /// Why the request's sender must not even be asked for a key; nothing when it may be.
  std::optional<HttpResponse> refuse_sender(const HttpRequest& request) const;
  /// Who calls, or why not. `query_key` is the argument `api_key`.
  struct Caller {
    std::string name;
    bool is_viewer = false;
    std::optional<HttpResponse> refusal;
  };
  Caller identify(const HttpRequest& request, const std::string& query_key) const;

 private:
  bool is_own_host(const std::string& host) const;

  std::vector<config::AdminKey> keys_;
  std::vector<std::string> named_;  // by the settings
  std::vector<std::string> hosts_;  // and those that are always ours
  router::AddressSet allowed_;
};

}  // namespace moongate::control
