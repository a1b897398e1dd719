// SPDX-License-Identifier: Apache-2.0
// What an authority has given this gateway, and the key of its account: files in DIR/acme that only their
// owner can read.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "tls/certificate.h"
#include "tls/server_names.h"

namespace moongate::control {

/// A certificate that was issued, and what for.
struct AcmeCertificate {
  std::vector<std::string> names;  // in order, each once
  std::string directory;           // of the authority
  bool is_rsa = false;
  tls::CertificatePair pair;
  tls::Validity validity{};
};

/// Shape:   one file for each list of names, key and chain in it, so that there are always both. What is not
/// wanted any more stays until it has run out: a resource that comes back costs no order.
/// Runs in: control's loop.
/// Fails:   add() and account_key(), when the disk does; what add() got is there all the same.
class AcmeStore {
 public:
  explicit AcmeStore(const std::string& directory) : folder_(directory + "/acme") {}

  /// Reads the files, but for what has run out, which is dropped, and what cannot be used.
  void load(base::WallTime now);
  /// Whether a certificate can be served; its validity is filled in.
  base::Result<void> check(AcmeCertificate* certificate, base::WallTime now) const;
  /// Takes one that was checked, in place of another for the same names.
  base::Result<void> add(AcmeCertificate certificate);
  /// The one for exactly these names, or null.
  const AcmeCertificate* find(const std::vector<std::string>& names) const;
  /// The one that holds longest of those which have this name among theirs, or null when none holds.
  const AcmeCertificate* find_for(const std::string& name, base::WallTime now) const;
  /// PEM; made when there is none yet.
  base::Result<std::string> account_key();

 private:
  std::string path_of(const std::vector<std::string>& names) const;
  base::Result<void> make_folder() const;

  std::string folder_;
  std::map<std::vector<std::string>, AcmeCertificate> certificates_;
};

}  // namespace moongate::control
