// SPDX-License-Identifier: Apache-2.0
// Cipher suites by the names that OpenSSL gives them, which are those of the settings and of the logs.
#pragma once

#include <string_view>
#include <vector>

namespace moongate::tls {

/// The suites that a list in OpenSSL's language stands for, the best first, with a zero behind them as the
/// library wants it; empty when it stands for none. Only suites with forward secrecy are known.
std::vector<int> parse_ciphers(std::string_view list);
/// Empty for a suite that is not known.
std::string_view cipher_name(int suite);

}  // namespace moongate::tls
