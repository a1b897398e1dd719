// SPDX-License-Identifier: Apache-2.0
// Digests as mbedTLS makes them.
#include "tls/digest.h"

extern "C" {
#include <mbedtls/constant_time.h>  // the one header of the library that does not say so itself
}

#include <utility>

#include "tls/mbedtls/owned.h"

namespace moongate::tls {

namespace {

const mbedtls_md_info_t* find_algorithm(std::string_view name) {
  if (name == "sha256") return mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
  if (name == "sha1") return mbedtls_md_info_from_type(MBEDTLS_MD_SHA1);
  if (name == "md5") return mbedtls_md_info_from_type(MBEDTLS_MD_MD5);
  if (name == "sha512") return mbedtls_md_info_from_type(MBEDTLS_MD_SHA512);
  if (name == "sha384") return mbedtls_md_info_from_type(MBEDTLS_MD_SHA384);
  if (name == "sha224") return mbedtls_md_info_from_type(MBEDTLS_MD_SHA224);
  return nullptr;
}

// A view of nothing may have no address, and the library hands what it gets to memcpy.
const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.empty() ? "" : text.data());
}

}  // namespace

size_t digest(std::string_view algorithm, std::string_view data, char* out) {
  const mbedtls_md_info_t* md = find_algorithm(algorithm);
  if (md == nullptr) return 0;
  if (mbedtls_md(md, bytes_of(data), data.size(), reinterpret_cast<unsigned char*>(out)) != 0) return 0;
  return mbedtls_md_get_size(md);
}

size_t hmac(std::string_view algorithm, std::string_view key, std::string_view data, char* out) {
  const mbedtls_md_info_t* md = find_algorithm(algorithm);
  if (md == nullptr) return 0;
  const int fault = mbedtls_md_hmac(md, bytes_of(key), key.size(), bytes_of(data), data.size(),
                                    reinterpret_cast<unsigned char*>(out));
  return fault != 0 ? 0 : mbedtls_md_get_size(md);
}

bool is_equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && mbedtls_ct_memcmp(bytes_of(a), bytes_of(b), a.size()) == 0;
}

struct DigestState::Parts {
  const mbedtls_md_info_t* md;
  DigestContext context;
};

DigestState::DigestState(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
DigestState::~DigestState() = default;

std::unique_ptr<DigestState> DigestState::make(std::string_view algorithm) {
  const mbedtls_md_info_t* md = find_algorithm(algorithm);
  if (md == nullptr) return nullptr;
  auto parts = std::make_unique<Parts>();
  parts->md = md;
  if (mbedtls_md_setup(parts->context.get(), md, 0) != 0 || mbedtls_md_starts(parts->context.get()) != 0)
    return nullptr;
  return std::unique_ptr<DigestState>(new DigestState(std::move(parts)));
}

bool DigestState::update(std::string_view data) {
  return mbedtls_md_update(parts_->context.get(), bytes_of(data), data.size()) == 0;
}

size_t DigestState::finish(char* out) {
  mbedtls_md_context_t* context = parts_->context.get();
  const bool is_done = mbedtls_md_finish(context, reinterpret_cast<unsigned char*>(out)) == 0;
  const bool is_ready = mbedtls_md_starts(context) == 0;
  return is_done && is_ready ? mbedtls_md_get_size(parts_->md) : 0;
}

}  // namespace moongate::tls
