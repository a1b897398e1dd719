// SPDX-License-Identifier: Apache-2.0
#include "tls/session.h"

#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl_internal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "tls/mbedtls/ciphers.h"
#include "tls/mbedtls/parts.h"

namespace moongate::tls {

using net::IoResult;
using net::IoStatus;

namespace {

constexpr size_t kWriteMaxBytes = 16 * 1024;  // a record's worth: more would be cut into records anyway

struct AlertName {
  int number;
  const char* text;
};

// RFC 5246 7.2.2 and those after it.
constexpr std::array<AlertName, 24> kAlertNames = {{
    {10, "unexpected message"},
    {20, "bad record mac"},
    {22, "record overflow"},
    {40, "handshake failure"},
    {42, "bad certificate"},
    {43, "unsupported certificate"},
    {44, "certificate revoked"},
    {45, "certificate expired"},
    {46, "certificate unknown"},
    {47, "illegal parameter"},
    {48, "unknown ca"},
    {49, "access denied"},
    {50, "decode error"},
    {51, "decrypt error"},
    {70, "protocol version"},
    {71, "insufficient security"},
    {80, "internal error"},
    {86, "inappropriate fallback"},
    {90, "user cancelled"},
    {100, "no renegotiation"},
    {110, "unsupported extension"},
    {112, "unrecognized name"},
    {116, "certificate required"},
    {120, "no application protocol"},
}};

std::string describe_alert(const mbedtls_ssl_context* library) {
  const int number = library->in_msg == nullptr ? 0 : library->in_msg[1];
  const auto* known = std::find_if(kAlertNames.begin(), kAlertNames.end(),
                                   [number](const AlertName& name) { return name.number == number; });
  const std::string text = known == kAlertNames.end() ? "number " + std::to_string(number) : known->text;
  return "the other side sent the alert " + text;
}

/// Empty when the other side just left.
std::string describe(const Session::Parts& parts, int code) {
  if (parts.client) {
    std::string failure = describe_client_failure(parts, code);
    if (!failure.empty()) return failure;
  }
  switch (code) {
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
      return describe_alert(parts.library.get());
    case MBEDTLS_ERR_SSL_CONN_EOF:
      return {};
    case MBEDTLS_ERR_NET_CONN_RESET:
      return parts.client ? std::strerror(errno) : std::string();
    case MBEDTLS_ERR_NET_RECV_FAILED:
      return "the other side sends and sends, and nothing for the user";
    case MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN:
    case MBEDTLS_ERR_SSL_NO_USABLE_CIPHERSUITE:
      return "no cipher suite that both sides know";
    case MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION:
      return "no version that both sides speak; this build has no TLSv1.3";
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
      return "the client showed no certificate";
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
      return "the client's certificate is not trusted";
    default:
      return describe_code(code);
  }
}

/// What the other side is to be told about a fault; nothing when it is gone, or has said itself what is
/// wrong.
std::optional<Alert> alert_for(const mbedtls_ssl_context& library, int code) {
  constexpr size_t kCipherMaxBytes = 16 * 1024 + 24;  // a record's worth, with nonce and tag
  const size_t record_bytes = static_cast<size_t>(library.in_hdr[3]) << 8 | library.in_hdr[4];
  const bool is_key = library.in_msgtype == MBEDTLS_SSL_MSG_HANDSHAKE &&
                      library.in_msg[0] == MBEDTLS_SSL_HS_CLIENT_KEY_EXCHANGE;
  switch (code) {
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
    case MBEDTLS_ERR_SSL_CONN_EOF:
    case MBEDTLS_ERR_NET_CONN_RESET:
    case 0:
      return std::nullopt;
    case MBEDTLS_ERR_SSL_BAD_INPUT_DATA:
    case MBEDTLS_ERR_SSL_INVALID_RECORD:
      return record_bytes > kCipherMaxBytes ? kRecordOverflow : kUnexpectedMessage;
    case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
    case MBEDTLS_ERR_SSL_BAD_HS_CHANGE_CIPHER_SPEC:
    case MBEDTLS_ERR_NET_RECV_FAILED:
      return kUnexpectedMessage;
    case MBEDTLS_ERR_SSL_INVALID_MAC:
      return kBadRecordMac;
    case MBEDTLS_ERR_SSL_BAD_HS_FINISHED:
      return kDecryptError;
    case MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN:
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
      return kHandshakeFailure;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_SSL_INTERNAL_ERROR:
      return kInternalError;
    default:
      if (library.state != MBEDTLS_SSL_CLIENT_KEY_EXCHANGE) return kDecodeError;
      return is_key ? kIllegalParameter : kUnexpectedMessage;
  }
}

// The library says so in some cases only.
void tell_fault(mbedtls_ssl_context* library, int code) {
  const std::optional<Alert> alert = alert_for(*library, code);
  if (!alert || library->out_msgtype == MBEDTLS_SSL_MSG_ALERT) return;
  (void)mbedtls_ssl_send_alert_message(library, MBEDTLS_SSL_ALERT_LEVEL_FATAL, *alert);
}

IoStatus status_of(Session::Parts& parts, int code) {
  // A server's peers may leave without a word, as they may in clear text; a client's answers must be whole.
  const bool is_end = code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ||
                      ((code == 0 || code == MBEDTLS_ERR_SSL_CONN_EOF) && !parts.client);
  if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE) return IoStatus::kBlocked;
  if (is_end) {
    parts.is_over = true;
    return IoStatus::kEof;
  }
  parts.is_broken = true;
  parts.failure = describe(parts, code == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : code);
  tell_fault(parts.library.get(), code);
  return IoStatus::kError;
}

/// The steps that the library can make now: 0 when the handshake is done.
int go_on(Session::Parts& parts) {
  mbedtls_ssl_context* library = parts.library.get();
  while (library->state != MBEDTLS_SSL_HANDSHAKE_OVER) {
    const int code = mbedtls_ssl_handshake_step(library);
    // Nothing that is public tells this, and it is forgotten with the last step.
    if (library->handshake != nullptr) parts.is_resumed = library->handshake->resume != 0;
    if (code != 0) return code;
  }
  return 0;
}

void keep_session(Session::Parts& parts) {
  parts.barren_bytes = 0;
  if (!parts.sessions) return;
  std::string bytes = pack_session(parts.library.get());
  if (!bytes.empty()) parts.sessions->keep(parts.server_name, std::move(bytes));
}

/// How many of the user's bytes have gone, or the library's code. A record that the socket did not take whole
/// goes first, and its bytes are those that the caller gives again. What else is left in the library's buffer
/// is an answer of its own, such as an alert; it must not be taken for them.
int send(Session::Parts& parts, const char* data, size_t size) {
  mbedtls_ssl_context* library = parts.library.get();
  if (library->out_left != 0) {
    if (const int code = mbedtls_ssl_flush_output(library)) return code;
  }
  if (parts.unsent != 0) return static_cast<int>(std::exchange(parts.unsent, 0));
  const int room = mbedtls_ssl_get_max_out_record_payload(library);
  if (room < 0) return room;
  const size_t part = std::min({size, kWriteMaxBytes, static_cast<size_t>(room)});
  const int code = mbedtls_ssl_write(library, reinterpret_cast<const unsigned char*>(data), part);
  if (code == MBEDTLS_ERR_SSL_WANT_WRITE) parts.unsent = part;
  return code;
}

}  // namespace

