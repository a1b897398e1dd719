// SPDX-License-Identifier: Apache-2.0
// Which TLS library this program was built with, for those who ask what it can do.
#pragma once

#include <string>

namespace moongate::tls {

/// Name and version of the library, then what it lacks, if anything:
/// "mbedTLS 2.28.3; not in this build: TLSv1.3, OCSP stapling".
std::string describe_library();

}  // namespace moongate::tls
