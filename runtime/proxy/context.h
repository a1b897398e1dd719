// SPDX-License-Identifier: Apache-2.0
// What one worker's data path works with, passed by reference; there are no globals.
#pragma once

#include <memory>
#include <vector>

#include "exchange/exchange.h"
#include "net/event_loop.h"
#include "net/resolver.h"
#include "router/address_set.h"
#include "snapshot/snapshot.h"
#include "upstream/pool.h"

namespace moongate::script {
class Host;
}

namespace moongate::proxy {

class AccessLog;
class AnswerCoder;
class Connection;
class Forwarder;
class RequestStream;
class RouteBody;
struct WorkerMetrics;

/// Limits and habits towards clients, from the settings, in the units the data path uses.
struct ClientOptions {
  std::chrono::milliseconds header_timeout{60000};
  std::chrono::milliseconds body_timeout{60000};
  std::chrono::milliseconds send_timeout{60000};
  std::chrono::milliseconds keepalive_timeout{75000};
  uint64_t keepalive_requests = 10000;
  http::HeadLimits head;
  uint64_t body_size_max_bytes = 0;  // 0: no limit
  uint32_t http2_streams_max = 128;
  uint32_t http2_window_bytes = 128 * 1024;  // of a stream
  uint32_t http2_resets_max = 200;
  http::UriPolicy uri;
  router::AddressSet trusted;
  bool is_unix_trusted = false;  // peers on unix sockets
  bool adds_via = false;
  std::string server_name = "moongate";  // the Server field of our own answers
};

ClientOptions make_client_options(const config::Settings& settings);

struct Context {
  Context(net::EventLoop& event_loop, upstream::Pool& upstream_pool);
  ~Context();

  net::EventLoop& loop;
  upstream::Pool& pool;
  net::Resolver* resolver = nullptr;
  script::Host* script = nullptr;
  AccessLog* access_log = nullptr;
  WorkerMetrics* metrics = nullptr;

  snapshot::Pin snapshot;  // what the next request begins with
  ClientOptions client;
  exchange::ExchangePool exchanges;
  std::vector<std::unique_ptr<Forwarder>> forwarders;    // by exchange slot
  std::vector<std::unique_ptr<RouteBody>> route_bodies;  // likewise, where routes were found by bodies
  std::vector<std::unique_ptr<RequestStream>> spare_streams;
  std::vector<std::unique_ptr<AnswerCoder>> coders;  // likewise, where answers were coded
  http::EncoderPool encoders;
  bool is_coding_refused = false;  // for want of memory, and that was said
  bool is_draining = false;        // answers end their connections

  Connection* connections = nullptr;  // all that are open
  uint32_t connection_count = 0;
  uint64_t connections_accepted = 0;
  std::vector<std::unique_ptr<Connection>> closed;  // freed at the end of the turn
  net::Deferred free_closed;
};

/// The one of `parts` that belongs to the exchange's slot; made when the slot needs it first, of `more` too.
template <class T, class... More>
T& part_of_slot(std::vector<std::unique_ptr<T>>& parts, Context& context, exchange::Exchange& exchange,
                More... more) {
  if (parts.size() <= exchange.slot) parts.resize(exchange.slot + 1);
  auto& part = parts[exchange.slot];
  if (!part) part = std::make_unique<T>(context, exchange, more...);
  return *part;
}

}  // namespace moongate::proxy
