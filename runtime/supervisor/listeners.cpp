// SPDX-License-Identifier: Apache-2.0
#include "supervisor/listeners.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/random.h"
#include "net/listener.h"
#include "net/udp.h"

namespace moongate::supervisor {

using base::Result;
using snapshot::Descriptor;

namespace {

constexpr int kBacklog = 4096;  // the kernel takes net.core.somaxconn when that is less
constexpr std::string_view kUnixMark = "unix:";

/// SO_REUSEPORT would let two instances of one user share a port and take turns in answering. A socket
/// without it finds out whether anybody is there.
Result<void> check_free(const net::SocketAddress& address, int type) {
  if (address.family() == AF_UNIX || address.port() == 0) return {};
  const Descriptor probe(::socket(address.family(), type | SOCK_CLOEXEC, 0));
  if (!probe.is_open()) return base::io_error("cannot listen on " + address.text());
  const int on = 1;
  if (type == SOCK_STREAM) ::setsockopt(probe.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.family() == AF_INET6) ::setsockopt(probe.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(probe.get(), address.raw(), address.size) != 0)
    return base::io_error("cannot listen on " + address.text());
  return {};
}

Result<Descriptor> open_socket(net::SocketAddress* address) {
  Result<int> fd = net::open_listening_socket(*address, kBacklog);
  if (!fd) return fd.error();
  Descriptor socket(*fd);
  address->size = sizeof address->storage;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address->storage), &address->size) != 0) {
    return base::io_error("the address of a listening socket");
  }
  return socket;
}

}  // namespace

Result<Listeners> Listeners::open(const std::vector<config::ListenSettings>& settings,
                                  uint32_t worker_count) {
  Listeners listeners;
  MG_ASSERT(base::fill_random(reinterpret_cast<char*>(listeners.quic_secret_.data()),
                              listeners.quic_secret_.size()));
  for (const config::ListenSettings& one : settings) {
    if (auto opened = listeners.open_place(one, worker_count); !opened) {
      listeners.close();
      return opened.error();
    }
  }
  return listeners;
}

Result<void> Listeners::open_place(const config::ListenSettings& settings, uint32_t worker_count) {
  Result<net::SocketAddress> address = net::parse_listen_address(settings.address);
  if (!address) return address.error();
  if (auto free = check_free(*address, SOCK_STREAM); !free) return free;
  Place place{settings, {}, {}};
  const uint32_t count = address->family() == AF_UNIX ? 1 : worker_count;
  for (uint32_t i = 0; i < count; i++) {
    Result<Descriptor> socket = open_socket(&*address);
    if (!socket) return socket.error();
    place.sockets.push_back(socket.take());
    place.settings.address = address->text();
  }
  if (settings.http3) {
    if (auto opened = open_datagrams(&place, *address, worker_count); !opened) return opened;
  }
  places_.push_back(std::move(place));
  return {};
}

/// On the port that TCP has. Packets find their worker by connection IDs, so the order of the sockets is that
/// of the workers, and the sockets outlive them.
Result<void> Listeners::open_datagrams(Place* place, net::SocketAddress address, uint32_t worker_count) {
  if (auto free = check_free(address, SOCK_DGRAM); !free) return free;
  for (uint32_t i = 0; i < worker_count; i++) {
    Result<int> fd = net::open_datagram_socket(&address);
    if (!fd) return fd.error();
    place->datagram_sockets.emplace_back(*fd);
  }
  return net::steer_by_connection_id(place->datagram_sockets[0].get(), worker_count);
}

std::vector<worker::ListenSocket> Listeners::take(uint32_t index) {
  std::vector<worker::ListenSocket> taken;
  for (Place& place : places_) {
    const size_t at = place.sockets.size() == 1 ? 0 : index;
    worker::ListenSocket socket{place.sockets[at].release(), place.settings, -1, quic_secret_};
    if (!place.datagram_sockets.empty()) socket.datagram_fd = place.datagram_sockets[index].release();
    taken.push_back(std::move(socket));
  }
  return taken;
}

void Listeners::close() {
  for (Place& place : places_) {
    place.sockets.clear();
    place.datagram_sockets.clear();
  }
}

void Listeners::remove_files() const {
  for (const Place& place : places_) {
    const std::string& address = place.settings.address;
    if (address.rfind(kUnixMark, 0) == 0) ::unlink(address.c_str() + kUnixMark.size());
  }
}

std::vector<std::string> Listeners::addresses() const {
  std::vector<std::string> texts;
  for (const Place& place : places_) texts.push_back(place.settings.address);
  return texts;
}

Result<Descriptor> open_page_socket(std::string* address) {
  Result<net::SocketAddress> parsed = net::parse_listen_address(*address);
  if (!parsed) return parsed.error();
  if (auto free = check_free(*parsed, SOCK_STREAM); !free) return free.error();
  Result<Descriptor> socket = open_socket(&*parsed);
  if (socket) *address = parsed->text();
  return socket;
}

}  // namespace moongate::supervisor
