// SPDX-License-Identifier: Apache-2.0
#include "quic/connection.h"

#include <nghttp3/nghttp3.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "base/random.h"
#include "quic/endpoint.h"

namespace moongate::quic {

using base::Clock;

namespace {

// What every path carries. The library would look for more, and has an assertion that a client can reach by
// changing its address meanwhile.
constexpr size_t kPacketMaxBytes = 1200;
constexpr size_t kPacketsPerSend = 32;
constexpr uint64_t kOwnStreamsMax = 3;  // control, and two for tables of fields
constexpr uint64_t kIdsMax = 7;

net::SocketAddress to_address(const ngtcp2_addr& from) {
  net::SocketAddress address;
  std::memcpy(&address.storage, from.addr, from.addrlen);
  address.size = from.addrlen;
  return address;
}

ngtcp2_addr to_addr(const net::SocketAddress& address) {
  return {const_cast<sockaddr*>(address.raw()), address.size};
}

}  // namespace

/// What the library calls; `self` is the connection. Nonzero ends it.
struct Connection::Callbacks {
  static Connection& of(void* self) { return *static_cast<Connection*>(self); }
  static int judge(bool is_fine) { return is_fine ? 0 : NGTCP2_ERR_CALLBACK_FAILURE; }

  static int on_key(ngtcp2_conn*, ngtcp2_crypto_level level, void* self) {
    return judge(level != NGTCP2_CRYPTO_LEVEL_APPLICATION || of(self).start_http3());
  }
  static int on_handshake_done(ngtcp2_conn*, void* self) {
    Connection& connection = of(self);
    connection.endpoint_.note_handshake_over(connection.source_);
    connection.is_handshake_over_ = true;
    connection.peer_ = connection.former_peer_ =
        to_address(ngtcp2_conn_get_path(connection.library_)->remote);
    connection.handler_->on_ready();
    return judge(connection.handshake_->send_ticket());
  }
  static int on_stream_begun(ngtcp2_conn*, int64_t stream, void* self) {
    Connection& connection = of(self);
    if (connection.http3_ == nullptr) return NGTCP2_ERR_CALLBACK_FAILURE;
    if (ngtcp2_is_bidi_stream(stream) == 0) return 0;
    if (!connection.http3_->note_begun(stream)) return NGTCP2_ERR_CALLBACK_FAILURE;
    if (!connection.heads_timer_.is_running())
      connection.heads_timer_.start(connection.endpoint_.loop().timers(), connection.options_.head_timeout);
    return 0;
  }
  static int on_stream_data(ngtcp2_conn*, uint32_t flags, int64_t stream, uint64_t, const uint8_t* data,
                            size_t size, void* self, void*) {
    if (of(self).http3_ == nullptr) return NGTCP2_ERR_CALLBACK_FAILURE;
    return judge(of(self).http3_->receive(stream, {reinterpret_cast<const char*>(data), size},
                                          (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0));
  }
  static int on_acknowledged(ngtcp2_conn*, int64_t stream, uint64_t, uint64_t size, void* self, void*) {
    return judge(of(self).http3_->note_acknowledged(stream, size));
  }
  // What code it had is the client's word; what became of the request is known without.
  static int on_stream_closed(ngtcp2_conn* library, uint32_t, int64_t stream, uint64_t, void* self, void*) {
    const bool is_fine = of(self).http3_->note_closed(stream);
    if (ngtcp2_is_bidi_stream(stream) != 0) ngtcp2_conn_extend_max_streams_bidi(library, 1);
    return judge(is_fine);
  }
  static int on_stream_reset(ngtcp2_conn*, int64_t stream, uint64_t, uint64_t, void* self, void*) {
    return judge(of(self).http3_->note_cancelled(stream));
  }
  static int on_streams_allowed(ngtcp2_conn*, uint64_t count, void* self) {
    if (of(self).http3_) of(self).http3_->set_streams_max(count);
    return 0;
  }
  // Packets may come with any sender's address: one is believed when what was sent to it has been answered.
  static int on_path_checked(ngtcp2_conn* library, uint32_t, const ngtcp2_path* path,
                             ngtcp2_path_validation_result result, void* self) {
    Connection& connection = of(self);
    const bool is_present = ngtcp2_path_eq(path, ngtcp2_conn_get_path(library)) != 0;
    const net::SocketAddress peer = to_address(path->remote);
    if (result != NGTCP2_PATH_VALIDATION_RESULT_SUCCESS || !is_present || peer == connection.peer_) return 0;
    connection.former_peer_ = std::exchange(connection.peer_, peer);
    return 0;
  }
  static int on_window(ngtcp2_conn*, int64_t stream, uint64_t, void* self, void*) {
    of(self).http3_->note_unblocked(stream);
    return 0;
  }
  static void fill_random(uint8_t* out, size_t size, const ngtcp2_rand_ctx*) {
    MG_ASSERT(base::fill_random(reinterpret_cast<char*>(out), size));
  }
  static int make_id(ngtcp2_conn*, ngtcp2_cid* id, uint8_t* token, size_t size, void* self) {
    Connection& connection = of(self);
    connection.endpoint_.make_id(id, size);
    connection.endpoint_.claim(*id, &connection);
    const Secret& secret = connection.endpoint_.reset_secret();
    return judge(ngtcp2_crypto_generate_stateless_reset_token(token, secret.data(), secret.size(), id) == 0);
  }
  static int drop_id(ngtcp2_conn*, const ngtcp2_cid* id, void* self) {
    of(self).endpoint_.release(*id, of(self));
    return 0;
  }

  static ngtcp2_callbacks make() {
    ngtcp2_callbacks callbacks{};
    callbacks.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
    callbacks.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb;
    callbacks.encrypt = ngtcp2_crypto_encrypt_cb;
    callbacks.decrypt = ngtcp2_crypto_decrypt_cb;
    callbacks.hp_mask = ngtcp2_crypto_hp_mask_cb;
    callbacks.update_key = ngtcp2_crypto_update_key_cb;
    callbacks.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb;
    callbacks.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb;
    callbacks.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb;
    callbacks.version_negotiation = ngtcp2_crypto_version_negotiation_cb;
    callbacks.handshake_completed = on_handshake_done;
    callbacks.recv_tx_key = on_key;
    callbacks.stream_open = on_stream_begun;
    callbacks.recv_stream_data = on_stream_data;
    callbacks.acked_stream_data_offset = on_acknowledged;
    callbacks.stream_close = on_stream_closed;
    callbacks.stream_reset = on_stream_reset;
    callbacks.extend_max_remote_streams_bidi = on_streams_allowed;
    callbacks.path_validation = on_path_checked;
    callbacks.extend_max_stream_data = on_window;
    callbacks.rand = fill_random;
    callbacks.get_new_connection_id = make_id;
    callbacks.remove_connection_id = drop_id;
    return callbacks;
  }
};

Connection::Connection(Endpoint& endpoint, const ConnectionOptions& options)
    : endpoint_(endpoint),
      options_(options),
      flush_(on_flush, this),
      expiry_(on_expiry, this),
      heads_timer_(on_slow_heads, this),
      closing_timer_(on_closing_over, this) {}

Connection::~Connection() {
  handler_.reset();
  if (library_ != nullptr) {
    std::vector<ngtcp2_cid> ids(ngtcp2_conn_get_num_scid(library_));
    if (!ids.empty()) ngtcp2_conn_get_scid(library_, ids.data());
    for (const ngtcp2_cid& id : ids) endpoint_.release(id, *this);
    endpoint_.release(first_id_, *this);
  }
  if (!is_handshake_over_) endpoint_.note_handshake_over(source_);
  http3_.reset();
  ngtcp2_conn_del(library_);
}

Connection* Connection::accept(Endpoint& endpoint, const Origin& origin, const ConnectionOptions& options,
                               std::shared_ptr<const tls::ServerNames> names) {
  auto* connection = new Connection(endpoint, options);  // in the endpoint's list until it is buried
  if (connection->begin(origin, std::move(names))) return connection;
  delete connection;
  return nullptr;
}

bool Connection::begin(const Origin& origin, std::shared_ptr<const tls::ServerNames> names) {
  static const ngtcp2_callbacks callbacks = Callbacks::make();
  if (origin.first_id != nullptr) source_ = Endpoint::source_of(origin.peer);
  reference_ = {find_library, this};
  handshake_ = tls::QuicHandshake::accept(std::move(names), &reference_);
  if (!handshake_) return false;

  ngtcp2_settings settings;
  ngtcp2_settings_default(&settings);
  settings.initial_ts = now();
  settings.max_tx_udp_payload_size = kPacketMaxBytes;
  settings.handshake_timeout = static_cast<ngtcp2_duration>(options_.handshake_timeout.count());
  settings.max_window = settings.max_stream_window = 0;                // they stay as they are
  if (origin.first_id != nullptr) settings.token = origin.head.token;  // a right one lifts a limit

  ngtcp2_transport_params params;
  ngtcp2_transport_params_default(&params);
  params.initial_max_stream_data_bidi_remote = options_.stream_window_bytes;
  params.initial_max_stream_data_uni = options_.stream_window_bytes;
  params.initial_max_data = options_.connection_window_bytes;
  params.initial_max_streams_bidi = options_.streams_max;
  params.initial_max_streams_uni = kOwnStreamsMax;
  params.max_idle_timeout = static_cast<ngtcp2_duration>(options_.idle_timeout.count());
  params.max_udp_payload_size = net::kDatagramMaxBytes;
  params.active_connection_id_limit = kIdsMax;
  params.original_dcid = origin.first_id != nullptr ? *origin.first_id : origin.head.dcid;
  if (origin.first_id != nullptr) {
    params.retry_scid = origin.head.dcid;
    params.retry_scid_present = 1;
  }
  ngtcp2_cid own;
  endpoint_.make_id(&own, Endpoint::kIdBytes);
  const Secret& secret = endpoint_.reset_secret();
  params.stateless_reset_token_present = 1;
  if (ngtcp2_crypto_generate_stateless_reset_token(params.stateless_reset_token, secret.data(), secret.size(),
                                                   &own) != 0)
    return false;

  const ngtcp2_path path{to_addr(origin.local), to_addr(origin.peer), nullptr};
  if (ngtcp2_conn_server_new(&library_, &origin.head.scid, &own, &path, origin.head.version, &callbacks,
                             &settings, &params, nullptr, this) != 0)
    return false;
  ngtcp2_conn_set_tls_native_handle(library_, handshake_->library());
  endpoint_.claim(own, this);
  first_id_ = origin.head.dcid;
  endpoint_.claim(first_id_, this);
  return true;
}

void Connection::set_handler(std::unique_ptr<ConnectionHandler> handler) { handler_ = std::move(handler); }

ngtcp2_conn* Connection::find_library(ngtcp2_crypto_conn_ref* reference) {
  return static_cast<Connection*>(reference->user_data)->library_;
}

net::SocketAddress Connection::peer_address() const {
  const net::SocketAddress present = to_address(ngtcp2_conn_get_path(library_)->remote);
  return !is_handshake_over_ || present == former_peer_ ? present : peer_;
}
void Connection::keep_alive(bool is_wanted) {
  constexpr ngtcp2_duration kNever = 0;
  const auto half = static_cast<ngtcp2_duration>(options_.idle_timeout.count()) / 2;
  ngtcp2_conn_set_keep_alive_timeout(library_, is_wanted ? half : kNever);
}

net::SocketAddress Connection::local_address() const {
  return to_address(ngtcp2_conn_get_path(library_)->local);
}

bool Connection::start_http3() {
  if (http3_) return true;
  http3_.reset(new Http3Session(*this, *handler_, options_.http3));  // a transport to nobody else
  int64_t streams[kOwnStreamsMax];
  for (int64_t& stream : streams) {
    if (ngtcp2_conn_open_uni_stream(library_, &stream, nullptr) != 0)
      return false;  // the client allows too few
  }
  return http3_->start(streams[0], streams[1], streams[2], options_.streams_max);
}

// --- packets in

void Connection::receive(const net::Datagram& datagram) {
  if (is_closed_) {
    // To those who go on the end is said again, more and more seldom.
    unanswered_packets_++;
    const bool is_power = (unanswered_packets_ & (unanswered_packets_ - 1)) == 0;
    if (is_power && !farewell_.empty())
      endpoint_.send(datagram.local, datagram.peer, 0, farewell_, farewell_.size());
    return;
  }
  const ngtcp2_path path{to_addr(datagram.local), to_addr(datagram.peer), nullptr};
  const ngtcp2_pkt_info info{datagram.congestion};
  const int code =
      ngtcp2_conn_read_pkt(library_, &path, &info, reinterpret_cast<const uint8_t*>(datagram.payload.data()),
                           datagram.payload.size(), now());
  if (code != 0) {
    fail_library(code);
    return;
  }
  flush_later();
}

void Connection::flush_later() {
  if (!is_closed_) flush_.schedule(endpoint_.loop());
}

// --- packets out

void Connection::on_flush(void* self) {
  auto* connection = static_cast<Connection*>(self);
  if (connection->is_closed_ || !connection->write_packets()) return;
  if (connection->http3_) connection->http3_->tell_ended();
  if (connection->handler_) connection->handler_->on_written();
  if (!connection->is_closed_) connection->schedule();
}

/// One packet, filled from as many streams as fit.
bool Connection::write_next(uint8_t* out, size_t size, ngtcp2_path* path, ngtcp2_pkt_info* info,
                            ngtcp2_ssize* written) {
  for (;;) {
    nghttp3_vec pieces[Http3Session::kPiecesMax];
    Http3Session::Next piece;
    if (http3_ && ngtcp2_conn_get_max_data_left(library_) > 0 && !http3_->find_next(&piece, pieces))
      return fail_http3();
    uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
    if (piece.is_last) flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
    ngtcp2_vec views[Http3Session::kPiecesMax];
    for (size_t i = 0; i < piece.count; i++) views[i] = {pieces[i].base, pieces[i].len};
    ngtcp2_ssize taken = -1;
    *written = ngtcp2_conn_writev_stream(library_, path, info, out, size, &taken, flags, piece.stream, views,
                                         piece.count, now());
    // What did not fit is offered again: the end of a stream counts once all of it has gone.
    const auto is_all = [&] {
      size_t wanted = 0;
      for (size_t i = 0; i < piece.count; i++) wanted += views[i].len;
      return static_cast<size_t>(taken) == wanted;
    };
    if (taken >= 0 && piece.stream >= 0 &&
        !http3_->note_written(piece.stream, static_cast<size_t>(taken), piece.is_last && is_all()))
      return fail_http3();
    if (*written == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
      http3_->note_blocked(piece.stream);
    } else if (*written == NGTCP2_ERR_STREAM_SHUT_WR || *written == NGTCP2_ERR_STREAM_NOT_FOUND) {
      http3_->note_shut(piece.stream);
    } else if (*written < 0 && *written != NGTCP2_ERR_WRITE_MORE) {
      return fail_library(static_cast<int>(*written));
    } else if (*written >= 0) {
      return true;
    }
  }
}

bool Connection::write_packets() {
  static thread_local uint8_t buffer[kPacketsPerSend * kPacketMaxBytes];
  const size_t count_max =
      std::clamp<size_t>(ngtcp2_conn_get_send_quantum(library_) / kPacketMaxBytes, 1, kPacketsPerSend);
  size_t used = 0, segment = 0, count = 0;
  net::SocketAddress local, peer;
  uint8_t congestion = 0;
  const auto send_used = [&](size_t size) {
    if (size > 0) endpoint_.send(local, peer, congestion, {reinterpret_cast<char*>(buffer), size}, segment);
  };
  while (count < count_max) {
    ngtcp2_path_storage path;
    ngtcp2_path_storage_zero(&path);
    ngtcp2_pkt_info info{};
    ngtcp2_ssize written = 0;
    is_writing_ = true;
    const bool is_fine = write_next(buffer + used, kPacketMaxBytes, &path.path, &info, &written);
    is_writing_ = false;
    if (!is_fine) return false;
    const bool is_more = do_later();  // resets, which may be the last words of the connection
    if (written == 0 && is_more) continue;
    if (written == 0) break;
    const auto size = static_cast<size_t>(written);
    const net::SocketAddress to = to_address(path.path.remote), from = to_address(path.path.local);
    const bool is_alike =
        used > 0 && to == peer && from == local && info.ecn == congestion && size <= segment;
    if (used > 0 && !is_alike) {
      send_used(used);
      std::memmove(buffer, buffer + used, size);
      used = 0;
    }
    if (used == 0) {
      segment = size;
      peer = to;
      local = from;
      congestion = static_cast<uint8_t>(info.ecn);
    }
    used += size;
    count++;
    if (size < segment) {  // only the last of those that go together may be shorter
      send_used(used);
      used = 0;
    }
  }
  send_used(used);
  ngtcp2_conn_update_pkt_tx_time(library_, now());
  return true;
}

/// True when there was something.
bool Connection::do_later() {
  if (later_.empty()) return false;
  std::vector<Later> due;
  due.swap(later_);
  for (const Later& one : due) {
    switch (one.kind) {
      case Later::Kind::kCut:
        cut(one.stream, one.value);
        break;
      case Later::Kind::kStopInput:
        stop_input(one.stream, one.value);
        break;
      case Later::Kind::kOpenBoth:
        open_windows(one.stream, one.value);
        break;
      case Later::Kind::kOpenOne:
        open_window(one.value);
        break;
    }
  }
  flush_later();
  return true;
}

void Connection::schedule() {
  const ngtcp2_tstamp at = ngtcp2_conn_get_expiry(library_), present = now();
  if (at == UINT64_MAX) return expiry_.stop();
  const auto delay = static_cast<int64_t>(at > present ? at - present : 0);
  expiry_.start(endpoint_.loop().timers(), base::Duration(delay));
}

void Connection::on_expiry(void* self) {
  auto* connection = static_cast<Connection*>(self);
  if (connection->is_closed_) return;
  const int code = ngtcp2_conn_handle_expiry(connection->library_, now());
  if (code != 0)
    connection->fail_library(code);
  else
    on_flush(self);
}

void Connection::on_slow_heads(void* self) {
  auto* connection = static_cast<Connection*>(self);
  if (connection->is_closed_ || !connection->http3_) return;
  const base::Duration timeout = connection->options_.head_timeout;
  if (connection->http3_->drop_slow_heads(Clock::steady() - timeout + std::chrono::milliseconds(1)))
    connection->heads_timer_.start(connection->endpoint_.loop().timers(), timeout);
  connection->flush_later();
}

// --- the end

bool Connection::fail_library(int code) {
  switch (code) {
    case NGTCP2_ERR_CALLBACK_FAILURE:
      if (http3_ && !http3_->fault().empty()) return fail_http3();
      break;
    case NGTCP2_ERR_RETRY:  // a first message whose beginning has not come: another try has to prove itself
      is_retry_wanted_ = true;
      [[fallthrough]];
    case NGTCP2_ERR_DROP_CONN:
      end();
      closing_timer_.stop();
      endpoint_.bury(this);
      return false;
    case NGTCP2_ERR_DRAINING:  // the client has ended it
    case NGTCP2_ERR_CLOSING:
    case NGTCP2_ERR_IDLE_CLOSE:
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
      end();
      return false;
    default:
      break;
  }
  ngtcp2_connection_close_error error;
  ngtcp2_connection_close_error_default(&error);
  if (code == NGTCP2_ERR_CRYPTO) {
    ngtcp2_connection_close_error_set_transport_error_tls_alert(&error, ngtcp2_conn_get_tls_alert(library_),
                                                                nullptr, 0);
    MG_LOG(kInfo) << "a QUIC handshake with " << peer_address().text() << " for \""
                  << handshake_->server_name() << "\" failed: " << handshake_->describe_failure()
                  << " (alert " << static_cast<int>(ngtcp2_conn_get_tls_alert(library_)) << ")";
  } else {
    ngtcp2_connection_close_error_set_transport_error_liberr(&error, code, nullptr, 0);
    MG_LOG(kInfo) << "QUIC connection with " << peer_address().text() << " ended: " << ngtcp2_strerror(code);
  }
  close_with(error);
  return false;
}

bool Connection::fail_http3() {
  MG_LOG(kInfo) << "HTTP/3 connection from " << peer_address().text() << " ended: " << http3_->fault();
  ngtcp2_connection_close_error error;
  ngtcp2_connection_close_error_default(&error);
  ngtcp2_connection_close_error_set_application_error(&error, http3_->code(), nullptr, 0);
  close_with(error);
  return false;
}

void Connection::close(Http3Code code, std::string_view reason) {
  if (is_closed_) return;
  ngtcp2_connection_close_error error;
  ngtcp2_connection_close_error_default(&error);
  ngtcp2_connection_close_error_set_application_error(
      &error, static_cast<uint64_t>(code), reinterpret_cast<const uint8_t*>(reason.data()), reason.size());
  close_with(error);
}

// The streams may still be told what came of them by whoever closes, so they are left first.
void Connection::close_with(const ngtcp2_connection_close_error& error) {
  if (is_closed_) return;
  char buffer[kPacketMaxBytes];
  ngtcp2_path_storage path;
  ngtcp2_path_storage_zero(&path);
  ngtcp2_pkt_info info{};
  const ngtcp2_ssize size = ngtcp2_conn_write_connection_close(
      library_, &path.path, &info, reinterpret_cast<uint8_t*>(buffer), sizeof buffer, &error, now());
  if (size > 0) {
    farewell_.assign(buffer, static_cast<size_t>(size));
    endpoint_.send(to_address(path.path.local), to_address(path.path.remote), 0, farewell_, farewell_.size());
  }
  end();
}

// Its IDs are kept for a while, so that packets on their way do not seem to be for nobody.
void Connection::end() {
  if (is_closed_) return;
  is_closed_ = true;
  flush_.cancel();
  expiry_.stop();
  heads_timer_.stop();
  if (handler_) handler_->on_over();
  // The client has a say in how long a round trip takes.
  constexpr ngtcp2_duration kClosingMax = 5 * NGTCP2_SECONDS;
  const ngtcp2_duration closing = std::min(3 * ngtcp2_conn_get_pto(library_), kClosingMax);
  closing_timer_.start(endpoint_.loop().timers(), base::Duration(static_cast<int64_t>(closing)));
}

void Connection::on_closing_over(void* self) {
  auto* connection = static_cast<Connection*>(self);
  connection->endpoint_.bury(connection);
}

// --- what HTTP/3 asks for

/// True while nothing may be asked of the library, and this is to be asked when it may.
bool Connection::has_postponed(Later::Kind kind, int64_t stream, uint64_t value) {
  if (is_writing_) later_.push_back({stream, value, kind});
  return is_writing_;
}

void Connection::open_windows(int64_t stream, size_t size) {
  if (has_postponed(Later::Kind::kOpenBoth, stream, size)) return;
  static_cast<void>(ngtcp2_conn_extend_max_stream_offset(library_, stream, size));
  ngtcp2_conn_extend_max_offset(library_, size);
}

void Connection::open_window(size_t size) {
  if (!has_postponed(Later::Kind::kOpenOne, -1, size)) ngtcp2_conn_extend_max_offset(library_, size);
}

void Connection::cut(int64_t stream, uint64_t code) {
  if (has_postponed(Later::Kind::kCut, stream, code)) return;
  static_cast<void>(ngtcp2_conn_shutdown_stream(library_, stream, code));
  flush_later();
}

void Connection::stop_input(int64_t stream, uint64_t code) {
  if (has_postponed(Later::Kind::kStopInput, stream, code)) return;
  static_cast<void>(ngtcp2_conn_shutdown_stream_read(library_, stream, code));
}

}  // namespace moongate::quic
