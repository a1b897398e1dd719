// SPDX-License-Identifier: Apache-2.0
#include "quic/endpoint.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/random.h"
#include "tls/digest.h"

namespace moongate::quic {

namespace {

constexpr int kBatchesPerTurn = 8;
// So many may be asking for a connection before each has to prove that its address is its own.
constexpr uint32_t kUnprovenHandshakesMax = 256;
constexpr uint32_t kHandshakesMax = 4096;
constexpr uint32_t kHandshakesOfSourceMax = 64;  // once there are so many that it matters
constexpr uint64_t kRetryTokenLifetime = uint64_t{10} * NGTCP2_SECONDS;

const uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

Secret make_reset_secret(const Secret& secret, const net::SocketAddress& address) {
  char digest[tls::kDigestMaxBytes];
  const std::string_view key(reinterpret_cast<const char*>(secret.data()), secret.size());
  MG_ASSERT(tls::hmac("sha256", key, address.text(), digest) == Secret{}.size());
  Secret made;
  std::memcpy(made.data(), digest, made.size());
  return made;
}

uint8_t random_byte() {
  uint8_t byte = 0;
  MG_ASSERT(base::cut_random(reinterpret_cast<char*>(&byte), 1));
  return byte;
}

}  // namespace

Endpoint::Endpoint(net::EventLoop& loop, int fd, const net::SocketAddress& address, const Options& options,
                   Owner& owner)
    : loop_(loop),
      fd_(fd),
      address_(address),
      options_(options),
      owner_(owner),
      burial_(on_burial, this),
      by_id_(0, Hash{shm::make_hash_seed()}),
      handshakes_by_source_(0, Hash{shm::make_hash_seed()}),
      reset_secret_(make_reset_secret(options.secret, address)) {}

Endpoint::~Endpoint() {
  watch_.stop();
  while (connections_) {
    Connection* connection = connections_;
    connection->close(Http3Code::kNoError);
    bury(connection);
  }
  burial_.cancel();
  dead_.clear();
}

void Endpoint::start() { watch_.start(loop_, fd_, net::FdWatch::Interest::kRead, on_readable, this); }

void Endpoint::on_readable(void* self, net::Readiness) {
  auto* endpoint = static_cast<Endpoint*>(self);
  net::read_datagrams(endpoint->fd_, endpoint->address_, kBatchesPerTurn,
                      [endpoint](const net::Datagram& datagram) { endpoint->take(datagram); });
}

void Endpoint::send(const net::SocketAddress& local, const net::SocketAddress& peer, uint8_t congestion,
                    std::string_view packets, size_t segment) {
  static_cast<void>(
      net::send_datagrams(fd_, local, peer, congestion, packets, segment));  // else they are lost
}

void Endpoint::drain() {
  is_refusing_ = true;
  for (Connection* connection = connections_; connection; connection = connection->next) {
    if (connection->handler()) connection->handler()->drain();
  }
}

// --- connections

void Endpoint::make_id(ngtcp2_cid* id, size_t size) {
  MG_ASSERT(base::cut_random(reinterpret_cast<char*>(id->data), size));
  id->datalen = size;
  // The kernel looks at the first byte, modulo the number of workers (net::steer_by_connection_id).
  const uint32_t rounds = (255 - options_.worker) / options_.worker_count + 1;
  id->data[0] = static_cast<uint8_t>(options_.worker + options_.worker_count * (id->data[0] % rounds));
}

void Endpoint::claim(const ngtcp2_cid& id, Connection* connection) {
  by_id_[key_of(id.data, id.datalen)] = connection;
}
void Endpoint::release(const ngtcp2_cid& id, const Connection& connection) {
  const auto found = by_id_.find(key_of(id.data, id.datalen));
  if (found != by_id_.end() && found->second == &connection) by_id_.erase(found);
}

void Endpoint::bury(Connection* connection) {
  *connection->place = connection->next;
  if (connection->next) connection->next->place = connection->place;
  dead_.emplace_back(connection);
  burial_.schedule(loop_);
}

void Endpoint::on_burial(void* self) { static_cast<Endpoint*>(self)->dead_.clear(); }

// --- packets

void Endpoint::take(const net::Datagram& datagram) {
  ngtcp2_version_cid ids;
  const int code =
      ngtcp2_pkt_decode_version_cid(&ids, bytes_of(datagram.payload), datagram.payload.size(), kIdBytes);
  if (code == NGTCP2_ERR_VERSION_NEGOTIATION) return send_versions(ids, datagram);
  if (code != 0) return;
  if (ids.version != 0 && ids.version != NGTCP2_PROTO_VER_V1) return send_versions(ids, datagram);  // drafts
  const auto found = by_id_.find(key_of(ids.dcid, ids.dcidlen));
  if (found != by_id_.end()) return found->second->receive(datagram);
  if (ids.version != 0) return welcome(datagram);
  ngtcp2_cid id;
  ngtcp2_cid_init(&id, ids.dcid, ids.dcidlen);
  send_reset(datagram, id);
}

void Endpoint::welcome(const net::Datagram& datagram) {
  ngtcp2_pkt_hd head;
  if (ngtcp2_accept(&head, bytes_of(datagram.payload), datagram.payload.size()) != 0) return;
  if (is_refusing_ || handshakes_ >= kHandshakesMax)
    return send_refusal(head, datagram, NGTCP2_CONNECTION_REFUSED);
  ngtcp2_cid first_id{};
  bool is_proven = false;
  if (!check_token(head, datagram, &first_id, &is_proven))
    return send_refusal(head, datagram, NGTCP2_INVALID_TOKEN);
  if (!is_proven && head.dcid.datalen < NGTCP2_MIN_INITIAL_DCIDLEN) return;
  if (!is_proven && handshakes_ >= kUnprovenHandshakesMax) return send_retry(head, datagram);
  const std::string source = is_proven ? source_of(datagram.peer) : std::string();
  if (!has_room_for(source)) return send_refusal(head, datagram, NGTCP2_CONNECTION_REFUSED);
  handshakes_++;
  if (is_proven) handshakes_by_source_[source]++;
  Connection* connection =
      Connection::accept(*this, {head, is_proven ? &first_id : nullptr, datagram.local, datagram.peer},
                         owner_.connection_options(), owner_.server_names());
  if (connection == nullptr) return;
  connection->next = connections_;
  connection->place = &connections_;
  if (connections_) connections_->place = &connection->next;
  connections_ = connection;
  connection->set_handler(owner_.welcome(*connection));
  connection->receive(datagram);
  if (connection->is_retry_wanted() && !is_proven) send_retry(head, datagram);
}

std::string Endpoint::source_of(const net::SocketAddress& peer) {
  constexpr size_t kNetworkBytes = 8;
  if (peer.family() == AF_INET6) {
    const auto& address = reinterpret_cast<const sockaddr_in6&>(peer.storage).sin6_addr;
    return {reinterpret_cast<const char*>(&address), kNetworkBytes};
  }
  const auto& address = reinterpret_cast<const sockaddr_in&>(peer.storage).sin_addr;
  return {reinterpret_cast<const char*>(&address), sizeof address};
}

bool Endpoint::has_room_for(const std::string& source) const {
  if (source.empty() || handshakes_ < kUnprovenHandshakesMax) return true;
  const auto found = handshakes_by_source_.find(source);
  return found == handshakes_by_source_.end() || found->second < kHandshakesOfSourceMax;
}

void Endpoint::note_handshake_over(const std::string& source) {
  handshakes_--;
  const auto found = handshakes_by_source_.find(source);
  if (found != handshakes_by_source_.end() && --found->second == 0) handshakes_by_source_.erase(found);
}

/// `is_proven`: the client has shown that it gets what is sent to its address. False: it shows a token that
/// is wrong.
bool Endpoint::check_token(const ngtcp2_pkt_hd& head, const net::Datagram& datagram, ngtcp2_cid* first_id,
                           bool* is_proven) {
  *is_proven = false;
  if (head.token.len == 0 || head.token.base[0] != NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY) return true;
  *is_proven =
      ngtcp2_crypto_verify_retry_token(first_id, head.token.base, head.token.len, options_.secret.data(),
                                       options_.secret.size(), head.version, datagram.peer.raw(),
                                       datagram.peer.size, &head.dcid, kRetryTokenLifetime, now()) == 0;
  return *is_proven;
}

void Endpoint::answer(const net::Datagram& datagram, const char* packet, ngtcp2_ssize size) {
  if (size <= 0) return;
  const std::string_view bytes(packet, static_cast<size_t>(size));
  send(datagram.local, datagram.peer, 0, bytes, bytes.size());
}

void Endpoint::send_retry(const ngtcp2_pkt_hd& head, const net::Datagram& datagram) {
  ngtcp2_cid own;
  make_id(&own, kIdBytes);
  uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN];
  const ngtcp2_ssize token_size =
      ngtcp2_crypto_generate_retry_token(token, options_.secret.data(), options_.secret.size(), head.version,
                                         datagram.peer.raw(), datagram.peer.size, &own, &head.dcid, now());
  if (token_size < 0) return;
  char packet[512];
  const ngtcp2_ssize size =
      ngtcp2_crypto_write_retry(reinterpret_cast<uint8_t*>(packet), sizeof packet, head.version, &head.scid,
                                &own, &head.dcid, token, static_cast<size_t>(token_size));
  answer(datagram, packet, size);
}

