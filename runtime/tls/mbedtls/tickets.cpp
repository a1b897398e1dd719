// SPDX-License-Identifier: Apache-2.0
// Session tickets (RFC 5077 4) sealed with the keys that all processes share. A ticket holds what it was made
// for beside the session, so that it is opened under the same rules only:
//
//     key's name 16 | IV 16 | AES-256-CBC( scope 32 | made at, ns since 1970, 8 | session | padding ) |
//     HMAC-SHA256 32
#include <mbedtls/aes.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>

#include <cstring>

#include "base/clock.h"
#include "base/random.h"
#include "tls/digest.h"
#include "tls/mbedtls/parts.h"
#include "tls/ticket_keys.h"

namespace moongate::tls {

namespace {

constexpr size_t kNameBytes = 16;
constexpr size_t kBlockBytes = 16;
constexpr size_t kScopeBytes = 32;
constexpr size_t kTimeBytes = 8;
constexpr size_t kMacBytes = 32;
constexpr size_t kHeadBytes = kNameBytes + kBlockBytes;
constexpr size_t kPrefixBytes = kScopeBytes + kTimeBytes;
constexpr auto kLifetime = std::chrono::hours(24);

using Cipher = Owned<mbedtls_aes_context, mbedtls_aes_init, mbedtls_aes_free>;

std::string_view view(const unsigned char* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

bool make_mac(const TicketKey& key, std::string_view data, char* mac) {
  static_assert(kMacBytes <= kDigestMaxBytes);
  return hmac("sha256", view(key.mac_key.data(), key.mac_key.size()), data, mac) == kMacBytes;
}

/// The key that a ticket names; null when it is not of ours any more.
const TicketKey* find_key(const unsigned char* name) {
  TicketKeys& keys = TicketKeys::of_process();
  keys.advance(base::Clock::wall());
  for (const TicketKey* key : {&keys.current(), &keys.former()}) {
    if (std::memcmp(name, key->name.data(), kNameBytes) == 0) return key;
  }
  return nullptr;
}

/// Decrypts in place; the size of what was encrypted, or 0.
size_t decrypt(const TicketKey& key, const unsigned char* iv, unsigned char* text, size_t size) {
  unsigned char chain[kBlockBytes];
  std::memcpy(chain, iv, sizeof chain);
  Cipher cipher;
  if (mbedtls_aes_setkey_dec(cipher.get(), key.cipher_key.data(), 256) != 0 ||
      mbedtls_aes_crypt_cbc(cipher.get(), MBEDTLS_AES_DECRYPT, size, chain, text, text) != 0)
    return 0;
  const size_t padding = text[size - 1];  // it was authenticated: nobody else has made it
  return padding == 0 || padding > kBlockBytes ? 0 : size - padding;
}

}  // namespace

int seal_ticket(void* context, const mbedtls_ssl_session* session, unsigned char* begin,
                const unsigned char* end, size_t* size, uint32_t* lifetime_s) {
  const auto& parts = *static_cast<const ServerContext::Parts*>(context);
  TicketKeys& keys = TicketKeys::of_process();
  keys.advance(base::Clock::wall());
  const TicketKey& key = keys.current();
  const auto room = static_cast<size_t>(end - begin);
  constexpr size_t kOverheadBytes = kHeadBytes + kPrefixBytes + kBlockBytes + kMacBytes;
  if (room < kOverheadBytes) return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
  unsigned char* const iv = begin + kNameBytes;
  unsigned char* const text = begin + kHeadBytes;
  std::memcpy(begin, key.name.data(), kNameBytes);
  if (!base::fill_random(reinterpret_cast<char*>(iv), kBlockBytes)) return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
  const int64_t made_at = base::Clock::wall().time_since_epoch().count();
  std::memcpy(text, parts.ticket_scope.data(), kScopeBytes);
  std::memcpy(text + kScopeBytes, &made_at, kTimeBytes);
  size_t used = 0;
  if (const int fault = mbedtls_ssl_session_save(session, text + kPrefixBytes, room - kOverheadBytes, &used))
    return fault;
  used += kPrefixBytes;
  const size_t padding = kBlockBytes - used % kBlockBytes;
  std::memset(text + used, static_cast<int>(padding), padding);
  used += padding;
  unsigned char chain[kBlockBytes];
  std::memcpy(chain, iv, sizeof chain);
  Cipher cipher;
  char mac[kDigestMaxBytes];
  if (mbedtls_aes_setkey_enc(cipher.get(), key.cipher_key.data(), 256) != 0 ||
      mbedtls_aes_crypt_cbc(cipher.get(), MBEDTLS_AES_ENCRYPT, used, chain, text, text) != 0 ||
      !make_mac(key, view(begin, kHeadBytes + used), mac)) {
    mbedtls_platform_zeroize(text, used);
    return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
  }
  std::memcpy(text + used, mac, kMacBytes);
  *size = kHeadBytes + used + kMacBytes;
  *lifetime_s = static_cast<uint32_t>(std::chrono::seconds(kLifetime).count());
  return 0;
}

// Every fault means a whole handshake.
int open_ticket(void* context, mbedtls_ssl_session* session, unsigned char* ticket, size_t size) {
  const auto& parts = *static_cast<const ServerContext::Parts*>(context);
  if (size < kHeadBytes + kPrefixBytes + kMacBytes || (size - kHeadBytes - kMacBytes) % kBlockBytes != 0)
    return MBEDTLS_ERR_SSL_BAD_INPUT_DATA;
  const TicketKey* key = find_key(ticket);
  if (key == nullptr) return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
  const size_t sealed = size - kMacBytes;
  char mac[kDigestMaxBytes];
  if (!make_mac(*key, view(ticket, sealed), mac)) return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
  if (!is_equal_constant_time({mac, kMacBytes}, view(ticket + sealed, kMacBytes)))
    return MBEDTLS_ERR_SSL_INVALID_MAC;
  // The library reads on in the message that the ticket is a part of: that stays as it is.
  std::string text(view(ticket + kHeadBytes, sealed - kHeadBytes));
  auto* const bytes = reinterpret_cast<unsigned char*>(text.data());
  const size_t used = decrypt(*key, ticket + kNameBytes, bytes, text.size());
  int result = MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
  if (used > kPrefixBytes && view(bytes, kScopeBytes) == parts.ticket_scope) {
    int64_t made_at = 0;
    std::memcpy(&made_at, bytes + kScopeBytes, kTimeBytes);
    const auto age = base::Clock::wall().time_since_epoch() - base::Duration(made_at);
    if (age < kLifetime)
      result = mbedtls_ssl_session_load(session, bytes + kPrefixBytes, used - kPrefixBytes);
  }
  mbedtls_platform_zeroize(bytes, text.size());
  return result;
}

}  // namespace moongate::tls
