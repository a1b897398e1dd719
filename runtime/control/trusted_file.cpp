// SPDX-License-Identifier: Apache-2.0
#include "control/trusted_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "tls/client_context.h"

namespace moongate::control {

base::Result<std::string> read_trusted_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kTrustedFileMaxBytes + 1, '\0');
  if (!file || !file.read(text.data(), static_cast<std::streamsize>(text.size())).eof()) {
    return base::invalid(path + (file ? std::string(" is larger than 16 MB")
                                      : std::string(" cannot be read: ") + std::strerror(errno)));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.empty()) return base::invalid(path + " is empty; write PEM certificates into it");
  if (auto trust = tls::TrustStore::make(text); !trust)
    return base::invalid(path + ": " + trust.error().detail);
  return text;
}

}  // namespace moongate::control
