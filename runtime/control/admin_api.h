// SPDX-License-Identifier: Apache-2.0
// APISIX's Admin API: paths, verbs, keys, answers. Reads are answered from what is served; writes are handed
// to control, which answers when every worker serves them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/admin_access.h"
#include "control/admin_batch.h"
#include "control/admin_lists.h"
#include "control/http_server.h"
#include "snapshot/blob.h"

namespace moongate::control {

inline constexpr size_t kAdminBodyMaxBytes = 1572864;

/// The decoded segments of a path, empty ones left out.
std::vector<std::string> split_path(std::string_view path);

/// The body as JSON, null when there is none, or the answer that says why it is neither.
base::Result<base::Value> parse_body(const HttpRequest& request, std::optional<HttpResponse>* refusal);

/// Serves one listening socket.
///
/// Shape:   bodies up to 1.5 MB, 64 connections, each request in 30 seconds besides the wait for the workers.
/// Owner:   control, which does what it is asked for through the callbacks.
class AdminApi {
 public:
  struct Callbacks {
    std::function<const snapshot::BlobView&()> served;
    std::function<void(AdminWrite)> write;
    /// Reads the sources again; the answer is a list of errors.
    std::function<void(std::function<void(std::vector<std::string>)>)> reload;
    std::function<base::Result<std::pair<int, std::string>>(const std::vector<std::string>&)> ask_schemas;
    AskFields encrypted_fields;
    /// Checks a whole configuration and changes nothing.
    std::function<HttpResponse(const base::Value&)> validate_all;
    // For the status page: what runs, its counters, its snapshots, what one of them changed, rollbacks.
    std::function<base::Value()> status;
    std::function<base::Value()> metrics;
    std::function<base::Value()> snapshots;
    std::function<base::Result<base::Value>(uint64_t)> compare_snapshot;
    std::function<void(uint64_t number, const AdminCaller& caller, std::function<void(const base::Value&)>)>
        rollback;
  };
  AdminApi(net::EventLoop& loop, const ResourceStore& store, Callbacks callbacks);

  AdminAccess& access() { return access_; }
  void set_version(config::AdminApiVersion version) { is_older_ = version == config::AdminApiVersion::kV2; }
  /// Takes over the listening socket.
  void start(int fd) { server_.start(fd); }

 private:
  using Answer = HttpServer::Answer;
  struct Call {
    const HttpRequest& request;
    std::map<std::string, std::string> arguments;
    std::vector<std::string> segments;  // below /apisix/admin or /moongate/admin
    AdminAccess::Caller caller;
    Answer answer;
  };

  void on_request(const HttpRequest& request, const Answer& answer);
  void on_instance(const HttpRequest& request, const Answer& answer);
  void dispatch(Call& call);

  // admin_instance.cpp: below /moongate/admin
  void dispatch_instance(const Call& call);
  void compare_snapshot(const Call& call);
  void rollback(const Call& call);

  void on_resource(Call& call, AdminTarget target);
  void on_read(const Call& call, const AdminTarget& target);
  void on_write(Call& call, AdminTarget target);
  void on_plugins(const Call& call);
  void on_schema(const Call& call);

  // admin_configs.cpp: below /apisix/admin/configs
  void on_configs(const Call& call);
  void read_configs(const Call& call);
  void replace_configs(const Call& call);
  std::optional<HttpResponse> take_versions(AdminWrite* write, std::map<std::string, double>* versions) const;
  base::Value everything() const;

  void ask_schemas(const Call& call, const std::vector<std::string>& question);
  AdminEntries entries() const { return {store_, callbacks_.served(), callbacks_.encrypted_fields}; }

  const ResourceStore& store_;
  Callbacks callbacks_;
  AdminAccess access_;
  bool is_older_ = false;  // answers have the form of APISIX 2
  HttpServer server_;
  /// The last whole configuration that was put, and what its client said of it.
  struct LastPut {
    std::string digest;
    uint64_t at_s = 0;
    uint64_t revision = 0;  // of the store, once it was there
    std::map<std::string, double> versions;
  };
  LastPut last_put_;
};

}  // namespace moongate::control
