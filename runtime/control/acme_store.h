// SPDX-License-Identifier: Apache-2.0
// What an authority has given this gateway, and the key of its account: files in DIR/acme that only their
// owner can read.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
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
  bool holds(base::WallTime now) const { return validity.from <= now && now < validity.until; }
};

/// Shape:   one file for each list of names, key and chain in it, so that there are always both. Files stay,
/// also of what nobody wants any more or has run out: a resource that comes back costs no order, and a
/// calendar that is wrong for a while, as after a start without a battery, does no harm. Runs in: control's
/// loop. Fails:   add() and account_key(), when the disk does; what add() got is there all the same.
class AcmeStore {
 public:
  explicit AcmeStore(const std::string& directory) : folder_(directory + "/acme") {}

  /// Reads the files, but for those that cannot be used, which are named in the log.
  void load();
  /// Whether a certificate can be served, at whatever time; its validity is filled in.
  base::Result<void> check(AcmeCertificate* certificate) const;
  /// Takes one that was checked, in place of another for the same names; what was there before is kept in
  /// memory.
  base::Result<void> add(AcmeCertificate certificate);
  /// The last one for exactly these names, or null.
  const AcmeCertificate* find(const std::vector<std::string>& names) const;
  /// What serves `name` for a resource that has these names: the one for all of them while it holds, or else
  /// the one that holds longest of those which have the name among theirs. When none holds, the one that
  /// ended last, or ends last: the clock may be wrong, and clients judge by their own. Null: none is for it.
  const AcmeCertificate* choose(const std::vector<std::string>& names, const std::string& name,
                                base::WallTime now) const;
  /// PEM; made when there is none yet.
  base::Result<std::string> account_key();

 private:
  struct Kept {
    AcmeCertificate last;
    std::optional<AcmeCertificate> former;  // which may hold while the last one does not yet
  };
  void keep(AcmeCertificate certificate);
  std::string path_of(const std::vector<std::string>& names) const;
  base::Result<void> make_folder() const;

  std::string folder_;
  std::map<std::vector<std::string>, Kept> certificates_;
  std::unordered_map<std::string, std::vector<const Kept*>> by_name_;  // of certificates_
};

}  // namespace moongate::control
