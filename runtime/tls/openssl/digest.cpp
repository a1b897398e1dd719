// SPDX-License-Identifier: Apache-2.0
#include "tls/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <utility>

namespace moongate::tls {

namespace {

const EVP_MD* find_algorithm(std::string_view name) {
  if (name == "sha256") return EVP_sha256();
  if (name == "sha1") return EVP_sha1();
  if (name == "md5") return EVP_md5();
  if (name == "sha512") return EVP_sha512();
  if (name == "sha384") return EVP_sha384();
  if (name == "sha224") return EVP_sha224();
  return nullptr;
}

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, ContextDeleter>;

}  // namespace

size_t digest(std::string_view algorithm, std::string_view data, char* out) {
  const EVP_MD* md = find_algorithm(algorithm);
  unsigned int size = 0;
  if (md == nullptr) return 0;
  if (EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(out), &size, md, nullptr) != 1) {
    return 0;
  }
  return size;
}

size_t hmac(std::string_view algorithm, std::string_view key, std::string_view data, char* out) {
  const EVP_MD* md = find_algorithm(algorithm);
  unsigned int size = 0;
  if (md == nullptr || key.size() > INT32_MAX) return 0;
  // An empty key is a valid one, but a null pointer would mean "the key of the last call".
  const char* key_data = key.empty() ? "" : key.data();
  const unsigned char* mac =
      HMAC(md, key_data, static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(data.data()),
           data.size(), reinterpret_cast<unsigned char*>(out), &size);
  return mac == nullptr ? 0 : size;
}

bool is_equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

struct DigestState::Parts {
  const EVP_MD* md;
  Context context;
};

DigestState::DigestState(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
DigestState::~DigestState() = default;

std::unique_ptr<DigestState> DigestState::make(std::string_view algorithm) {
  const EVP_MD* md = find_algorithm(algorithm);
  if (md == nullptr) return nullptr;
  Context context(EVP_MD_CTX_new());
  if (context == nullptr || EVP_DigestInit_ex(context.get(), md, nullptr) != 1) return nullptr;
  auto parts = std::make_unique<Parts>(Parts{md, std::move(context)});
  return std::unique_ptr<DigestState>(new DigestState(std::move(parts)));
}

bool DigestState::update(std::string_view data) {
  return EVP_DigestUpdate(parts_->context.get(), data.data(), data.size()) == 1;
}

size_t DigestState::finish(char* out) {
  unsigned int size = 0;
  bool is_done = EVP_DigestFinal_ex(parts_->context.get(), reinterpret_cast<unsigned char*>(out), &size) == 1;
  bool is_ready = EVP_DigestInit_ex(parts_->context.get(), parts_->md, nullptr) == 1;
  return is_done && is_ready ? size : 0;
}

}  // namespace moongate::tls
