// SPDX-License-Identifier: Apache-2.0
// A worker's data path on a loop that the test turns: real connections, steps, plugins and upstreams; clients
// are socket pairs, origins listen on loopback, and both say what the test says. One thread, so that the
// order of events is the test's.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "metrics/registry.h"
#include "net/listener.h"
#include "peer.h"
#include "proxy/connection.h"
#include "proxy/context.h"
#include "proxy/forward.h"
#include "proxy/steps.h"
#include "proxy/worker_metrics.h"
#include "script/host.h"
#include "script/regex_engine.h"
#include "shm/segment.h"
#include "snapshot/compiler.h"

namespace moongate::proxy_fixture {

inline std::string route_json(const std::string& nodes, const std::string& more = "") {
  return R"({"uri": "/*", "upstream": {"type": "roundrobin", "nodes": {)" + nodes + "}}" + more + "}";
}

/// The data path of one worker.
class Gateway {
 public:
  struct Config {
    std::vector<std::string> routes;                           // JSON, in order
    std::vector<std::pair<std::string, std::string>> plugins;  // name and Lua
    std::string settings = "{}";
    net::ResolverOptions names = {};
  };

  explicit Gateway(const Config& config)
      : loop_(net::EventLoop::make().take()),
        segment_(shm::Segment::make(metrics::Registry::size_bytes(kSeries) + 8192).take()),
        registry_(metrics::Registry::make(segment_, kSeries).take()),
        metrics_(proxy::make_worker_metrics(registry_, slot_).take()),
        pool_(*loop_),
        context_(std::make_unique<proxy::Context>(*loop_, pool_)),
        pulse_(on_pulse, this) {
    script::install_regex_engine();
    resolver_ = net::Resolver::make(*loop_, config.names).take();
    script::HostOptions options;
    options.vm.lua_root = MOONGATE_SOURCE_ROOT "/lua";
    options.vm.cpu_budget_ms = 0;
    host_ = script::Host::make(
                *loop_, resolver_.get(), context_->exchanges, std::move(options),
                [this](auto& exchange, auto result) { proxy::resume(*context_, exchange, result); })
                .take();
    context_->resolver = resolver_.get();
    context_->script = host_.get();
    context_->metrics = metrics_.get();
    serve(config);
    on_pulse(this);
  }
  ~Gateway() {
    pulse_.stop();
    while (context_->connections) context_->connections->end();
    context_->closed.clear();
    host_->shut_down();
    context_->forwarders.clear();
    context_->snapshot.reset();
    context_.reset();
    host_.reset();
  }

  void serve(const Config& config) {
    snapshot::BlobWriter writer;
    auto add = [&writer](snapshot::RecordKind kind, std::string_view id, std::string_view body,
                         size_t order) {
      writer.add({kind, 0, static_cast<uint32_t>(order), id, id, body, 0});
    };
    add(snapshot::RecordKind::kSettings, "", config.settings, 0);
    for (size_t i = 0; i < config.routes.size(); i++)
      add(snapshot::RecordKind::kRoute, std::to_string(i + 1), config.routes[i], i);
    for (const auto& [name, text] : config.plugins) add(snapshot::RecordKind::kPluginSource, name, text, 0);
    std::string blob = writer.finish({++number_, 0, "test"}).take();
    snapshot::Compiler compiler(snapshot::BlobView::open(blob).take(), context_->snapshot, pool_, graveyard_);
    while (!compiler.step(std::chrono::seconds(1))) {
    }
    complaints.clear();
    for (const snapshot::Complaint& complaint : compiler.complaints()) complaints.push_back(complaint.text());
    auto snapshot = compiler.finish().take();
    auto prepared = host_->prepare_snapshot(*snapshot);
    if (!prepared) complaints.push_back(prepared.error().detail);
    host_->adopt_snapshot(*snapshot);
    context_->snapshot = std::move(snapshot);
  }

  /// A client that has just connected. `send_buffer_bytes`: of the gateway's socket, 0 for the usual.
  std::unique_ptr<Peer> connect(proxy::ListenerTraits traits = {}, int send_buffer_bytes = 0) {
    int ends[2];
    MG_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
    if (send_buffer_bytes > 0)
      ::setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes);
    auto address = net::make_unix_address("/client");
    new proxy::Connection(*context_, ends[1], *address, traits);  // in the context's list until it closes
    return std::make_unique<Peer>(ends[0]);
  }

  /// Turns the loop, and whoever takes part, until `is_done`. False when half a minute went by.
  bool turn_until(const std::vector<std::function<void()>>& parties, const std::function<bool()>& is_done) {
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (true) {
      for (const auto& turn : parties) turn();
      if (is_done()) return true;
      if (std::chrono::steady_clock::now() > limit) return false;
      loop_->run_once();
    }
  }
  bool turn_until(Peer& client, Origin& origin, const std::function<bool()>& is_done) {
    return turn_until({[&] { client.turn(); }, [&] { origin.turn(); }}, is_done);
  }
  bool turn_until(Peer& client, const std::function<bool()>& is_done) {
    return turn_until({[&] { client.turn(); }}, is_done);
  }
  /// One turn that does not wait.
  void turn_now() {
    hurry_.schedule(*loop_);
    loop_->run_once();
  }
  /// Turns the loop until nothing can be under way between sockets of this machine.
  void settle(const std::function<void()>& party) {
    for (int quiet = 0; quiet < 8; quiet++) {
      party();
      loop_->run_once();
    }
  }

  proxy::Context& context() { return *context_; }
  net::EventLoop& loop() { return *loop_; }
  script::Host& host() { return *host_; }
  std::vector<std::string> complaints;

 private:
  static constexpr uint32_t kSeries = 1000;
  // Keeps the loop from waiting for ever when the test expects what does not come.
  static void on_pulse(void* self) {
    auto* gateway = static_cast<Gateway*>(self);
    gateway->pulse_.start(gateway->loop_->timers(), std::chrono::milliseconds(1));
  }

  std::unique_ptr<net::EventLoop> loop_;
  shm::Segment segment_;
  metrics::Registry registry_;
  shm::ProcessSlot slot_;
  proxy::WorkerMetricsOwner metrics_;
  upstream::Pool pool_;
  snapshot::Graveyard graveyard_{[] {}};
  std::unique_ptr<net::Resolver> resolver_;
  std::unique_ptr<proxy::Context> context_;
  std::unique_ptr<script::Host> host_;
  net::Timer pulse_;
  net::Deferred hurry_{[](void*) {}, nullptr};
  uint64_t number_ = 0;
};

}  // namespace moongate::proxy_fixture
