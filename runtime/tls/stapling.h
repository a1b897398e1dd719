// SPDX-License-Identifier: Apache-2.0
// A certificate authority's signed word that a certificate is not revoked (OCSP, RFC 6960), which a server
// sends along in its handshake (RFC 6066 8) so that clients need not ask for it. Control asks and checks, the
// workers staple; neither knows how the other does it.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace moongate::tls {

inline constexpr size_t kStapleSizeMaxBytes = 64 * 1024;

/// A certificate whose standing is to be asked for.
struct StapleSubject {
  /// From a certificate with its issuer's behind it. Fails without the issuer: nobody can be asked about a
  /// certificate, and no answer be checked, without knowing who made it.
  static base::Result<StapleSubject> read(const std::string& certificate_pem);

  std::string certificate_pem;
  std::string key;            // names the certificate: its SHA-256, 32 bytes
  std::string responder_url;  // as the certificate gives it; empty when it gives none
  std::string request;        // the question, DER
};

/// True for a certificate that clients refuse without a stapled answer (RFC 7633).
bool must_be_stapled(const std::string& certificate_pem);

struct Staple {
  std::string key;         // of its subject
  std::string response;    // DER
  base::WallTime until{};  // it holds before this; WallTime::max() when it does not say
};

struct StapleChecks {
  base::WallTime now;
  bool has_signature = true;  // false: whoever signed it is believed
};
/// Makes a staple of what a responder said. Fails: kConflict for a certificate that is revoked, kInvalid for
/// what is no answer to the question, badly signed, or out of date.
base::Result<Staple> check_staple(const StapleSubject& subject, std::string_view response,
                                  const StapleChecks& checks);

/// The answers that this process staples.
///
/// Owner:   static; empty until replace().
/// Runs in: the workers, in the handshake; never waits.
class Staples {
 public:
  static Staples& of_process();
  /// How control hands them to the workers.
  static std::string pack(const std::vector<Staple>& staples);
  /// Takes over what was packed, in place of what there was. On failure nothing changes.
  base::Result<void> replace(std::string_view packed);
  /// The response for a certificate, or null when there is none that holds at `now`.
  const std::string* find(std::string_view key, base::WallTime now) const;

 private:
  std::unordered_map<std::string, Staple> staples_;
};

}  // namespace moongate::tls
