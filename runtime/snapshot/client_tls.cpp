// SPDX-License-Identifier: Apache-2.0
// The compiler's part for TLS to upstreams: whom they trust and what they show. Upstreams that want the same
// share a context, also with those of the present snapshot.
#include "snapshot/compiler.h"
#include "snapshot/shown_certificate.h"

namespace moongate::snapshot {

using base::Result;

// What the settings name travels with the snapshot, so that a worker never reads a file which changed since
// control checked it.
void Compiler::read_trust() {
  const std::string pem(blob_.body_of(RecordKind::kTrusted, ""));
  const std::string& path = next_->settings->upstream.tls_trusted_certificate;
  const bool is_same = present_ && present_->trust_text == pem &&
                       present_->settings->upstream.tls_trusted_certificate.empty() == path.empty();
  if (is_same) {
    next_->trust = present_->trust;
  } else if (!path.empty() && pem.empty()) {
    fault_ = base::invalid("moongate.upstream.tls_trusted_certificate: " + path + " is empty");
  } else {
    auto made = tls::TrustStore::make(pem);
    if (made)
      next_->trust = made.take();
    else
      fault_ =
          base::invalid("moongate.upstream.tls_trusted_certificate: " + path + ": " + made.error().detail);
  }
  next_->trust_text = pem;
}

void Compiler::add_client_certificate(const Record& record, const config::Ssl& ssl) {
  Snapshot::ClientCertificate& own = next_->client_certificates[ssl.id];
  own.hash = record.hash;
  if (!ssl.is_enabled) {
    own.fault = "is switched off (status 0)";
    return;
  }
  if (ssl.certificates.size() > 1) {
    own.fault = "has several certificates";
    return complain(record, "certs: one certificate is shown to upstreams; leave certs and keys out");
  }
  own.pair = {ssl.certificates[0].cert, ssl.certificates[0].key};
  const auto had = present_ ? present_->client_certificates.find(ssl.id) : next_->client_certificates.end();
  if (present_ && had != present_->client_certificates.end() && had->second.hash == record.hash) {
    own.fault = had->second.fault;
    return;
  }
  tls::ClientOptions options;
  options.is_verifying = false;
  options.certificate = own.pair;
  if (auto made = tls::ClientContext::make(options); !made) {
    own.fault = "cannot be used";
    complain(record, made.error().detail);
  }
}

Result<tls::CertificatePair> Compiler::find_client_certificate(const config::UpstreamTls& conf) const {
  if (!conf.client_cert_id.empty()) {
    const std::string& id = conf.client_cert_id;
    if (next_->server_contexts.count(id) > 0)
      return base::invalid("tls.client_cert_id: wrong ssl type: " + id +
                           " is of type server; name one of type client");
    const auto found = next_->client_certificates.find(id);
    if (found == next_->client_certificates.end())
      return base::invalid("tls.client_cert_id: there is no ssl " + id +
                           "; add one of type client with cert and key");
    if (!found->second.fault.empty())
      return base::invalid("tls.client_cert_id: the ssl " + id + " " + found->second.fault);
    return found->second.pair;
  }
  return read_own_certificate(conf);
}

Result<std::shared_ptr<const tls::ClientContext>> Compiler::make_client_context(
    const tls::ClientOptions& options) {
  const std::string key = tls::ClientContext::key_of(options);
  if (const auto found = next_->client_contexts.find(key); found != next_->client_contexts.end())
    return found->second;
  if (present_) {
    const auto had = present_->client_contexts.find(key);
    if (had != present_->client_contexts.end()) return next_->client_contexts[key] = had->second;
  }
  auto made = tls::ClientContext::make(options);
  // What is patched goes on with the present ones, of which those with certificates must not become ever
  // more.
  if (made && (!is_patching_ || options.certificate.certificate_pem.empty()))
    next_->client_contexts[key] = *made;
  return made;
}

// Every upstream gets its contexts, whatever its scheme: a plugin may choose https or grpcs for a request.
Result<void> Compiler::choose_tls(const config::Upstream& conf, upstream::UpstreamOptions* options) {
  tls::ClientOptions wanted;
  wanted.trust = next_->trust;
  wanted.is_verifying = next_->settings->upstream.tls_verify;
  wanted.protocols = {"http/1.1"};
  if (conf.tls) {
    wanted.is_verifying = conf.tls->verify.value_or(wanted.is_verifying);
    auto pair = find_client_certificate(*conf.tls);
    if (!pair) return pair.error();
    wanted.certificate = pair.take();
    options->client_cert_id = conf.tls->client_cert_id;
    if (!options->client_cert_id.empty())
      options->client_cert_hash = next_->client_certificates[options->client_cert_id].hash;
  }
  auto made = make_client_context(wanted);
  if (!made) return base::invalid("tls.client_" + made.error().detail);
  options->tls = made.take();
  wanted.protocols = {"h2"};
  made = make_client_context(wanted);
  if (!made) return base::invalid("tls.client_" + made.error().detail);
  options->tls_http2 = made.take();
  return {};
}

}  // namespace moongate::snapshot
