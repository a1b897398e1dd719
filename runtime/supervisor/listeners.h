// SPDX-License-Identifier: Apache-2.0
// Every listening socket of the instance. They belong to the supervisor, so that the death of a worker loses
// no connection: what waits in the dead worker's queue is accepted by its replacement.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/settings.h"
#include "net/address.h"
#include "snapshot/descriptor.h"
#include "worker/start.h"

namespace moongate::supervisor {

/// The sockets on which clients connect.
///
/// Shape:   for each TCP address one SO_REUSEPORT socket per worker, and where HTTP/3 is spoken one for
/// datagrams;
///          for each unix socket one for all.
/// Owner:   the supervisor; each worker takes its own after the fork and the rest is closed there.
class Listeners {
 public:
  /// Fails with the address when something else listens there.
  static base::Result<Listeners> open(const std::vector<config::ListenSettings>& settings,
                                      uint32_t worker_count);

  /// In the child: moves the sockets of worker `index` out; they are the child's to close.
  std::vector<worker::ListenSocket> take(uint32_t index);
  /// Closes everything that is left.
  void close();
  /// Removes the files of unix sockets.
  void remove_files() const;
  /// Where clients connect, with real ports.
  std::vector<std::string> addresses() const;

 private:
  struct Place {
    config::ListenSettings settings;
    std::vector<snapshot::Descriptor> sockets;           // by worker, or one
    std::vector<snapshot::Descriptor> datagram_sockets;  // by worker, where HTTP/3 is spoken
  };
  static base::Result<void> open_datagrams(Place* place, net::SocketAddress address, uint32_t worker_count);
  base::Result<void> open_place(const config::ListenSettings& settings, uint32_t worker_count);
  std::vector<Place> places_;
  std::array<uint8_t, 32> quic_secret_{};
};

/// One socket for control: a page or the command socket. The address it was bound to replaces `*address`.
base::Result<snapshot::Descriptor> open_page_socket(std::string* address);

}  // namespace moongate::supervisor
