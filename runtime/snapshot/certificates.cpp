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
    server_names_->add(resolved, nullptr);
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

// What is issued comes later, or has come already, by a way of its own: tls/issued.h.
void Compiler::add_issued_certificate(const Record& record, const config::Ssl& ssl,
                                      const tls::ServerOptions& options) {
  if (!next_->settings->acme.is_used())
    return refuse_certificate(
        record,
        "acme: moongate.acme is not set; write `moongate: {acme: {agree_to_terms: true, "
        "contact: [\"mailto:YOU@EXAMPLE.ORG\"]}}`, or give cert and key");
  auto made = tls::AwaitedContext::make(options);
  if (!made) return refuse_certificate(record, made.error().detail);
  const std::shared_ptr<tls::AwaitedContext> awaited = made.take();
  for (const std::string& sni : ssl.snis) {
    if (!server_names_->add_awaited(sni, awaited))
      complain(record, "snis: " + sni + " belongs to another certificate already");
  }
}

void Compiler::add_certificate(const Record& record) {
  close_names(record.id, false);
  Result<config::Ssl> ssl = read_certificate(record);
  if (!ssl) return refuse_certificate(record, ssl.error().detail);
  if (ssl->is_client) return add_client_certificate(record, *ssl);
  if (!ssl->is_enabled) return;
  auto skip_mtls = read_skip_mtls(*ssl);
  if (!skip_mtls) return refuse_certificate(record, skip_mtls.error().detail);
  const std::string& ciphers = next_->settings->tls.ciphers;
  if (ssl->is_issued) {
    Result<tls::ServerOptions> options = read_options(*ssl);
    if (!options) return refuse_certificate(record, options.error().detail);
    options->ciphers = ciphers;
    next_->server_contexts[ssl->id].skip_mtls = skip_mtls.take();
    return add_issued_certificate(record, *ssl, *options);
  }
  const uint64_t print = record.hash ^ std::hash<std::string>()(ciphers);
  std::shared_ptr<const tls::ServerContext> context;
  if (present_) {
    const auto had = present_->server_contexts.find(ssl->id);
    if (had != present_->server_contexts.end() && had->second.print == print) context = had->second.context;
  }
  if (!context) {
    Result<tls::ServerOptions> options = read_options(*ssl);
    if (!options) return refuse_certificate(record, options.error().detail);
    options->ciphers = ciphers;
    auto made = tls::ServerContext::make(*options);
    if (!made) return refuse_certificate(record, made.error().detail);
    context = made.take();
  }
  next_->server_contexts[ssl->id] = {print, context, skip_mtls.take()};
  for (const std::string& sni : ssl->snis) {
    if (!server_names_->add(sni, context))
      complain(record, "snis: " + sni + " belongs to another certificate already");
  }
}

void Compiler::finish_certificates() {
  close_names("", true);
  server_names_->set_fallback(base::lower_case(next_->settings->tls.fallback_sni));
  next_->server_names = std::move(server_names_);
}

}  // namespace moongate::snapshot
