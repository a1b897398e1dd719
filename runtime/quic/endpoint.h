// SPDX-License-Identifier: Apache-2.0
// One worker's datagram socket: packets go to the connection whose ID they carry, strangers are looked at.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/event_loop.h"
#include "net/udp.h"
#include "quic/connection.h"
#include "shm/keyed_hash.h"

namespace moongate::quic {

using Secret = std::array<uint8_t, 32>;

/// Shape:   connections by each ID they may be addressed with; the first byte of ours leads to this worker.
/// Owner:   the worker; ends all connections with itself.
/// Runs in: one worker's loop.
/// Fails:   packets that are nobody's are answered as RFC 9000 has it, or dropped; never more bytes than
/// came.
class Endpoint {
 public:
  struct Options {
    uint32_t worker = 0;
    uint32_t worker_count = 1;
    Secret secret{};  // of all workers, for tokens that another one, or the next, may have to check
  };
  /// What the endpoint wants to know when somebody new comes.
  class Owner {
   public:
    virtual ConnectionOptions connection_options() = 0;
    virtual std::shared_ptr<const tls::ServerNames> server_names() = 0;
    virtual std::unique_ptr<ConnectionHandler> welcome(Connection& connection) = 0;

   protected:
    ~Owner() = default;
  };
  static constexpr size_t kIdBytes = 12;

  /// `fd` is bound to `address` and stays the caller's.
  Endpoint(net::EventLoop& loop, int fd, const net::SocketAddress& address, const Options& options,
           Owner& owner);
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  void start();
  /// New connections are refused; those that are end when their requests have been answered.
  void drain();

  // For connections.
  net::EventLoop& loop() { return loop_; }
  /// For tokens that end a connection: another for each address, since one listener does not know the
  /// connections of the others.
  const Secret& reset_secret() const { return reset_secret_; }
  void make_id(ngtcp2_cid* id, size_t size);
  void claim(const ngtcp2_cid& id, Connection* connection);
  void release(const ngtcp2_cid& id, const Connection& connection);
  void send(const net::SocketAddress& local, const net::SocketAddress& peer, uint8_t congestion,
            std::string_view packets, size_t segment);
  /// The network that a client is taken to be of: an address of IPv4, 64 bits of IPv6.
  static std::string source_of(const net::SocketAddress& peer);
  void note_handshake_over(const std::string& source);
  /// The connection is deleted at the end of the turn.
  void bury(Connection* connection);

 private:
  static void on_readable(void* self, net::Readiness ready);
  static void on_burial(void* self);
  void take(const net::Datagram& datagram);
  void welcome(const net::Datagram& datagram);
  bool has_room_for(const std::string& source) const;
  bool check_token(const ngtcp2_pkt_hd& head, const net::Datagram& datagram, ngtcp2_cid* first_id,
                   bool* is_proven);
  /// `size`: of the packet, or the library's code for why there is none.
  void answer(const net::Datagram& datagram, const char* packet, ngtcp2_ssize size);
  void send_retry(const ngtcp2_pkt_hd& head, const net::Datagram& datagram);
  void send_refusal(const ngtcp2_pkt_hd& head, const net::Datagram& datagram, uint64_t code);
  void send_versions(const ngtcp2_version_cid& ids, const net::Datagram& datagram);
  void send_reset(const net::Datagram& datagram, const ngtcp2_cid& id);
  std::string key_of(const uint8_t* id, size_t size) const {
    return {reinterpret_cast<const char*>(id), size};
  }

  struct Hash {
    shm::HashSeed seed;
    size_t operator()(const std::string& key) const { return shm::keyed_hash(seed, key); }
  };

  net::EventLoop& loop_;
  int fd_;
  net::SocketAddress address_;
  Options options_;
  Owner& owner_;
  net::FdWatch watch_;
  net::Deferred burial_;
  std::unordered_map<std::string, Connection*, Hash> by_id_;
  Connection* connections_ = nullptr;
  std::vector<std::unique_ptr<Connection>> dead_;
  uint32_t handshakes_ = 0;                                               // under way
  std::unordered_map<std::string, uint32_t, Hash> handshakes_by_source_;  // of those that have proven it
  Secret reset_secret_;
  bool is_refusing_ = false;
};

}  // namespace moongate::quic