Session::Session(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Session::~Session() = default;

std::unique_ptr<Session> Session::accept(net::Stream& socket, std::shared_ptr<const ServerNames> names,
                                         std::string_view received, Protocols offered) {
  auto parts = std::make_unique<Parts>(socket);
  parts->names = std::move(names);
  parts->received = received;
  parts->offered = offered;
  parts->hello = std::make_unique<ClientHello>();
  return std::unique_ptr<Session>(new Session(std::move(parts)));
}

std::unique_ptr<Session> Session::connect(net::Stream& socket, std::shared_ptr<const ClientContext> context,
                                          Peer peer) {
  auto parts = std::make_unique<Parts>(socket);
  parts->client = std::move(context);
  parts->server_name = std::move(peer.name);
  parts->sessions = std::move(peer.sessions);
  if (!set_up(*parts, parts->client->parts().config.get()) || !ask_for(*parts)) return nullptr;
  return std::unique_ptr<Session>(new Session(std::move(parts)));
}

IoStatus Session::handshake() {
  if (parts_->is_broken) return IoStatus::kError;
  if (parts_->client && parts_->client->is_verifying() && parts_->server_name.empty()) {
    parts_->failure = "there is no name to verify the server's certificate against";
    return IoStatus::kError;
  }
  if (!parts_->is_set_up) {
    const IoStatus chosen = choose_context(*parts_);
    if (chosen != IoStatus::kOk) return chosen;
  }
  const int code = go_on(*parts_);
  if (code == 0) {
    keep_session(*parts_);
    park_buffers(*parts_);
    return IoStatus::kOk;
  }
  const IoStatus status = status_of(*parts_, code);
  if (status == IoStatus::kBlocked) return status;
  parts_->is_broken = true;
  if (parts_->client && parts_->failure.empty()) parts_->failure = "the other side closed the connection";
  // What was offered may be why it failed: the next handshake is a whole one.
  if (parts_->sessions) parts_->sessions->forget(parts_->server_name);
  return IoStatus::kError;
}

IoResult Session::read(char* buffer, size_t size) {
  if (parts_->is_broken) return {IoStatus::kError, 0};
  if (parts_->is_over) return {IoStatus::kEof, 0};
  unpark_buffers(*parts_);
  int result = 0;
  // A record with nothing in it is no end. Of four in a row the library has enough.
  while (result == 0 && size > 0 && !parts_->is_socket_over)
    result = mbedtls_ssl_read(parts_->library.get(), reinterpret_cast<unsigned char*>(buffer), size);
  const IoStatus status = result > 0 ? IoStatus::kOk : status_of(*parts_, result);
  if (result > 0) parts_->barren_bytes = 0;
  park_buffers(*parts_);
  return {status, result > 0 ? static_cast<size_t>(result) : 0};
}

IoResult Session::write(const char* data, size_t size) {
  if (parts_->is_broken || parts_->is_goodbye_said) return {IoStatus::kError, 0};
  if (size == 0) return {IoStatus::kOk, 0};
  unpark_buffers(*parts_);
  const int result = send(*parts_, data, size);
  const IoStatus status = result > 0 ? IoStatus::kOk : status_of(*parts_, result);
  park_buffers(*parts_);
  return {status == IoStatus::kEof ? IoStatus::kError : status, result > 0 ? static_cast<size_t>(result) : 0};
}

bool Session::has_pending() const {
  return !parts_->received.empty() ||
         (parts_->is_set_up && mbedtls_ssl_check_pending(parts_->library.get()) != 0);
}

void Session::say_goodbye() {
  if (parts_->is_broken || parts_->is_goodbye_said || !parts_->is_set_up) return;
  parts_->is_goodbye_said = true;
  unpark_buffers(*parts_);
  // Called once it would only send what is left of a record.
  if (mbedtls_ssl_flush_output(parts_->library.get()) == 0)
    (void)mbedtls_ssl_close_notify(parts_->library.get());
  park_buffers(*parts_);
}

std::string_view Session::server_name() const { return parts_->server_name; }
std::string_view Session::version() const {
  return parts_->is_set_up ? mbedtls_ssl_get_version(parts_->library.get()) : std::string_view();
}
std::string_view Session::cipher() const {
  const mbedtls_ssl_session* session = parts_->library->session;
  return session == nullptr ? std::string_view() : cipher_name(session->ciphersuite);
}
bool Session::is_http2() const {
  const char* chosen = parts_->is_set_up ? mbedtls_ssl_get_alpn_protocol(parts_->library.get()) : nullptr;
  return chosen != nullptr && std::string_view(chosen) == "h2";
}
bool Session::is_resumed() const { return parts_->is_resumed; }
const ServerContext* Session::context() const { return parts_->chosen.get(); }
std::string Session::describe_failure() const { return parts_->failure; }

bool Session::has_verified_peer() const {
  const mbedtls_ssl_context* library = parts_->library.get();
  const mbedtls_x509_crt* certificate = parts_->is_set_up ? mbedtls_ssl_get_peer_cert(library) : nullptr;
  // A resumed session says what was so when it began.
  return certificate != nullptr && mbedtls_ssl_get_verify_result(library) == 0 &&
         mbedtls_x509_time_is_past(&certificate->valid_to) == 0;
}

PeerCertificate Session::peer() const {
  const mbedtls_x509_crt* certificate =
      parts_->is_set_up ? mbedtls_ssl_get_peer_cert(parts_->library.get()) : nullptr;
  if (certificate == nullptr) return {};
  PeerCertificate peer = describe_peer(*certificate);
  peer.is_verified = has_verified_peer();
  return peer;
}

}  // namespace moongate::tls
