// SPDX-License-Identifier: Apache-2.0
#include "tls/openssl/parked.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace moongate::tls {

namespace {

// Larger pages would cost an active connection more than an idle one saves.
constexpr size_t kPageBytes = 4096;
constexpr size_t kWordBits = 64;

/// What the library allocates that is larger than a page while somebody makes an object of it.
struct Pages {
  void* begin = nullptr;
  size_t size = 0;
};
thread_local Pages* wanted = nullptr;

size_t whole_pages(size_t size) { return (size + kPageBytes - 1) / kPageBytes * kPageBytes; }
size_t map_words(size_t count) { return (count + kWordBits - 1) / kWordBits; }

void* allocate(size_t size, const char*, int) {
  if (size == 0) return nullptr;
  if (wanted == nullptr || wanted->begin != nullptr || size < kPageBytes) return std::malloc(size);
  wanted->size = whole_pages(size);
  wanted->begin = std::aligned_alloc(kPageBytes, wanted->size);
  return wanted->begin;
}

void release(void* memory, const char*, int) { std::free(memory); }

void* reallocate(void* memory, size_t size, const char*, int) {
  if (size > 0) return std::realloc(memory, size);
  std::free(memory);
  return nullptr;
}

// The library takes an allocator only before it has allocated anything: before main().
const bool has_allocator = ::sysconf(_SC_PAGESIZE) == static_cast<long>(kPageBytes) &&
                           CRYPTO_set_mem_functions(allocate, reallocate, release) == 1;

}  // namespace

SSL* ParkedObject::make(SSL_CTX* context) {
  Pages pages;
  wanted = has_allocator ? &pages : nullptr;
  SSL* object = SSL_new(context);
  wanted = nullptr;
  if (object != nullptr && pages.begin == object) {
    words_ = static_cast<uint64_t*>(pages.begin);
    count_ = pages.size / sizeof *words_;
  }
  return object;
}

void ParkedObject::park() {
  if (words_ == nullptr || kept_) return;
  const auto zeros = static_cast<size_t>(std::count(words_, words_ + count_, uint64_t{0}));
  kept_count_ = map_words(count_) + count_ - zeros;
  kept_.reset(new (std::nothrow) uint64_t[kept_count_]);
  if (!kept_) return;
  uint64_t* map = kept_.get();
  uint64_t* at = map + map_words(count_);
  std::fill(map, at, 0);
  for (size_t i = 0; i < count_; i++) {
    if (words_[i] == 0) continue;
    map[i / kWordBits] |= uint64_t{1} << (i % kWordBits);
    *at++ = words_[i];
  }
  // Locked memory cannot be given back; it is as it was then.
  if (::madvise(words_, count_ * sizeof *words_, MADV_DONTNEED) != 0) {
    forget();
    words_ = nullptr;
  }
}

// Pages that were given back are zeros when they are looked at again.
void ParkedObject::put_back() {
  const uint64_t* map = kept_.get();
  const uint64_t* from = map + map_words(count_);
  for (size_t group = 0; group < map_words(count_); group++) {
    for (uint64_t bits = map[group]; bits != 0; bits &= bits - 1)
      words_[group * kWordBits + static_cast<size_t>(std::countr_zero(bits))] = *from++;
  }
  forget();
}

// Keys are among what was kept.
void ParkedObject::forget() {
  if (kept_) OPENSSL_cleanse(kept_.get(), kept_count_ * sizeof kept_[0]);
  kept_.reset();
}

}  // namespace moongate::tls
