// SPDX-License-Identifier: Apache-2.0
// folder: proxy
// A client and a node that say anything, at any moment, to a real data path between them. The input is a
// script: 0xff and a letter begin a step, what follows is what that step sends.
//
//   C  the client sends       N  the newest connection to the node sends    O  an older one does
//   F  the client's FIN       E  the node closes                            R  the client stops or starts
//   reading T  a turn of the loop     X  the client closes                          G  the node stops or
//   starts reading
//
// What must hold: the node sees no request that a naive reader does not find in the client's bytes, and
// nothing else than requests; the client is sent answers, one for each request, and at most one refusal; and
// when both have gone, nothing is left waiting.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "../unit/proxy/gateway_fixture.h"
#include "base/log.h"
#include "naive_message.h"

using namespace moongate;
using namespace moongate::proxy_fixture;

namespace {

std::string plugin(const std::string& name, const std::string& functions) {
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

class Play {
 public:
  explicit Play(World& world) : world_(world), client_(world.gateway.connect()) {}

  void run(std::string_view script) {
    while (!script.empty()) {
      char step = script[0];
      script.remove_prefix(1);
      size_t end = std::min(script.find('\xff'), script.size());
      act(step, std::string(script.substr(0, end)));
      script.remove_prefix(std::min(end + 1, script.size()));
      turn();
    }
    for (int i = 0; i < 3; i++) turn();
  }
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
    for (const auto& route : world_.gateway.context().snapshot->routes) {
      if (!route->upstream) continue;
      MG_ASSERT(route->upstream->nodes()[0].active == 0);
      for (const auto& endpoint : route->upstream->nodes()[0].endpoints) endpoint->retire();
    }
    world_.origin.connections.clear();
  }
  void check() const {
    if (has_upgraded_) return;  // bytes of a tunnel are nobody's messages
    const naive::Requests sent = naive::read_requests(said_);
    MG_ASSERT(naive::take_answers(sent.heads, client_->received) != naive::Reading::kBroken);
    size_t seen = 0;
    for (const std::string& bytes : heard_) {
      const naive::Requests requests = naive::read_requests(bytes);
      MG_ASSERT(requests.reading != naive::Reading::kBroken);
      seen += requests.heads.size();
    }
    // A request that a kept connection swallowed as it closed may be sent once more on another.
    MG_ASSERT(seen <= sent.heads.size() + closed_);
  }

 private:
  void act(char step, const std::string& bytes) {
    auto& connections = world_.origin.connections;
    Peer* newest = connections.empty() ? nullptr : connections.back().get();
    Peer* older = connections.size() < 2 ? newest : connections[connections.size() - 2].get();
    if (step == 'C' && !has_finished_) said_ += bytes;
    if (step == 'C' && !has_finished_) client_->send(bytes);
    if (step == 'N' && newest) say(*newest, bytes);
    if (step == 'O' && older) say(*older, bytes);
    if (step == 'E' && newest) close(*newest);
    if (step == 'G' && newest) newest->is_reading = !newest->is_reading;
    if (step == 'R') client_->is_reading = !client_->is_reading;
    if (step == 'F') client_->finish_sending();
    if (step == 'X') client_->close();
    if (step == 'F' || step == 'X') has_finished_ = true;
  }
  void say(Peer& node, const std::string& bytes) {
    has_upgraded_ |= bytes.find("101") != std::string::npos;
    node.send(bytes);
  }
  void close(Peer& node) {
    closed_++;
    node.close();
  }
  void turn() {
    client_->turn();
    world_.gateway.turn_now();
    world_.origin.turn();
    world_.gateway.turn_now();
  }
  void collect() {
    for (auto& connection : world_.origin.connections) {
      connection->is_reading = true;
      connection->turn();
      heard_.push_back(connection->received);
    }
  }

  World& world_;
  std::unique_ptr<Peer> client_;
  std::string said_;                // by the client
  std::vector<std::string> heard_;  // by the node, connection by connection
  bool has_finished_ = false;
  bool has_upgraded_ = false;
  size_t closed_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  Play play(world);
  play.run(std::string_view(reinterpret_cast<const char*>(data), size));
  play.end();
  play.check();
  return 0;
}
