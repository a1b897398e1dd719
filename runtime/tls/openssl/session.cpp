// SPDX-License-Identifier: Apache-2.0
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "base/assert.h"
#include "tls/certificate.h"
#include "tls/openssl/parts.h"

namespace moongate::tls {

using net::IoResult;
using net::IoStatus;

namespace {

constexpr size_t kWriteMaxBytes = 16 * 1024;  // a record's worth: more would be cut into records anyway
// Waking up costs three microseconds, so a connection that is used each second is left alone.
constexpr auto kIdleBeforeParking = std::chrono::seconds(2);

bool begin(Session::Parts& parts, SSL_CTX* library) {
  parts.library.reset(parts.object.make(library));
  BIO* bio = parts.library ? make_socket_bio(&parts) : nullptr;
  if (bio == nullptr) return false;
  SSL_set_bio(parts.library.get(), bio, bio);
  SSL_set_app_data(parts.library.get(), &parts);
  return true;
}

// Says whom the client wants and what is to be proved, and offers the session that is left from before.
bool ask_for(Session::Parts& parts) {
  SSL* library = parts.library.get();
  const std::string& name = parts.server_name;
  X509_VERIFY_PARAM* rules = SSL_get0_param(library);
  X509_VERIFY_PARAM_set_hostflags(rules,
                                  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (is_address(name)) {
    if (X509_VERIFY_PARAM_set1_ip_asc(rules, name.c_str()) != 1) return false;
  } else if (!name.empty()) {
    if (SSL_set_tlsext_host_name(library, name.c_str()) != 1 || SSL_set1_host(library, name.c_str()) != 1)
      return false;
  }
  const std::string* former = parts.sessions ? parts.sessions->find(name) : nullptr;
  if (former == nullptr) return true;
  const auto* at = reinterpret_cast<const unsigned char*>(former->data());
  SSL_SESSION* session = d2i_SSL_SESSION(nullptr, &at, static_cast<long>(former->size()));
  if (session == nullptr) return true;
  SSL_set_session(library, session);
  SSL_SESSION_free(session);
  return true;
}

}  // namespace

SSL* Session::Parts::awake() {
  object.unpark();
  idle_timer.start(socket.loop().timers(), kIdleBeforeParking);
  return library.get();
}

void Session::Parts::on_idle(void* self) {
  auto& parts = *static_cast<Parts*>(self);
  // What waits to be read is for has_pending() to tell of without waking anything.
  if (SSL_has_pending(parts.library.get()) == 0) parts.object.park();
}

Session::Session(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Session::~Session() = default;

std::unique_ptr<Session> Session::accept(net::Stream& socket, std::shared_ptr<const ServerNames> names,
                                         std::string_view received, Protocols offered) {
  static SSL_CTX* library = make_server_library().release();  // what holds until a name is chosen
  MG_ASSERT(library != nullptr);
  std::unique_ptr<Parts> parts(new Parts{
      socket, std::move(names), nullptr, nullptr, {}, {}, std::string(received), false, {}, {}, offered});
  if (!begin(*parts, library)) return nullptr;
  SSL_set_accept_state(parts->library.get());
  return std::unique_ptr<Session>(new Session(std::move(parts)));
}

std::unique_ptr<Session> Session::connect(net::Stream& socket, std::shared_ptr<const ClientContext> context,
                                          Peer peer) {
  SSL_CTX* library = context->parts().library.get();
  std::unique_ptr<Parts> parts(new Parts{socket,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         std::move(peer.name),
                                         {},
                                         {},
                                         false,
                                         std::move(context),
                                         std::move(peer.sessions)});
  if (!begin(*parts, library) || !ask_for(*parts)) return nullptr;
  SSL_set_connect_state(parts->library.get());
  return std::unique_ptr<Session>(new Session(std::move(parts)));
}

namespace {

IoStatus status_of(Session::Parts& parts, int result) {
  switch (SSL_get_error(parts.library.get(), result)) {
    case SSL_ERROR_NONE:
      return IoStatus::kOk;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return IoStatus::kBlocked;
    case SSL_ERROR_ZERO_RETURN:
      return IoStatus::kEof;
    default:
      parts.is_broken = true;
      parts.failure = take_library_errors();
      if (is_barren(parts)) parts.failure = "the other side sends and sends, and nothing for the user";
      if (parts.client) parts.failure = describe_client_failure(parts, std::move(parts.failure));
      return IoStatus::kError;
  }
}

}  // namespace

IoStatus Session::handshake() {
  ERR_clear_error();
  if (parts_->client && parts_->client->is_verifying() && parts_->server_name.empty()) {
    parts_->failure = "there is no name to verify the server's certificate against";
    return IoStatus::kError;
  }
  SSL* library = parts_->awake();
  const IoStatus status = status_of(*parts_, SSL_do_handshake(library));
  // What was offered may be why it failed: the next handshake is a whole one.
  if (status == IoStatus::kError && parts_->sessions) parts_->sessions->forget(parts_->server_name);
  if (status == IoStatus::kOk) parts_->barren_bytes = 0;
  // A stapled answer has been sent; an idle connection need not keep its two kilobytes.
  if (status == IoStatus::kOk) SSL_set_tlsext_status_ocsp_resp(library, nullptr, 0);
  return status == IoStatus::kEof ? IoStatus::kError : status;
}

IoResult Session::read(char* buffer, size_t size) {
  ERR_clear_error();
  size_t got = 0;
  const int result = SSL_read_ex(parts_->awake(), buffer, size, &got);
  if (result == 1) parts_->barren_bytes = 0;
  if (result == 1) return {IoStatus::kOk, got};
  return {status_of(*parts_, result), 0};
}

IoResult Session::write(const char* data, size_t size) {
  if (size == 0) return {IoStatus::kOk, 0};
  ERR_clear_error();
  size_t sent = 0;
  const int result = SSL_write_ex(parts_->awake(), data, std::min(size, kWriteMaxBytes), &sent);
  if (result == 1) return {IoStatus::kOk, sent};
  const IoStatus status = status_of(*parts_, result);
  return {status == IoStatus::kEof ? IoStatus::kError : status, 0};
}

bool Session::has_pending() const {
  return !parts_->received.empty() ||
         (!parts_->object.is_parked() && SSL_has_pending(parts_->library.get()) == 1);
}

void Session::say_goodbye() {
  if (parts_->is_broken) return;
  parts_->is_broken = true;  // once is enough
  ERR_clear_error();
  SSL_shutdown(parts_->awake());
  ERR_clear_error();
}

std::string_view Session::server_name() const { return parts_->server_name; }
std::string_view Session::version() const { return SSL_get_version(parts_->awake()); }
std::string_view Session::cipher() const {
  const char* name = SSL_get_cipher_name(parts_->awake());
  return name ? name : "";
}
bool Session::is_http2() const {
  if (!parts_->client) return parts_->is_http2;
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(parts_->awake(), &name, &size);
  return std::string_view(reinterpret_cast<const char*>(name), size) == "h2";
}
bool Session::is_resumed() const { return SSL_session_reused(parts_->awake()) == 1; }
const ServerContext* Session::context() const { return parts_->chosen.get(); }
std::string Session::describe_failure() const { return parts_->failure; }

bool Session::has_verified_peer() const {
  SSL* library = parts_->awake();
  const X509* certificate = SSL_get0_peer_certificate(library);
  // A resumed session says what was so when it began.
  return certificate != nullptr && SSL_get_verify_result(library) == X509_V_OK &&
         X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

PeerCertificate Session::peer() const {
  SSL* library = parts_->awake();
  const Certificate certificate(SSL_get1_peer_certificate(library));
  if (!certificate) return {};
  PeerCertificate peer = describe_certificate(certificate.get());
  peer.is_verified = SSL_get_verify_result(library) == X509_V_OK;
  return peer;
}

}  // namespace moongate::tls
