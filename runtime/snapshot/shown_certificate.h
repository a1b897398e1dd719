// SPDX-License-Identifier: Apache-2.0
// Certificates as a snapshot has them, read with what their references stand for: what the compiler
// (compiler.h) makes contexts of, and what whoever asks nodes without it, as health checks do, shows them.
#pragma once

#include "config/resources.h"
#include "snapshot/blob.h"
#include "tls/server_names.h"

namespace moongate::snapshot {

/// The certificate in a record of kind kSsl.
base::Result<config::Ssl> read_certificate(const Record& record);

/// What `tls.client_cert` and `tls.client_key` of an upstream say; empty when they are not there.
base::Result<tls::CertificatePair> read_own_certificate(const config::UpstreamTls& conf);

/// What is shown to the nodes of an upstream that has this `tls`; empty for nothing.
base::Result<tls::CertificatePair> find_shown_certificate(const BlobView& view,
                                                          const config::UpstreamTls& conf);

}  // namespace moongate::snapshot
