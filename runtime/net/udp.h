// SPDX-License-Identifier: Apache-2.0
// Datagram sockets for a server: where each packet came from and to which address of ours, many packets with
// one system call.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "net/address.h"

namespace moongate::net {

/// Opens a bound, non-blocking datagram socket with SO_REUSEPORT, so that every worker can have its own.
/// `address` gets the port that the system chose for port 0. The error names the address.
base::Result<int> open_datagram_socket(SocketAddress* address);

/// Sends every packet that comes to the address of `fd` to one of the `count` sockets that were bound to it,
/// in the order in which they were: by the first byte of the QUIC connection ID it is for, modulo `count`. So
/// a connection stays with its worker when the client's address changes.
base::Result<void> steer_by_connection_id(int fd, uint32_t count);

/// What can be received in one packet, more than any path carries; longer ones are dropped.
inline constexpr size_t kDatagramMaxBytes = 2048;

/// One packet that came.
struct Datagram {
  SocketAddress peer;
  SocketAddress local;       // the address of ours it came to
  uint8_t congestion = 0;    // its ECN bits
  std::string_view payload;  // dies with the call
};

/// Reads what has come, at most `batches_max` times 16 packets.
void read_datagrams(int fd, const SocketAddress& bound, int batches_max,
                    const std::function<void(const Datagram&)>& take);

/// Sends `payload` as packets of `segment` bytes (the last may be shorter) from `local` to `peer`. False when
/// the socket took nothing: the packets are lost, as packets may be.
bool send_datagrams(int fd, const SocketAddress& local, const SocketAddress& peer, uint8_t congestion,
                    std::string_view payload, size_t segment);

}  // namespace moongate::net
