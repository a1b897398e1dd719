// SPDX-License-Identifier: Apache-2.0
// mbedTLS's objects with an owner. For the files of this folder only.
#pragma once

#include <mbedtls/bignum.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#if MBEDTLS_VERSION_MAJOR != 2 || MBEDTLS_VERSION_MINOR != 28
#error \
    "tls/mbedtls is written for mbedTLS 2.28, whose structures it looks into; build with MOONGATE_TLS=openssl"
#endif

namespace moongate::tls {

/// The library's functions take no const, not even those that only read.
template <class T, void (*kInit)(T*), void (*kFree)(T*)>
class Owned {
 public:
  Owned() { kInit(&object_); }
  ~Owned() { kFree(&object_); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  T* get() const { return &object_; }
  T* operator->() const { return &object_; }

 private:
  mutable T object_;
};
using Certificates = Owned<mbedtls_x509_crt, mbedtls_x509_crt_init, mbedtls_x509_crt_free>;
using Key = Owned<mbedtls_pk_context, mbedtls_pk_init, mbedtls_pk_free>;
using Number = Owned<mbedtls_mpi, mbedtls_mpi_init, mbedtls_mpi_free>;
using DigestContext = Owned<mbedtls_md_context_t, mbedtls_md_init, mbedtls_md_free>;
using Config = Owned<mbedtls_ssl_config, mbedtls_ssl_config_init, mbedtls_ssl_config_free>;
using Connection = Owned<mbedtls_ssl_context, mbedtls_ssl_init, mbedtls_ssl_free>;
using Resumption = Owned<mbedtls_ssl_session, mbedtls_ssl_session_init, mbedtls_ssl_session_free>;

}  // namespace moongate::tls
