// SPDX-License-Identifier: Apache-2.0
// The client's rules as OpenSSL has them, and what it says when a server does not meet them.
#include "tls/client_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "tls/certificate.h"
#include "tls/openssl/parts.h"

namespace moongate::tls {

using base::Result;

namespace {

// A server may offer a session at any time after the handshake; the last one counts.
int keep_session(SSL* library, SSL_SESSION* session) {
  const auto* parts = static_cast<const Session::Parts*>(SSL_get_app_data(library));
  if (!parts->sessions || SSL_SESSION_is_resumable(session) != 1) return 0;
  const int size = i2d_SSL_SESSION(session, nullptr);
  if (size <= 0) return 0;
  std::string bytes(static_cast<size_t>(size), '\0');
  auto* at = reinterpret_cast<unsigned char*>(bytes.data());
  if (i2d_SSL_SESSION(session, &at) == size) parts->sessions->keep(parts->server_name, std::move(bytes));
  return 0;
}

Result<void> offer_protocols(SSL_CTX* library, const std::vector<std::string>& protocols) {
  std::string list;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) return base::invalid("a protocol has 1 to 255 bytes");
    list += static_cast<char>(protocol.size());
    list += protocol;
  }
  if (list.empty()) return {};
  const int fault = SSL_CTX_set_alpn_protos(library, reinterpret_cast<const unsigned char*>(list.data()),
                                            static_cast<unsigned>(list.size()));
  return fault == 0 ? Result<void>() : Result<void>(describe_fault("the list of protocols cannot be used"));
}

/// Whether a folder has certificates under the names that the library looks for: "5ed36f99.0".
bool has_hashed_names(std::string_view folder) {
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(folder, unreadable)) {
    const std::string name = entry.path().filename().string();
    const auto is_hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
    if (name.size() == 10 && name.ends_with(".0") && std::all_of(name.begin(), name.begin() + 8, is_hex))
      return true;
  }
  return false;
}

bool has_hashed_folder() {
  const char* named = std::getenv(X509_get_default_cert_dir_env());
  std::string_view folders = named ? named : X509_get_default_cert_dir();
  while (!folders.empty()) {
    const std::string_view folder = folders.substr(0, folders.find(':'));
    if (has_hashed_names(folder)) return true;
    folders.remove_prefix(std::min(folder.size() + 1, folders.size()));
  }
  return false;
}

/// The last place to look for an authority: the system's file of them all, read when nothing else had one.
int find_in_system_file(X509_LOOKUP* place, X509_LOOKUP_TYPE type, const X509_NAME* name, X509_OBJECT* out) {
  auto* unread = static_cast<X509_LOOKUP*>(X509_LOOKUP_get_method_data(place));
  if (type != X509_LU_X509 || unread == nullptr) return 0;
  X509_LOOKUP_set_method_data(place, nullptr);
  ERR_set_mark();  // there need not be one
  X509_LOOKUP_load_file(unread, nullptr, X509_FILETYPE_DEFAULT);
  ERR_pop_to_mark();
  X509_STORE* store = X509_LOOKUP_get_store(place);
  const X509_OBJECT* found = X509_OBJECT_retrieve_by_subject(X509_STORE_get0_objects(store), type, name);
  if (found == nullptr) return 0;
  X509* certificate = X509_OBJECT_get0_X509(found);
  if (X509_OBJECT_set1_X509(out, certificate) != 1) return 0;
  X509_free(certificate);  // who asked takes a reference of its own; the store's keeps it alive
  return 1;
}

X509_LOOKUP_METHOD* system_file_lookup() {
  static X509_LOOKUP_METHOD* const method = [] {
    X509_LOOKUP_METHOD* made = X509_LOOKUP_meth_new("the system's file of authorities");
    MG_ASSERT(made && X509_LOOKUP_meth_set_get_by_subject(made, find_in_system_file) == 1);
    return made;
  }();
  return method;
}

