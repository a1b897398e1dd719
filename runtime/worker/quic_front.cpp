// SPDX-License-Identifier: Apache-2.0
#include "worker/quic_front.h"

#if MOONGATE_HTTP3

#include "base/log.h"
#include "proxy/http3_connection.h"
#include "quic/endpoint.h"

namespace moongate::worker {

struct QuicFront::Parts final : public quic::Endpoint::Owner {
  Parts(proxy::Context& owner_context, shm::ProcessSlot& owner_slot)
      : context(owner_context), slot(owner_slot) {}

  quic::ConnectionOptions connection_options() override { return proxy::make_quic_options(context.client); }
  std::shared_ptr<const tls::ServerNames> server_names() override {
    return context.snapshot ? context.snapshot->server_names : nullptr;
  }
  std::unique_ptr<quic::ConnectionHandler> welcome(quic::Connection& connection) override {
    slot.accepted_count.fetch_add(1, std::memory_order_relaxed);
    slot.handled_count.fetch_add(1, std::memory_order_relaxed);
    return std::make_unique<proxy::Http3Connection>(context, connection);
  }

  proxy::Context& context;
  shm::ProcessSlot& slot;
  std::vector<std::unique_ptr<quic::Endpoint>> endpoints;
};

QuicFront::QuicFront(proxy::Context& context, shm::ProcessSlot& slot)
    : parts_(std::make_unique<Parts>(context, slot)) {}
QuicFront::~QuicFront() = default;

uint16_t QuicFront::open(const ListenSocket& socket, uint32_t worker, uint32_t worker_count) {
  auto address = net::parse_listen_address(socket.settings.address);
  if (!address) {
    MG_LOG(kError) << "HTTP/3 is not served: " << address.error().detail;
    return 0;
  }
  const quic::Endpoint::Options options{worker, worker_count, socket.quic_secret};
  auto endpoint =
      std::make_unique<quic::Endpoint>(parts_->context.loop, socket.datagram_fd, *address, options, *parts_);
  endpoint->start();
  parts_->endpoints.push_back(std::move(endpoint));
  return address->port();
}

void QuicFront::drain() {
  for (const auto& endpoint : parts_->endpoints) endpoint->drain();
}

}  // namespace moongate::worker

#else

// A build without HTTP/3: the configuration refuses to ask for it.
namespace moongate::worker {

struct QuicFront::Parts {};
QuicFront::QuicFront(proxy::Context&, shm::ProcessSlot&) {}
QuicFront::~QuicFront() = default;
uint16_t QuicFront::open(const ListenSocket&, uint32_t, uint32_t) { return 0; }
void QuicFront::drain() {}

}  // namespace moongate::worker

#endif
