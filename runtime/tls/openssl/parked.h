// SPDX-License-Identifier: Apache-2.0
// An idle connection without most of its memory. The object that the library has of one takes 7.6 KB, most
// of them zeros, and there is no smaller form of it. So it gets pages of its own, and while nobody uses it
// they are given back to the kernel: what is not zero is kept beside them and put back, at the same address,
// before the next call. The object is bytes here; nothing is known of what they mean.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>

namespace moongate::tls {

/// One SSL object that can be parked.
///
/// Shape:   kept_ is a bit for each word of the object, then the words whose bit is set. Pointers stay whole
///          words, for tools that look for them.
/// Owner:   the session; unpark() before any call that takes the object, SSL_free() too.
/// Fails:   where the kernel or the heap will not have it, the object stays as it is.
class ParkedObject {
 public:
  ParkedObject() = default;
  ~ParkedObject() { forget(); }
  ParkedObject(const ParkedObject&) = delete;
  ParkedObject& operator=(const ParkedObject&) = delete;

  /// As SSL_new(), in pages of its own where that is possible. Once, before anything else.
  SSL* make(SSL_CTX* context);
  void park();
  void unpark() {
    if (kept_) put_back();
  }
  bool is_parked() const { return kept_ != nullptr; }

 private:
  void put_back();
  void forget();

  uint64_t* words_ = nullptr;  // the object; null when it shares its pages with others
  size_t count_ = 0;           // of words
  std::unique_ptr<uint64_t[]> kept_;
  size_t kept_count_ = 0;
};

}  // namespace moongate::tls