/// The library reads the system's file of authorities at once, 25 ms for each worker that starts. Where its
/// folder has them one by one, each is read when it is needed, and the file when the folder lacks one.
bool use_system_paths(X509_STORE* library) {
  if (!has_hashed_folder()) return X509_STORE_set_default_paths(library) == 1;
  X509_LOOKUP* folder = X509_STORE_add_lookup(library, X509_LOOKUP_hash_dir());
  X509_LOOKUP* file = X509_STORE_add_lookup(library, X509_LOOKUP_file());
  X509_LOOKUP* last = X509_STORE_add_lookup(library, system_file_lookup());
  if (folder == nullptr || file == nullptr || last == nullptr) return false;
  return X509_LOOKUP_set_method_data(last, file) == 1 &&
         X509_LOOKUP_add_dir(folder, nullptr, X509_FILETYPE_DEFAULT) == 1;
}

}  // namespace

TrustStore::TrustStore() : parts_(std::make_unique<Parts>()) {}
TrustStore::~TrustStore() = default;

Result<std::shared_ptr<const TrustStore>> TrustStore::make(const std::string& pem) {
  ERR_clear_error();
  std::shared_ptr<TrustStore> store(new TrustStore);
  store->parts_->library.reset(X509_STORE_new());
  X509_STORE* library = store->parts_->library.get();
  if (library == nullptr) return describe_fault("no memory for trusted certificates");
  store->key_ = key_of(pem);
  if (pem.empty()) {
    if (!use_system_paths(library)) return describe_fault("the system's trusted certificates cannot be used");
    ERR_clear_error();
    return std::shared_ptr<const TrustStore>(std::move(store));
  }
  Bio text = read_text(pem);
  int count = 0;
  while (X509* one = PEM_read_bio_X509(text.get(), nullptr, refuse_password, nullptr)) {
    Certificate owned(one);
    if (X509_STORE_add_cert(library, one) != 1) return describe_fault("a certificate cannot be used");
    count++;
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
    return describe_fault("it holds something that is no certificate in PEM form");
  if (count == 0) return describe_fault("it holds no certificate in PEM form");
  ERR_clear_error();
  return std::shared_ptr<const TrustStore>(std::move(store));
}

ClientContext::ClientContext() : parts_(std::make_unique<Parts>()) {}
ClientContext::~ClientContext() = default;

Result<std::shared_ptr<const ClientContext>> ClientContext::make(const ClientOptions& options) {
  ERR_clear_error();
  MG_ASSERT(!options.is_verifying || options.trust);
  std::shared_ptr<ClientContext> context(new ClientContext);
  context->key_ = key_of(options);
  context->is_verifying_ = options.is_verifying;
  Parts& parts = *context->parts_;
  parts.library.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* library = parts.library.get();
  if (library == nullptr) return describe_fault("no memory for another TLS context");
  set_common_options(library);
  SSL_CTX_set_min_proto_version(library, library_version(options.version_min));
  SSL_CTX_set_max_proto_version(library, library_version(options.version_max));
  // Of TLS 1.2 only what has forward secrecy. Servers that can do no better than CBC are still about.
  SSL_CTX_set_cipher_list(library, "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES");
  SSL_CTX_set_session_cache_mode(library, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(library, keep_session);
  if (auto offered = offer_protocols(library, options.protocols); !offered) return offered.error();
  if (!options.certificate.certificate_pem.empty()) {
    if (auto used = use_pair(library, options.certificate); !used) return used.error();
  }
  if (options.is_verifying) {
    SSL_CTX_set1_cert_store(library, options.trust->parts().library.get());
    SSL_CTX_set_verify(library, SSL_VERIFY_PEER, nullptr);
  }
  return std::shared_ptr<const ClientContext>(std::move(context));
}

std::string describe_client_failure(const Session::Parts& parts, std::string library_errors) {
  const long verdict = SSL_get_verify_result(parts.library.get());
  if (parts.client->is_verifying() && verdict != X509_V_OK) {
    const bool is_name = verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH;
    if (is_name) return "the server's certificate is not for " + parts.server_name;
    return std::string("the server's certificate is not trusted: ") + X509_verify_cert_error_string(verdict);
  }
  if (library_errors.find("unexpected eof") != library_errors.npos)
    return "the server closed the connection without ending TLS first";
  if (!library_errors.empty()) return library_errors;
  return errno != 0 ? std::strerror(errno) : "the other side closed the connection";
}

}  // namespace moongate::tls
