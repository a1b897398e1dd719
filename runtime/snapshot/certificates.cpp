// SPDX-License-Identifier: Apache-2.0
// The compiler's part for `ssls`. Apart from the rest because it is all about what may be wrong with a
// certificate, and because a context costs a millisecond: one whose resource did not change is taken over.
#include <algorithm>

#include "base/ascii.h"
#include "base/json.h"
#include "config/places.h"
#include "config/resources.h"
#include "config/secret_reference.h"
#include "router/regex.h"
#include "snapshot/compiler.h"
#include "snapshot/shown_certificate.h"
#include "tls/issued.h"

namespace moongate::snapshot {

using base::Result;

namespace {

// The versions between the lowest and the highest that are named; none named: all that are safe.
Result<void> read_versions(const std::vector<std::string>& names, tls::ServerOptions* options) {
  if (names.empty()) return {};
  const auto has = [&names](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  using tls::Version;
  options->version_min = has("TLSv1.1")   ? Version::kTls11
                         : has("TLSv1.2") ? Version::kTls12
                                          : Version::kTls13;
  options->version_max = has("TLSv1.3")   ? Version::kTls13
                         : has("TLSv1.2") ? Version::kTls12
                                          : Version::kTls11;
  if (options->version_min == Version::kTls11 && options->version_max == Version::kTls13 && !has("TLSv1.2"))
    return base::invalid("ssl_protocols: TLSv1.1 and TLSv1.3 without TLSv1.2 cannot be had; add it");
  return {};
}

Result<tls::ServerOptions> read_options(const config::Ssl& ssl) {
  tls::ServerOptions options;
  options.id = ssl.id;
  for (const config::CertificatePair& pair : ssl.certificates)
    options.certificates.push_back({pair.cert, pair.key});
  if (auto read = read_versions(ssl.ssl_protocols, &options); !read) return read.error();
  if (!ssl.client) return options;
  options.is_client_optional = !ssl.client->skip_mtls_uri_regex.empty();
  options.client_ca_pem = ssl.client->ca;
  options.client_depth = ssl.client->depth;
  return options;
}

Result<std::vector<std::shared_ptr<const router::Regex>>> read_skip_mtls(const config::Ssl& ssl) {
  std::vector<std::shared_ptr<const router::Regex>> patterns;
  if (!ssl.client) return patterns;
  router::RegexEngine* engine = router::regex_engine();
  for (const std::string& pattern : ssl.client->skip_mtls_uri_regex) {
    std::string reason = "no regular expression engine is installed";
    auto compiled = engine == nullptr ? nullptr : engine->compile(pattern, false, &reason);
    if (!compiled)
      return base::invalid("client.skip_mtls_uri_regex: invalid regular expression '" + pattern +
                           "': " + reason);
    patterns.push_back(std::move(compiled));
  }
  return patterns;
}

}  // namespace

// A certificate that cannot serve is complained about, and its names answer no handshake: never another's,
// which may ask less of clients.
void Compiler::refuse_certificate(const Record& record, const std::string& reason) {
  complain(record, reason);
  const Result<base::Value> body = base::parse_json(record.body);
  if (!body || !body->is_object() || body->get_string("type") == "client") return;
  for (const std::string& name : config::certificate_names(*body)) close_name(name);
}

void Compiler::close_name(const std::string& name) {
  for (const std::string& resolved : config::resolve_certificate_name(name))
    server_names_->add(resolved, tls::ServerContext::closed());
}

// Names of certificates that are wrong elsewhere, in the place of those: what a certificate of a lower id has
// claimed is its own.
void Compiler::close_names(std::string_view up_to_id, bool is_to_end) {
  const auto records = blob_.records_of(RecordKind::kClosedNames);
  for (; closed_at_ < records.size() && (is_to_end || records[closed_at_].id < up_to_id); closed_at_++) {
    const Result<base::Value> names = base::parse_json(records[closed_at_].body);
    if (!names || !names->is_array()) continue;
    for (const base::Value& name : names->items()) {
      if (name.is_string()) close_name(name.as_string());
    }
  }
}

// The context of the former snapshot, where that was made of the same.
const ServerCertificate* Compiler::find_former_certificate(const std::string& id, uint64_t print) const {
  if (!present_) return nullptr;
  const auto had = present_->server_contexts.find(id);
  return had != present_->server_contexts.end() && had->second.print == print ? &had->second : nullptr;
}

Result<ServerCertificate> Compiler::make_certificate(const config::Ssl& ssl, uint64_t print,
                                                     bool is_for_quic) const {
  ServerCertificate made;
  made.print = print;
  auto skip_mtls = read_skip_mtls(ssl);
  if (!skip_mtls) return skip_mtls.error();
  made.skip_mtls = skip_mtls.take();
  if (ssl.is_issued && !next_->settings->acme.is_used())
    return base::invalid(
        "acme: moongate.acme is not set; write `moongate: {acme: {agree_to_terms: true, "
        "contact: [\"mailto:YOU@EXAMPLE.ORG\"]}}`, or give cert and key");
  if (const ServerCertificate* had = find_former_certificate(ssl.id, print)) {
    made.context = had->context;
    made.awaited = had->awaited;
    return made;
  }
  Result<tls::ServerOptions> options = read_options(ssl);
  if (!options) return options.error();
  options->ciphers = next_->settings->tls.ciphers;
  options->is_for_quic = is_for_quic;
  if (ssl.is_issued) {  // what is issued comes later, or has come already, by a way of its own: tls/issued.h
    auto awaited = tls::AwaitedContext::make(*options);
    if (!awaited) return awaited.error();
    made.awaited = awaited.take();
  } else {
    auto context = tls::ServerContext::make(*options);
    if (!context) return context.error();
    made.context = context.take();
  }
  return made;
}

void Compiler::add_certificate(const Record& record) {
  close_names(record.id, false);
  Result<config::Ssl> ssl = read_certificate(record);
  if (!ssl) return refuse_certificate(record, ssl.error().detail);
  if (ssl->is_client) return add_client_certificate(record, *ssl);
  if (!ssl->is_enabled) return;
  const config::Settings& settings = *next_->settings;
  const bool is_for_quic = std::any_of(settings.listen.begin(), settings.listen.end(),
                                       [](const config::ListenSettings& one) { return one.http3; });
  const uint64_t print = record.hash ^ std::hash<std::string>()(settings.tls.ciphers) ^ (is_for_quic ? 1 : 0);
  Result<ServerCertificate> made = make_certificate(*ssl, print, is_for_quic);
  if (!made) return refuse_certificate(record, made.error().detail);
  for (const std::string& sni : ssl->snis) {
    const bool is_new = made->awaited ? server_names_->add_awaited(sni, made->awaited)
                                      : server_names_->add(sni, made->context);
    if (!is_new) complain(record, "snis: " + sni + " belongs to another certificate already");
  }
  next_->server_contexts[ssl->id] = made.take();
}

void Compiler::finish_certificates() {
  close_names("", true);
  server_names_->set_fallback(base::lower_case(next_->settings->tls.fallback_sni));
  next_->server_names = std::move(server_names_);
}

}  // namespace moongate::snapshot
