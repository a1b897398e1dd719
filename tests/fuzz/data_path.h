// SPDX-License-Identifier: Apache-2.0
// A real data path with a node behind it, for fuzzers that play a client and the node: what exchange_fuzz and
// http2_fuzz have in common.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "../unit/proxy/gateway_fixture.h"
#include "base/log.h"
#include "naive_message.h"

namespace moongate::fuzz {

using namespace proxy_fixture;

inline std::string plugin(const std::string& name, const std::string& functions) {
  return "local core = require('apisix.core')\nlocal _M = {version = 0.1, priority = 10, name = '" + name +
         "', schema = {type = 'object'}}\n" + functions + "\nreturn _M\n";
}

/// One data path for all inputs; each leaves it as it found it.
struct World {
  World() : origin(*net::make_unix_address(make_path())), gateway(config(path)) {
    MG_ASSERT(gateway.complaints.empty());
    base::set_log_level(base::LogLevel::kStderr);
  }
  ~World() { std::filesystem::remove_all(folder); }
  static std::string make_path() {
    char name[] = "/tmp/moongate-fuzz-XXXXXX";
    MG_ASSERT(::mkdtemp(name) != nullptr);
    folder = name;
    return path = folder + "/node";
  }
  static Gateway::Config config(const std::string& node) {
    const std::string nodes = "\"unix:" + node + "\": 1";
    auto route = [&](const std::string& uri, const std::string& more) {
      return R"({"uri": ")" + uri + R"(", "upstream": {"type": "roundrobin", "nodes": {)" + nodes + "}}" +
             more + "}";
    };
    return {{route("/*", ""), route("/b*", R"(, "plugins": {"collect": {}})"),
             route("/f*", R"(, "plugins": {"filter": {}})"), route("/w", R"(, "enable_websocket": true)"),
             R"({"uri": "/e", "plugins": {"answer": {}}})"},
            {{"collect", plugin("collect", "function _M.access() core.request.get_body(100) end")},
             {"filter", plugin("filter",
                               "function _M.header_filter() core.response.set_header('X-F', 'y') end "
                               "function _M.body_filter() ngx.arg[1] = ngx.arg[1] .. '!' end")},
             {"answer", plugin("answer", "function _M.access() return 200, 'here' end")}}};
  }
  static inline std::string folder, path;
  Origin origin;
  Gateway gateway;
};

/// One input: a client of its own, and whatever connections to the node it brings about.
class Play {
 public:
  Play(World& world, proxy::ListenerTraits traits) : world_(world), client_(world.gateway.connect(traits)) {}

  /// Both sides go: whatever was under way ends.
  void end() {
    client_->is_reading = true;
    for (int i = 0; i < 20; i++) turn();
    collect();
    client_->close();
    for (int i = 0; i < 20; i++) {
      for (auto& connection : world_.origin.connections) connection->close();
      turn();
    }
    MG_ASSERT(world_.gateway.context().connection_count == 0);
    MG_ASSERT(world_.gateway.context().exchanges.active() == 0);
    world_.gateway.context().snapshot->each_route([](const snapshot::Route& route) {
      if (!route.upstream) return;
      MG_ASSERT(route.upstream->nodes()[0].active == 0);
      for (const auto& endpoint : route.upstream->nodes()[0].endpoints) endpoint->retire();
    });
    world_.origin.connections.clear();
  }

 protected:
  /// What the node does: see the fuzzers for the letters.
  void act_as_node(char step, const std::string& bytes) {
    auto& connections = world_.origin.connections;
    Peer* newest = connections.empty() ? nullptr : connections.back().get();
    Peer* older = connections.size() < 2 ? newest : connections[connections.size() - 2].get();
    if (step == 'N' && newest) say(*newest, bytes);
    if (step == 'O' && older) say(*older, bytes);
    if (step == 'E' && newest) close(*newest);
    if (step == 'G' && newest) newest->is_reading = !newest->is_reading;
  }
  void turn() {
    client_->turn();
    world_.gateway.turn_now();
    world_.origin.turn();
    world_.gateway.turn_now();
  }
  /// How many requests the node saw; they must be requests, and nothing else.
  size_t count_heard() const {
    size_t seen = 0;
    for (const std::string& bytes : heard_) {
      const naive::Requests requests = naive::read_requests(bytes);
      MG_ASSERT(requests.reading != naive::Reading::kBroken);
      seen += requests.heads.size();
    }
    return seen;
  }

  World& world_;
  std::unique_ptr<Peer> client_;
  std::vector<std::string> heard_;  // by the node, connection by connection
  bool has_upgraded_ = false;
  size_t closed_ = 0;  // connections that the node closed: each may bring a request once more

 private:
  void say(Peer& node, const std::string& bytes) {
    has_upgraded_ |= bytes.find("101") != std::string::npos;
    node.send(bytes);
  }
  void close(Peer& node) {
    closed_++;
    node.close();
  }
  void collect() {
    for (auto& connection : world_.origin.connections) {
      connection->is_reading = true;
      connection->turn();
      heard_.push_back(connection->received);
    }
  }
};

}  // namespace moongate::fuzz
