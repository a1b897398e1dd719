// SPDX-License-Identifier: Apache-2.0
#include "control/admin_access.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/ascii.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "base/random.h"
#include "http/head.h"
#include "net/address.h"
#include "tls/digest.h"

namespace moongate::control {

using base::Result;

namespace {

constexpr size_t kKeyBytes = 24;
constexpr size_t kKeyFileMax = 4096;
constexpr size_t kKeyMin = 16;

Result<std::string> make_key() {
  char bytes[kKeyBytes];
  if (!base::fill_random(bytes, sizeof bytes)) return base::io_error("random bytes for a key");
  return base::to_hex({bytes, sizeof bytes});
}

/// The value of the cookie `x_api_key`.
std::string cookie_key(std::string_view cookies) {
  while (!cookies.empty()) {
    const size_t end = cookies.find(';');
    std::string_view one = cookies.substr(0, end);
    cookies.remove_prefix(end == cookies.npos ? cookies.size() : end + 1);
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    if (one.starts_with("x_api_key=")) return std::string(one.substr(10));
  }
  return "";
}

HttpResponse refuse_token(const std::string& why) {
  return {401,
          "application/json",
          "{\"error_msg\":\"failed to check token\",\"description\":\"" + why + "\"}\n",
          {}};
}

/// "https://name:port" to "name:port"; empty for what is no such origin ("null").
std::string_view origin_authority(std::string_view origin) {
  const size_t mark = origin.find("://");
  return mark == origin.npos ? std::string_view() : origin.substr(mark + 3);
}

}  // namespace

HttpResponse admin_error(uint16_t status, std::string_view text) {
  std::string body = "{\"error_msg\":";
  base::append_json_string(body, text);
  return {status, "application/json", body + "}\n", {}};
}

HttpResponse admin_not_found() { return {404, "application/json", "{\"message\":\"Key not found\"}\n", {}}; }

Result<std::string> AdminAccess::read_or_make_key(const std::string& directory) {
  const std::string path = directory + "/admin.key";
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if ((status.st_mode & 077) != 0) {
      MG_LOG(kWarn) << path << " could be read by others; its mode is 0600 from now on";
      if (::chmod(path.c_str(), 0600) != 0) return base::io_error(path);
    }
    Result<std::string> key = base::read_file(path, kKeyFileMax);
    if (!key) return key;
    while (!key->empty() && static_cast<unsigned char>(key->back()) <= ' ') key->pop_back();
    if (key->size() < kKeyMin)
      return base::invalid(path + ": shorter than 16 characters; remove it, and a key is made");
    return key;
  }
  Result<std::string> key = make_key();
  if (!key) return key;
  if (auto written = base::write_file(path, *key + "\n", base::Durability::kSynced); !written)
    return written.error();
  MG_LOG(kNotice) << "the key of the Admin API is in " << path;
  return key;
}

Result<void> AdminAccess::set(const config::AdminSettings& settings, const std::string& address,
                              const std::string& made_key) {
  std::vector<config::AdminKey> keys = settings.admin_key;
  if (!settings.key.empty()) keys.push_back({"admin", settings.key, false});
  if (keys.empty() && !made_key.empty()) keys.push_back({"admin", made_key, false});
  std::vector<std::string> networks = settings.allow_admin;
  std::erase(networks, "unix:");
  Result<router::AddressSet> allowed = router::AddressSet::parse(networks);
  if (!allowed) return allowed.error();
  keys_ = std::move(keys);
  allowed_ = allowed.take();
  named_ = settings.hosts;
  for (std::string& host : named_) host = base::lower_case(std::move(host));
  hosts_ = named_;
  hosts_.emplace_back("localhost");
  if (const size_t colon = address.rfind(':'); colon != address.npos)
    hosts_.push_back(address.substr(0, colon));
  return {};
}

bool AdminAccess::is_own_host(const std::string& host) const {
  return net::is_ip_literal(host) || std::find(hosts_.begin(), hosts_.end(), host) != hosts_.end();
}

/// A browser that was led here by a page of somebody else's says so: in Origin, or, when a name was made to
/// point here, in Host.
std::optional<HttpResponse> AdminAccess::refuse_sender(const HttpRequest& request) const {
  if (request.peer.family() == AF_INET || request.peer.family() == AF_INET6) {
    const Result<router::Address> address = router::parse_address(request.peer.host_text());
    if (!address || !allowed_.contains(*address)) {
      return admin_error(403, "calls from " + request.peer.host_text() +
                                  " are not allowed; name the address in moongate.admin.allow_admin");
    }
    if (!is_own_host(request.host)) {
      return admin_error(403, "the Admin API is not called `" + request.host +
                                  "`; use an IP address or localhost, or name it in moongate.admin.hosts");
    }
  }
  const std::string_view origin = request.field("Origin");
  if (origin.empty()) return std::nullopt;
  http::HostParts parts;
  const std::string_view authority = origin_authority(origin);
  const bool is_same = http::equals_ignoring_case(authority, request.authority);
  const bool is_named = http::split_host(authority, &parts) &&
                        std::find(named_.begin(), named_.end(), std::string(parts.name)) != named_.end();
  if (is_same || is_named) return std::nullopt;
  return admin_error(403, "calls from pages of " + std::string(origin) +
                              " are not allowed; name the host in moongate.admin.hosts");
}

AdminAccess::Caller AdminAccess::identify(const HttpRequest& request, const std::string& query_key) const {
  std::string given(request.field("X-API-KEY"));
  if (given.empty()) given = query_key;
  if (given.empty()) given = cookie_key(request.field("Cookie"));
  if (given.empty()) return {"", false, refuse_token("missing apikey")};
  const config::AdminKey* known = nullptr;
  for (const config::AdminKey& key : keys_) {
    if (tls::is_equal_constant_time(key.key, given) && known == nullptr) known = &key;
  }
  if (known == nullptr) return {"", false, refuse_token("wrong apikey")};
  const bool is_read = request.method == "GET" || request.method == "HEAD";
  if (known->is_viewer && !is_read) return {"", true, refuse_token("invalid method for role viewer")};
  return {known->name.empty() ? (known->is_viewer ? "viewer" : "admin") : known->name, known->is_viewer,
          std::nullopt};
}

}  // namespace moongate::control
