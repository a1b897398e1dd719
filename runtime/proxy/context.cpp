// SPDX-License-Identifier: Apache-2.0
#include "proxy/context.h"

#include "proxy/answer_coder.h"
#include "proxy/connection.h"
#include "proxy/forward.h"
#include "proxy/request_stream.h"
#include "proxy/route_body.h"
#include "proxy/stream_tunnel.h"
#include "proxy/tunnel.h"

namespace moongate::proxy {

ClientOptions make_client_options(const config::Settings& settings) {
  ClientOptions client;
  client.header_timeout = settings.client.header_timeout;
  client.body_timeout = settings.client.body_timeout;
  client.send_timeout = settings.client.send_timeout;
  client.keepalive_timeout = settings.client.keepalive_timeout;
  client.keepalive_requests = settings.client.keepalive_requests;
  client.head = {size_t{settings.client.header_max_kb} * 1024, settings.client.header_fields_max};
  client.body_size_max_bytes = uint64_t{settings.client.body_max_mb} << 20;
  client.http2_streams_max = settings.client.http2_streams_max;
  client.http2_window_bytes = settings.client.http2_window_kb * 1024;
  client.http2_resets_max = settings.client.http2_resets_max;
  client.uri = settings.uri;
  client.adds_via = settings.via;
  client.server_name = settings.server_header;
  std::vector<std::string> trusted;
  for (const std::string& text : settings.trusted_addresses) {
    if (text == "unix:")
      client.is_unix_trusted = true;
    else
      trusted.push_back(text);
  }
  if (auto set = router::AddressSet::parse(trusted)) client.trusted = set.take();
  return client;
}

Context::Context(net::EventLoop& event_loop, upstream::Pool& upstream_pool)
    : loop(event_loop),
      pool(upstream_pool),
      free_closed([](void* self) { static_cast<Context*>(self)->closed.clear(); }, this) {}

Context::~Context() {
  while (connections) connections->end();
  closed.clear();
}

}  // namespace moongate::proxy
