// SPDX-License-Identifier: Apache-2.0
// Digests and message authentication codes, so that nobody outside tls/ needs the TLS library for them.
// Algorithms are named in lower case: md5, sha1, sha224, sha256, sha384, sha512.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace moongate::tls {

constexpr size_t kDigestMaxBytes = 64;

/// Writes the digest of `data` to `out` (room for kDigestMaxBytes); its size, or 0 for an unknown algorithm.
size_t digest(std::string_view algorithm, std::string_view data, char* out);

/// The same for an HMAC with `key`.
size_t hmac(std::string_view algorithm, std::string_view key, std::string_view data, char* out);

/// Compares in time that depends on the sizes only.
bool is_equal_constant_time(std::string_view a, std::string_view b);

/// A digest over pieces.
class DigestState {
 public:
  /// Null for an unknown algorithm.
  static std::unique_ptr<DigestState> make(std::string_view algorithm);
  ~DigestState();
  DigestState(const DigestState&) = delete;
  DigestState& operator=(const DigestState&) = delete;

  [[nodiscard]] bool update(std::string_view data);
  /// Writes the digest and starts over; 0 when the library failed.
  size_t finish(char* out);

 private:
  struct Parts;
  explicit DigestState(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace moongate::tls