void Endpoint::send_refusal(const ngtcp2_pkt_hd& head, const net::Datagram& datagram, uint64_t code) {
  char packet[512];
  const ngtcp2_ssize size =
      ngtcp2_crypto_write_connection_close(reinterpret_cast<uint8_t*>(packet), sizeof packet, head.version,
                                           &head.scid, &head.dcid, code, nullptr, 0);
  answer(datagram, packet, size);
}

void Endpoint::send_versions(const ngtcp2_version_cid& ids, const net::Datagram& datagram) {
  constexpr size_t kInitialMinBytes = 1200;  // who sends less would get more than it sent
  if (datagram.payload.size() < kInitialMinBytes) return;
  const uint32_t versions[] = {NGTCP2_PROTO_VER_V1};
  char packet[600];
  const ngtcp2_ssize size =
      ngtcp2_pkt_write_version_negotiation(reinterpret_cast<uint8_t*>(packet), sizeof packet, random_byte(),
                                           ids.scid, ids.scidlen, ids.dcid, ids.dcidlen, versions, 1);
  answer(datagram, packet, size);
}

// Whoever goes on with a connection that is lost learns of it; shorter than what came, so that two who know
// nothing of each other cannot go on with that for ever.
void Endpoint::send_reset(const net::Datagram& datagram, const ngtcp2_cid& id) {
  constexpr size_t kRandomMaxBytes = 64;
  constexpr size_t kAround = NGTCP2_STATELESS_RESET_TOKENLEN + NGTCP2_MIN_STATELESS_RESET_RANDLEN;
  if (datagram.payload.size() <= kAround) return;
  uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN];
  if (ngtcp2_crypto_generate_stateless_reset_token(token, reset_secret_.data(), reset_secret_.size(), &id) !=
      0)
    return;
  const size_t random_size =
      std::min(kRandomMaxBytes, NGTCP2_MIN_STATELESS_RESET_RANDLEN + (datagram.payload.size() - kAround - 1));
  uint8_t random[kRandomMaxBytes];
  if (!base::cut_random(reinterpret_cast<char*>(random), random_size)) return;
  char packet[kRandomMaxBytes + NGTCP2_STATELESS_RESET_TOKENLEN];
  const ngtcp2_ssize size = ngtcp2_pkt_write_stateless_reset(reinterpret_cast<uint8_t*>(packet),
                                                             sizeof packet, token, random, random_size);
  answer(datagram, packet, size);
}

}  // namespace moongate::quic
