// SPDX-License-Identifier: Apache-2.0
// The compiler's part for `ssls`. Apart from the rest because it is all about what may be wrong with a
// certificate, and because a context costs a millisecond: one whose resource did not change is taken over.
#include <algorithm>

#include "base/json.h"
#include "config/places.h"
#include "config/resources.h"
#include "config/secret_reference.h"
#include "snapshot/compiler.h"

namespace moongate::snapshot {

using base::Result;

namespace {

// The versions between the lowest and the highest that are named; none named: all that are safe.
Result<void> read_versions(const std::vector<std::string>& names, tls::ServerOptions* options) {
  if (names.empty()) return {};
  const auto has = [&names](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (!has("TLSv1.2") && !has("TLSv1.3"))
    return base::invalid("ssl_protocols: TLSv1.1 is not offered; name TLSv1.2 or TLSv1.3");
  options->version_min = has("TLSv1.2") ? tls::Version::kTls12 : tls::Version::kTls13;
  options->version_max = has("TLSv1.3") ? tls::Version::kTls13 : tls::Version::kTls12;
  return {};
}

Result<tls::ServerOptions> read_options(const config::Ssl& ssl) {
  tls::ServerOptions options;
  options.id = ssl.id;
  for (const config::CertificatePair& pair : ssl.certificates)
    options.certificates.push_back({pair.cert, pair.key});
  if (auto read = read_versions(ssl.ssl_protocols, &options); !read) return read.error();
  if (!ssl.client) return options;
  if (!ssl.client->skip_mtls_uri_regex.empty()) {
    return base::invalid(
        "client.skip_mtls_uri_regex: not in this version; leave it out, and clients without a "
        "certificate are refused for every URI");
  }
  options.client_ca_pem = ssl.client->ca;
  options.client_depth = ssl.client->depth;
  return options;
}

}  // namespace

// References are resolved here: what they stand for is never written into a snapshot.
Result<config::Ssl> Compiler::parse_certificate(const Record& record) const {
  Result<base::Value> body = base::parse_json(record.body);
  if (!body) return body.error();
  if (const auto fault = config::resolve_references(*body, config::process_environment()))
    return base::invalid(config::field_text("", fault->path).substr(1) + ": " + fault->what);
  Result<config::Ssl> ssl = config::parse_ssl(*body);
  if (ssl && ssl->id.empty()) ssl->id = record.id;
  return ssl;
}

// A certificate that cannot serve is complained about, and its names answer no handshake: never another's.
void Compiler::add_certificate(const Record& record) {
  Result<config::Ssl> ssl = parse_certificate(record);
  if (!ssl) return complain(record, ssl.error().detail);
  if (ssl->is_client) return add_client_certificate(record, *ssl);
  if (!ssl->is_enabled) return;
  std::shared_ptr<const tls::ServerContext> context;
  if (present_) {
    const auto had = present_->server_contexts.find(ssl->id);
    if (had != present_->server_contexts.end() && had->second.first == record.hash)
      context = had->second.second;
  }
  if (!context) {
    Result<tls::ServerOptions> options = read_options(*ssl);
    if (!options) return complain(record, options.error().detail);
    auto made = tls::ServerContext::make(*options);
    if (!made) return complain(record, made.error().detail);
    context = made.take();
  }
  next_->server_contexts[ssl->id] = {record.hash, context};
  for (const std::string& sni : ssl->snis) {
    if (!server_names_->add(sni, context))
      complain(record, "snis: " + sni + " belongs to another certificate already");
  }
}

}  // namespace moongate::snapshot
