// SPDX-License-Identifier: Apache-2.0
#include "snapshot/shown_certificate.h"

#include "base/json.h"
#include "config/field_reader.h"
#include "config/secret_reference.h"

namespace moongate::snapshot {

using base::Result;

namespace {

Result<std::string> resolve_text(const std::string& text, const char* field) {
  if (!config::is_reference(text)) return text;
  Result<base::Value> found = config::resolve_reference(text, config::process_environment());
  if (!found) return base::invalid(std::string(field) + ": " + found.error().detail);
  if (!found->is_string()) return base::invalid(std::string(field) + ": the reference leads to no text");
  return found->as_string();
}

}  // namespace

// References are resolved here: what they stand for is never written into a snapshot.
Result<config::Ssl> read_certificate(const Record& record) {
  Result<base::Value> body = base::parse_json(record.body);
  if (!body) return body.error();
  if (const auto fault =
          config::resolve_references(*body, config::process_environment(), config::Managed::kRefused))
    return base::invalid(config::field_text("", fault->path).substr(1) + ": " + fault->what);
  Result<config::Ssl> ssl = config::parse_ssl(*body);
  if (ssl && ssl->id.empty()) ssl->id = record.id;
  return ssl;
}

Result<tls::CertificatePair> read_own_certificate(const config::UpstreamTls& conf) {
  Result<std::string> certificate = resolve_text(conf.client_cert, "tls.client_cert");
  if (!certificate) return certificate.error();
  Result<std::string> key = resolve_text(conf.client_key, "tls.client_key");
  if (!key) return key.error();
  return tls::CertificatePair{certificate.take(), key.take()};
}

Result<tls::CertificatePair> find_shown_certificate(const BlobView& view, const config::UpstreamTls& conf) {
  if (conf.client_cert_id.empty()) return read_own_certificate(conf);
  const std::string what = "tls.client_cert_id: the ssl " + conf.client_cert_id;
  const Record* record = view.find(RecordKind::kSsl, conf.client_cert_id);
  if (record == nullptr) return base::invalid(what + " is not there; add one of type client");
  Result<config::Ssl> ssl = read_certificate(*record);
  if (!ssl) return base::invalid(what + ": " + ssl.error().detail);
  if (!ssl->is_client || !ssl->is_enabled || ssl->certificates.size() != 1)
    return base::invalid(what +
                         " cannot be shown; it must be of type client, be switched on (status 1) "
                         "and have one certificate");
  return tls::CertificatePair{ssl->certificates[0].cert, ssl->certificates[0].key};
}

}  // namespace moongate::snapshot
