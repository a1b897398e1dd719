// SPDX-License-Identifier: Apache-2.0
#include "proxy/context.h"

#include "proxy/connection.h"
#include "proxy/forward.h"
#include "proxy/tunnel.h"

namespace moongate::proxy {

Context::Context(net::EventLoop& event_loop, upstream::Pool& upstream_pool)
    : loop(event_loop),
      pool(upstream_pool),
      free_closed([](void* self) { static_cast<Context*>(self)->closed.clear(); }, this) {}

Context::~Context() {
  while (connections) connections->end();
  closed.clear();
}

}  // namespace moongate::proxy
