// SPDX-License-Identifier: Apache-2.0
// Fields of resources that the Admin API keeps encrypted, as APISIX does: those that a plugin's schema lists
// in `encrypt_fields`, and keys of certificates. One text has three forms:
//
//   plain       what clients send and are shown, and plugins get
//   encrypted   in the store, and in answers to writes: bare Base64, so that APISIX can read it and we its
//   marked      in snapshots: `$aes://` before that, a reference which is resolved where it is used, so that
//               whoever reads a snapshot need not know the schemas
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"

namespace moongate::config {

/// The keys of `data_encryption.keyring`: the first encrypts, all decrypt. None: nothing is encrypted.
///
/// Owner:   the process, as what refers to encrypted texts is resolved far from where settings are.
class Keyring {
 public:
  static Keyring& of_process();

  void set(const DataEncryptionSettings& settings);
  bool is_empty() const { return keys_.empty(); }
  std::optional<std::string> encrypt(std::string_view text) const;
  std::optional<std::string> decrypt(std::string_view encrypted) const;

 private:
  std::vector<std::string> keys_;
};

/// Which fields those are.
class EncryptedFields {
 public:
  /// {"key-auth": {"consumer": ["key"]}, ...}, with "conf" and "metadata" beside "consumer"; an empty list of
  /// plugins when it is none.
  static EncryptedFields from_json(std::string_view json);

  /// From plain. References to what is kept elsewhere stay as they are.
  void encrypt(Kind kind, std::string_view id, base::Value* body) const;
  /// From encrypted, to plain or marked. What no key decrypts stays: it was stored before there was one.
  void decrypt(Kind kind, std::string_view id, base::Value* body) const;
  void mark(Kind kind, std::string_view id, base::Value* body) const;

 private:
  struct Paths {
    std::vector<std::string> conf;
    std::vector<std::string> consumer;
    std::vector<std::string> metadata;
  };
  template <class Change>
  void each(Kind kind, std::string_view id, base::Value* body, Change change) const;

  std::map<std::string, Paths, std::less<>> plugins_;
};

/// From marked to encrypted, wherever it stands.
void unmark(base::Value* value);
/// Makes plain in `shown`, which is encrypted, what is marked at the same place in `marked`.
void reveal(const base::Value& marked, base::Value* shown);

}  // namespace moongate::config
