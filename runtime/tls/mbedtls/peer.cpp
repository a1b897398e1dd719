// SPDX-License-Identifier: Apache-2.0
// What a peer's certificate says. The library's own texts are not those of OpenSSL, which plugins and logs
// are used to, and of alternative names it compares hosts only.
#include <arpa/inet.h>
#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "tls/certificate.h"
#include "tls/digest.h"
#include "tls/mbedtls/parts.h"

namespace moongate::tls {

namespace {

struct AttributeName {
  std::string_view oid, text;
};

// OpenSSL's short names.
constexpr std::array<AttributeName, 27> kAttributeNames = {{
    {"2.5.4.3", "CN"},
    {"2.5.4.4", "SN"},
    {"2.5.4.5", "serialNumber"},
    {"2.5.4.6", "C"},
    {"2.5.4.7", "L"},
    {"2.5.4.8", "ST"},
    {"2.5.4.9", "street"},
    {"2.5.4.10", "O"},
    {"2.5.4.11", "OU"},
    {"2.5.4.12", "title"},
    {"2.5.4.13", "description"},
    {"2.5.4.15", "businessCategory"},
    {"2.5.4.16", "postalAddress"},
    {"2.5.4.17", "postalCode"},
    {"2.5.4.20", "telephoneNumber"},
    {"2.5.4.41", "name"},
    {"2.5.4.42", "GN"},
    {"2.5.4.43", "initials"},
    {"2.5.4.44", "generationQualifier"},
    {"2.5.4.46", "dnQualifier"},
    {"2.5.4.65", "pseudonym"},
    {"2.5.4.97", "organizationIdentifier"},
    {"1.2.840.113549.1.9.1", "emailAddress"},
    {"0.9.2342.19200300.100.1.1", "UID"},
    {"0.9.2342.19200300.100.1.25", "DC"},
    {"1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"},
    {"1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"},
}};

std::string_view text_of(const mbedtls_asn1_buf& buffer) {
  return {reinterpret_cast<const char*>(buffer.p), buffer.len};
}

void append_utf8(std::string* to, uint32_t point) {
  if (point < 0x80) {
    *to += static_cast<char>(point);
  } else if (point < 0x800) {
    *to += static_cast<char>(0xC0 | point >> 6);
    *to += static_cast<char>(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    *to += static_cast<char>(0xE0 | point >> 12);
    *to += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    *to += static_cast<char>(0x80 | (point & 0x3F));
  } else {
    *to += static_cast<char>(0xF0 | (point >> 18 & 0x07));
    *to += static_cast<char>(0x80 | (point >> 12 & 0x3F));
    *to += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    *to += static_cast<char>(0x80 | (point & 0x3F));
  }
}

/// How many bytes a character of such a string has; 0 for UTF-8 and what is a part of it.
size_t character_bytes(int tag) {
  switch (tag) {
    case MBEDTLS_ASN1_T61_STRING:
      return 1;
    case MBEDTLS_ASN1_BMP_STRING:
      return 2;
    case MBEDTLS_ASN1_UNIVERSAL_STRING:
      return 4;
    default:
      return 0;
  }
}

std::string utf8_of(const mbedtls_asn1_buf& value) {
  const size_t width = character_bytes(value.tag);
  if (width == 0) return std::string(text_of(value));
  std::string text;
  for (size_t at = 0; at + width <= value.len; at += width) {
    uint32_t point = 0;
    for (size_t i = 0; i < width; i++) point = point << 8 | value.p[at + i];
    append_utf8(&text, point);
  }
  return text;
}

// RFC 2253 2.4, and everything that is no ASCII as hexadecimal digits.
void append_escaped(std::string* to, const std::string& text) {
  for (size_t i = 0; i < text.size(); i++) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool is_edge_space = byte == ' ' && (i == 0 || i + 1 == text.size());
    if (byte < 0x20 || byte >= 0x7F) {
      to->append("\\").append(hex(&byte, 1, base::kHexUpper));
    } else {
      if (is_edge_space || (byte == '#' && i == 0) ||
          std::string_view(",+\"\\<>;").find(text[i]) != std::string_view::npos)
        *to += '\\';
      *to += text[i];
    }
  }
}

// An attribute without a name, or a value that is no text, is shown as it is encoded.
std::string encoded_text(const mbedtls_asn1_buf& value) {
  std::string head(1, static_cast<char>(value.tag));
  if (value.len > 127) {
    const int width = value.len > 255 ? 2 : 1;
    head += static_cast<char>(0x80 | width);
    if (width == 2) head += static_cast<char>(value.len >> 8);
  }
  head += static_cast<char>(value.len);
  return "#" + hex(reinterpret_cast<const unsigned char*>(head.data()), head.size(), base::kHexUpper) +
         hex(value.p, value.len, base::kHexUpper);
}

std::string attribute_text(const mbedtls_x509_name& attribute) {
  char oid[128];
  if (mbedtls_oid_get_numeric_string(oid, sizeof oid, &attribute.oid) < 0) return {};
  const auto* known = std::find_if(kAttributeNames.begin(), kAttributeNames.end(),
                                   [&oid](const AttributeName& name) { return name.oid == oid; });
  const bool is_known = known != kAttributeNames.end();
  std::string text(is_known ? known->text : oid);
  text += '=';
  if (!is_known || attribute.val.tag == MBEDTLS_ASN1_BIT_STRING) return text + encoded_text(attribute.val);
  append_escaped(&text, utf8_of(attribute.val));
  return text;
}

// RFC 2253 has the last first.
std::string name_text(const mbedtls_x509_name& name) {
  std::string text;
  for (const mbedtls_x509_name* at = &name; at != nullptr && at->oid.p != nullptr; at = at->next) {
    std::string one = attribute_text(*at);
    const bool is_last = at->next == nullptr || at->next->oid.p == nullptr;
    if (!is_last) one.insert(0, at->next_merged != 0 ? "+" : ",");
    text.insert(0, one);
  }
  return text;
}

std::string pem_text(const mbedtls_x509_buf& der) {
  constexpr char kBegin[] = "-----BEGIN CERTIFICATE-----\n";
  constexpr char kEnd[] = "-----END CERTIFICATE-----\n";
  std::string text(der.len * 3 / 2 + 128, '\0');
  size_t size = 0;
  const int fault = mbedtls_pem_write_buffer(
      kBegin, kEnd, der.p, der.len, reinterpret_cast<unsigned char*>(text.data()), text.size(), &size);
  text.resize(fault == 0 && size > 0 ? size - 1 : 0);  // the zero is counted
  return text;
}

bool is_same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return base::to_lower(x) == base::to_lower(y);
         });
}

