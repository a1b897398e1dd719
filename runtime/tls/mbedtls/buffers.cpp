// SPDX-License-Identifier: Apache-2.0
// The library gives each connection two buffers of 16 KB for as long as it lives, and the packaged build of
// it knows no way to have less. But between two records nothing is in them except a counter: an idle
// connection lends its buffers to the next that has something to do. This looks into the library's structure,
// so owned.h insists on its version.
//
//     in_buf    | 8: counter of records | 5: head | payload ...
//     out_buf   | 8: counter, written from cur_out_ctr for each record | 5: head | payload ...
#include <mbedtls/platform.h>
#include <mbedtls/ssl_internal.h>

#include <cstring>

#include "base/assert.h"
#include "tls/mbedtls/parts.h"

namespace moongate::tls {

namespace {

using Pointer = unsigned char* mbedtls_ssl_context::*;
constexpr std::array<Pointer, Parked::kPointers> kInPointers = {
    &mbedtls_ssl_context::in_ctr, &mbedtls_ssl_context::in_hdr, &mbedtls_ssl_context::in_len,
    &mbedtls_ssl_context::in_iv, &mbedtls_ssl_context::in_msg};
constexpr std::array<Pointer, Parked::kPointers> kOutPointers = {
    &mbedtls_ssl_context::out_ctr, &mbedtls_ssl_context::out_hdr, &mbedtls_ssl_context::out_len,
    &mbedtls_ssl_context::out_iv, &mbedtls_ssl_context::out_msg};

/// Buffers of one size that nobody uses, a few of them.
template <size_t kSize>
class Spares {
 public:
  ~Spares() {
    while (count_ > 0) mbedtls_free(buffers_[--count_]);
  }
  unsigned char* take() {
    if (count_ > 0) return buffers_[--count_];
    auto* made = static_cast<unsigned char*>(mbedtls_calloc(1, kSize));
    MG_ASSERT(made != nullptr);
    return made;
  }
  void give(unsigned char* buffer) {
    if (count_ < buffers_.size())
      buffers_[count_++] = buffer;
    else
      mbedtls_free(buffer);
  }

 private:
  std::array<unsigned char*, 4> buffers_{};
  size_t count_ = 0;
};

thread_local Spares<MBEDTLS_SSL_IN_BUFFER_LEN> spare_in;
thread_local Spares<MBEDTLS_SSL_OUT_BUFFER_LEN> spare_out;

void leave(mbedtls_ssl_context* library, const std::array<Pointer, Parked::kPointers>& pointers,
           const unsigned char* buffer, std::array<uint16_t, Parked::kPointers>* places) {
  for (size_t i = 0; i < pointers.size(); i++) {
    (*places)[i] = static_cast<uint16_t>(library->*pointers[i] - buffer);
    library->*pointers[i] = nullptr;
  }
}

void enter(mbedtls_ssl_context* library, const std::array<Pointer, Parked::kPointers>& pointers,
           unsigned char* buffer, const std::array<uint16_t, Parked::kPointers>& places) {
  for (size_t i = 0; i < pointers.size(); i++) library->*pointers[i] = buffer + places[i];
}

}  // namespace

void park_buffers(Session::Parts& parts) {
  mbedtls_ssl_context* library = parts.library.get();
  if (!parts.is_set_up || parts.parked.is_parked || library->state != MBEDTLS_SSL_HANDSHAKE_OVER) return;
  const bool is_in_use = library->in_left != 0 || library->out_left != 0 || library->in_offt != nullptr ||
                         mbedtls_ssl_check_pending(library) != 0;
  if (is_in_use) return;
  parts.parked.is_parked = true;
  std::memcpy(parts.parked.in_counter.data(), library->in_ctr, parts.parked.in_counter.size());
  leave(library, kInPointers, library->in_buf, &parts.parked.in_places);
  leave(library, kOutPointers, library->out_buf, &parts.parked.out_places);
  spare_in.give(library->in_buf);
  spare_out.give(library->out_buf);
  library->in_buf = nullptr;
  library->out_buf = nullptr;
}

void unpark_buffers(Session::Parts& parts) {
  if (!parts.parked.is_parked) return;
  mbedtls_ssl_context* library = parts.library.get();
  parts.parked.is_parked = false;
  library->in_buf = spare_in.take();
  library->out_buf = spare_out.take();
  enter(library, kInPointers, library->in_buf, parts.parked.in_places);
  enter(library, kOutPointers, library->out_buf, parts.parked.out_places);
  std::memcpy(library->in_ctr, parts.parked.in_counter.data(), parts.parked.in_counter.size());
}

}  // namespace moongate::tls
