// SPDX-License-Identifier: Apache-2.0
// Suites without forward secrecy are left out on purpose: decrypting the client's secret with the RSA key
// takes a time in this version of the library that tells of the secret.
#include "tls/mbedtls/ciphers.h"

#include <mbedtls/ssl_ciphersuites.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace moongate::tls {

namespace {

enum : uint32_t {
  kEcdhe = 1,
  kDhe = 2,
  kEcdsa = 4,
  kRsa = 8,
  kAes128 = 16,
  kAes256 = 32,
  kGcm = 64,
  kChacha20 = 128,
  kSha1 = 256,
  kSha256 = 512,
  kSha384 = 1024,
  kEvery = 2047,
};

struct Suite {
  int id;
  std::string_view name;
  uint32_t traits;
};

// In the order of OpenSSL's own list.
constexpr std::array<Suite, 21> kSuites = {{
    {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384",
     kEcdhe | kEcdsa | kAes256 | kGcm},
    {MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384",
     kEcdhe | kRsa | kAes256 | kGcm},
    {MBEDTLS_TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, "DHE-RSA-AES256-GCM-SHA384", kDhe | kRsa | kAes256 | kGcm},
    {MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305",
     kEcdhe | kEcdsa | kChacha20},
    {MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305",
     kEcdhe | kRsa | kChacha20},
    {MBEDTLS_TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "DHE-RSA-CHACHA20-POLY1305", kDhe | kRsa | kChacha20},
    {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256",
     kEcdhe | kEcdsa | kAes128 | kGcm},
    {MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256",
     kEcdhe | kRsa | kAes128 | kGcm},
    {MBEDTLS_TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, "DHE-RSA-AES128-GCM-SHA256", kDhe | kRsa | kAes128 | kGcm},
    {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384, "ECDHE-ECDSA-AES256-SHA384",
     kEcdhe | kEcdsa | kAes256 | kSha384},
    {MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384, "ECDHE-RSA-AES256-SHA384",
     kEcdhe | kRsa | kAes256 | kSha384},
    {MBEDTLS_TLS_DHE_RSA_WITH_AES_256_CBC_SHA256, "DHE-RSA-AES256-SHA256", kDhe | kRsa | kAes256 | kSha256},
    {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE-ECDSA-AES128-SHA256",
     kEcdhe | kEcdsa | kAes128 | kSha256},
    {MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE-RSA-AES128-SHA256",
     kEcdhe | kRsa | kAes128 | kSha256},
    {MBEDTLS_TLS_DHE_RSA_WITH_AES_128_CBC_SHA256, "DHE-RSA-AES128-SHA256", kDhe | kRsa | kAes128 | kSha256},
    {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA",
     kEcdhe | kEcdsa | kAes256 | kSha1},
    {MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA", kEcdhe | kRsa | kAes256 | kSha1},
    {MBEDTLS_TLS_DHE_RSA_WITH_AES_256_CBC_SHA, "DHE-RSA-AES256-SHA", kDhe | kRsa | kAes256 | kSha1},
    {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA",
     kEcdhe | kEcdsa | kAes128 | kSha1},
    {MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA", kEcdhe | kRsa | kAes128 | kSha1},
    {MBEDTLS_TLS_DHE_RSA_WITH_AES_128_CBC_SHA, "DHE-RSA-AES128-SHA", kDhe | kRsa | kAes128 | kSha1},
}};

struct Word {
  std::string_view text;
  uint32_t traits;  // a suite with any of them is meant
};

constexpr std::array<Word, 27> kWords = {{
    {"ALL", kEvery},
    {"DEFAULT", kEvery},
    {"COMPLEMENTOFALL", 0},
    {"HIGH", kEvery},
    {"ECDHE", kEcdhe},
    {"EECDH", kEcdhe},
    {"kECDHE", kEcdhe},
    {"kEECDH", kEcdhe},
    {"DHE", kDhe},
    {"EDH", kDhe},
    {"kDHE", kDhe},
    {"kEDH", kDhe},
    {"ECDSA", kEcdsa},
    {"aECDSA", kEcdsa},
    {"aRSA", kRsa},
    {"AES", kAes128 | kAes256},
    {"AES128", kAes128},
    {"AES256", kAes256},
    {"AESGCM", kGcm},
    {"CHACHA20", kChacha20},
    {"SHA", kSha1},
    {"SHA1", kSha1},
    {"SHA256", kSha256},
    {"SHA384", kSha384},
    {"TLSv1", kSha1},
    {"SSLv3", kSha1},
    {"TLSv1.2", kGcm | kChacha20 | kSha256 | kSha384},
}};

bool is_meant(const Suite& suite, std::string_view item) {
  if (item == suite.name) return true;
  while (true) {
    const size_t plus = item.find('+');
    const std::string_view text = item.substr(0, plus);
    const auto* word =
        std::find_if(kWords.begin(), kWords.end(), [text](const Word& w) { return w.text == text; });
    if (word == kWords.end() || (word->traits & suite.traits) == 0) return false;
    if (plus == item.npos) return true;
    item.remove_prefix(plus + 1);
  }
}

using Choice = std::vector<const Suite*>;

// `!` takes suites away for good, `-` for now, `+` puts those that are there last; without a sign they are
// added.
void apply(std::string_view item, Choice* chosen, Choice* banned) {
  const char sign = item.front();
  if (sign == '!' || sign == '-' || sign == '+') item.remove_prefix(1);
  for (const Suite& suite : kSuites) {
    if (!is_meant(suite, item)) continue;
    const auto place = std::find(chosen->begin(), chosen->end(), &suite);
    const bool was_there = place != chosen->end();
    if (was_there && (sign == '!' || sign == '-' || sign == '+')) chosen->erase(place);
    if (sign == '!') banned->push_back(&suite);
    const bool is_banned = std::find(banned->begin(), banned->end(), &suite) != banned->end();
    const bool is_added = sign == '+' ? was_there : sign != '-' && !was_there && !is_banned;
    if (is_added) chosen->push_back(&suite);
  }
}

void sort_by_strength(Choice* chosen) {
  std::stable_partition(chosen->begin(), chosen->end(),
                        [](const Suite* suite) { return (suite->traits & kAes128) == 0; });
}

}  // namespace

std::vector<int> parse_ciphers(std::string_view list) {
  constexpr std::string_view kSeparators = ":,; ";
  Choice chosen;
  Choice banned;
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find_first_of(kSeparators));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    if (item == "@STRENGTH") sort_by_strength(&chosen);
    if (!item.empty() && item.front() != '@') apply(item, &chosen, &banned);
  }
  std::vector<int> suites;
  for (const Suite* suite : chosen) suites.push_back(suite->id);
  if (!suites.empty()) suites.push_back(0);
  return suites;
}

std::string_view cipher_name(int id) {
  const auto* suite =
      std::find_if(kSuites.begin(), kSuites.end(), [id](const Suite& s) { return s.id == id; });
  return suite == kSuites.end() ? std::string_view() : suite->name;
}

}  // namespace moongate::tls