// `*` stands for one whole label, and never for what is directly below the root's children.
bool is_host_meant(std::string_view pattern, std::string_view name) {
  if (!pattern.starts_with("*.")) return is_same_name(pattern, name);
  const std::string_view parent = pattern.substr(1);
  const size_t dot = name.find('.');
  return parent.find('.', 1) != parent.npos && dot != name.npos && dot > 0 &&
         is_same_name(parent, name.substr(dot));
}

std::string address_bytes(const std::string& name) {
  char bytes[16];
  if (::inet_pton(AF_INET, name.c_str(), bytes) == 1) return {bytes, 4};
  if (::inet_pton(AF_INET6, name.c_str(), bytes) == 1) return {bytes, 16};
  return {};
}

}  // namespace

std::string_view find_extension(const mbedtls_x509_crt& certificate, std::string_view oid) {
  unsigned char* at = certificate.v3_ext.p;
  const unsigned char* end = at + certificate.v3_ext.len;
  constexpr int kSequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
  size_t size = 0;
  if (at == nullptr || mbedtls_asn1_get_tag(&at, end, &size, kSequence) != 0) return {};
  while (at < end && mbedtls_asn1_get_tag(&at, end, &size, kSequence) == 0) {
    unsigned char* const next = at + size;
    if (mbedtls_asn1_get_tag(&at, next, &size, MBEDTLS_ASN1_OID) != 0) return {};
    const std::string_view found(reinterpret_cast<const char*>(at), size);
    at += size;
    int is_critical = 0;
    (void)mbedtls_asn1_get_bool(&at, next, &is_critical);  // it may be left out
    if (mbedtls_asn1_get_tag(&at, next, &size, MBEDTLS_ASN1_OCTET_STRING) != 0) return {};
    if (found == oid) return {reinterpret_cast<const char*>(at), size};
    at = next;
  }
  return {};
}

bool is_for_name(const mbedtls_x509_crt& certificate, const std::string& name) {
  constexpr int kHost = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME;
  constexpr int kAddress = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_IP_ADDRESS;
  const std::string_view names = find_extension(certificate, MBEDTLS_OID_SUBJECT_ALT_NAME);
  const std::string address = address_bytes(name);
  // The library's readers take no const and change nothing.
  auto* at = reinterpret_cast<unsigned char*>(const_cast<char*>(names.data()));
  const unsigned char* end = at + names.size();
  size_t size = 0;
  if (mbedtls_asn1_get_tag(&at, end, &size, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0)
    return false;
  while (at < end) {
    const int tag = *at++;
    if (mbedtls_asn1_get_len(&at, end, &size) != 0) return false;
    const std::string_view value(reinterpret_cast<const char*>(at), size);
    if (!address.empty() && tag == kAddress && value == address) return true;
    if (address.empty() && tag == kHost && is_host_meant(value, name)) return true;
    at += size;
  }
  return false;
}

PeerCertificate describe_peer(const mbedtls_x509_crt& certificate) {
  PeerCertificate peer;
  peer.is_present = true;
  peer.subject = name_text(certificate.subject);
  peer.issuer = name_text(certificate.issuer);
  mbedtls_x509_buf serial = certificate.serial;
  for (; serial.len > 1 && *serial.p == 0; serial.len--) serial.p++;  // it says that the number is positive
  peer.serial = hex(serial.p, serial.len, base::kHexUpper);
  char print[kDigestMaxBytes];
  const size_t size = digest("sha1", text_of(certificate.raw), print);
  peer.fingerprint = hex(reinterpret_cast<unsigned char*>(print), size, base::kHexLower);
  peer.pem = pem_text(certificate.raw);
  return peer;
}

}  // namespace moongate::tls
