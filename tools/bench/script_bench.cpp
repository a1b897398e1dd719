// SPDX-License-Identifier: Apache-2.0
// folder: supervisor
// What the Lua part of a request costs: the chain request-id, key-auth, limit-count, proxy-rewrite,
// response-rewrite over 1,000 consumers, phase by phase as a worker runs it, without a network. Prints
// nanoseconds per request.
//
//   script_bench [REQUESTS] [LUA_ROOT]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/log.h"
#include "script/api_shared.h"
#include "script/host.h"
#include "script/regex_engine.h"
#include "snapshot/compiler.h"
#include "supervisor/shared_memory.h"

using namespace moongate;

namespace {

class NoClient final : public exchange::ClientSide {
 public:
  void set_body_sink(exchange::BodySink*) override {}
  void send_head(exchange::Exchange&, const iovec*, int, bool) override {}
  void send_body(exchange::Exchange&, const iovec*, int, bool) override {}
  void set_trailers(std::string_view) override {}
  void send_interim(uint16_t, const http::FieldList&) override {}
  bool is_blocked() const override { return false; }
  void read_body() override {}
  void read_body_later() override {}
  void end_after_answer() override {}
  void abort_answer() override {}
  void start_tunnel(std::unique_ptr<upstream::Connection>, std::string_view) override {}
  const tls::Session* tls_session() const override { return nullptr; }
  std::string_view server_address() override { return "127.0.0.1"; }
  uint16_t server_port() override { return 8080; }
};

constexpr const char* kPlugins[] = {"request-id", "key-auth", "limit-count", "proxy-rewrite",
                                    "response-rewrite"};

std::string read_plugin(const std::string& root, const std::string& name, std::string* path) {
  for (const char* form : {".lua", "/init.lua"}) {
    *path = root + "/plugins/" + name + form;
    std::ifstream file(*path);
    if (file) return {std::istreambuf_iterator<char>(file), {}};
  }
  std::fprintf(stderr, "no plugin %s below %s\n", name.c_str(), root.c_str());
  std::exit(1);
}

std::string make_blob(const std::string& root) {
  snapshot::BlobWriter writer;
  uint32_t order = 0;
  auto add = [&](snapshot::RecordKind kind, const std::string& id, const std::string& body,
                 const std::string& place) {
    snapshot::Record record;
    record.kind = kind;
    record.id = id;
    record.body = body;
    record.place = place;
    record.order = order++;
    if (kind == snapshot::RecordKind::kPluginSource) record.flags = snapshot::kFlagShipped;
    writer.add(record);
  };
  add(snapshot::RecordKind::kSettings, "", config::settings_to_json(config::Settings()), "");
  add(snapshot::RecordKind::kRoute, "all",
      R"({"id":"all","uri":"/*","upstream":{"type":"roundrobin","nodes":{"127.0.0.1:1":1}},"plugins":{
         "request-id":{},"key-auth":{},"limit-count":{"count":2000000000,"time_window":60,"key":"consumer_name","key_type":"var","policy":"local"},
         "proxy-rewrite":{"headers":{"set":{"X-Gateway":"moongate"}}},
         "response-rewrite":{"headers":{"set":{"X-Served-By":"gateway"},"remove":["X-Powered-By"]}}}})",
      "bench");
  for (int i = 0; i < 1000; i++) {
    char key[32];
    std::snprintf(key, sizeof key, "key-%05d", i);
    std::string name = "user_" + std::to_string(i);
    add(snapshot::RecordKind::kConsumer, name,
        "{\"username\":\"" + name + "\",\"plugins\":{\"key-auth\":{\"key\":\"" + key + "\"}}}", "bench");
  }
  for (const char* name : kPlugins) {
    std::string path;
    std::string text = read_plugin(root, name, &path);
    add(snapshot::RecordKind::kPluginSource, name, text, path);
  }
  return writer.finish({1, 1, "bench"}).take();
}

constexpr std::string_view kRequest =
    "GET /api/v1/items?id=42 HTTP/1.1\r\nHost: api.example.test\r\nUser-Agent: bench-client/1.0 (load)\r\n"
    "Accept: application/json\r\nAccept-Language: en-US,en;q=0.8\r\napikey: key-00500\r\nX-Client-Id: "
    "7d3f0f5e-bench\r\n\r\n";
constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\nX-Powered-By: "
    "origin\r\n\r\n";

struct Bench {
  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  upstream::Pool pool{*loop};
  exchange::ExchangePool exchanges;
  std::unique_ptr<script::Host> host;
  std::shared_ptr<snapshot::Snapshot> snapshot;
  NoClient client;

  void run_one() {
    exchange::Exchange* exchange = exchanges.take();
    exchange->begin(client, snapshot);
    http::HeadFault fault;
    std::string_view reason;
    http::parse_request_head(exchange->arena.copy(kRequest), {}, &exchange->request, &fault);
    http::canonicalize_target(exchange->request.target, {}, &exchange->arena, &exchange->uri, &reason);
    exchange->remote_address = "127.0.0.1";
    exchange->route = snapshot->routes[0].get();
    MG_ASSERT(host->prepare(*exchange) == exchange::StepResult::kNext);
    MG_ASSERT(host->run_phase(*exchange, exchange::Phase::kRewrite) == exchange::StepResult::kNext);
    http::parse_response_head(exchange->arena.copy(kResponse), {}, http::Method::kGet, &exchange->response,
                              &reason);
    exchange->begin_response();
    exchange->source = exchange::AnswerSource::kUpstream;
    MG_ASSERT(host->run_phase(*exchange, exchange::Phase::kHeaderFilter) == exchange::StepResult::kNext);
    exchanges.give(exchange);
  }
};

double nanoseconds_each(Bench& bench, int count) {
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < count; i++) bench.run_one();
  std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count() / count;
}

}  // namespace

int main(int argc, char** argv) {
  int count = argc > 1 ? std::atoi(argv[1]) : 300000;
  std::string root = argc > 2 ? argv[2] : MOONGATE_SOURCE_LUA;
  script::install_regex_engine();
  auto memory = supervisor::make_shared_memory(config::Settings()).take();
  script::bind_limit_tables(memory.limits.get());
  script::bind_shared_dicts(memory.dicts.get());
  Bench bench;
  script::HostOptions options;
  options.vm.lua_root = root;
  options.vm.cpu_budget_ms = 0;
  auto host = script::Host::make(*bench.loop, nullptr, bench.exchanges, options, [](auto&, auto) {});
  if (!host) {
    std::fprintf(stderr, "%s\n", host.error().detail.c_str());
    return 1;
  }
  bench.host = host.take();
  std::string bytes = make_blob(root);
  static snapshot::Graveyard graveyard([] {});
  snapshot::Compiler compiler(snapshot::BlobView::open(bytes).take(), nullptr, bench.pool, graveyard);
  while (!compiler.step(std::chrono::seconds(1))) {
  }
  bench.snapshot = compiler.finish().take();
  if (auto prepared = bench.host->prepare_snapshot(*bench.snapshot); !prepared) {
    std::fprintf(stderr, "%s\n", prepared.error().detail.c_str());
    return 1;
  }
  bench.host->adopt_snapshot(*bench.snapshot);
  nanoseconds_each(bench, count / 3 + 1);  // the JIT warms up
  for (int i = 0; i < 3; i++)
    std::printf("%.0f ns per request, Lua heap %.1f MB\n", nanoseconds_each(bench, count),
                static_cast<double>(bench.host->vm().memory_bytes()) / 1e6);
  return 0;
}
