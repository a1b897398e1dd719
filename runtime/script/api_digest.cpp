// SPDX-License-Identifier: Apache-2.0
// Digests and signatures for Lua: the border functions of lua/lib/moongate/native.lua over tls/.

#include <cstddef>
#include <cstdio>
#include <string_view>

#include "tls/digest.h"
#include "tls/signature.h"

namespace tls = moongate::tls;

struct mg_digest_state;

namespace {
tls::DigestState* unwrap(mg_digest_state* state) { return reinterpret_cast<tls::DigestState*>(state); }
}  // namespace

extern "C" {

size_t mg_digest(const char* algorithm, const char* data, size_t size, char* out) {
  return tls::digest(algorithm, {data, size}, out);
}

size_t mg_hmac(const char* algorithm, const char* key, size_t key_size, const char* data, size_t size,
               char* out) {
  return tls::hmac(algorithm, {key, key_size}, {data, size}, out);
}

mg_digest_state* mg_digest_new(const char* algorithm) {
  return reinterpret_cast<mg_digest_state*>(tls::DigestState::make(algorithm).release());
}

int mg_digest_update(mg_digest_state* state, const char* data, size_t size) {
  return unwrap(state)->update({data, size}) ? 1 : 0;
}

size_t mg_digest_final(mg_digest_state* state, char* out) { return unwrap(state)->finish(out); }

void mg_digest_free(mg_digest_state* state) { delete unwrap(state); }

int mg_signature_verify(const char* algorithm, const char* pem, size_t pem_size, const char* data,
                        size_t size, const char* signature, size_t signature_size, char* error,
                        size_t error_size) {
  auto verdict = tls::verify_signature(algorithm, {pem, pem_size}, {data, size}, {signature, signature_size});
  if (!verdict) {
    std::snprintf(error, error_size, "%s", verdict.error().detail.c_str());
    return -1;
  }
  return *verdict ? 1 : 0;
}

int mg_signature_is_available(const char* algorithm) { return tls::has_signature(algorithm) ? 1 : 0; }

int mg_equal_constant_time(const char* a, size_t a_size, const char* b, size_t b_size) {
  return tls::is_equal_constant_time({a, a_size}, {b, b_size}) ? 1 : 0;
}

}  // extern "C"
