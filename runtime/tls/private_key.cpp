// SPDX-License-Identifier: Apache-2.0
#include "tls/private_key.h"

#include "base/base64.h"

namespace moongate::tls {

using base::Result;

namespace {

// Tags of DER (X.690), and the object identifiers that a request has.
constexpr char kInteger = 0x02;
constexpr char kBitString = 0x03;
constexpr char kOctetString = 0x04;
constexpr char kSequence = 0x30;
constexpr char kSet = 0x31;
constexpr char kAttributes = static_cast<char>(0xa0);  // [0]
constexpr char kDnsName = static_cast<char>(0x82);     // [2], of a GeneralName
constexpr std::string_view kExtensionRequest{"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", 11};
constexpr std::string_view kSubjectAltName{"\x06\x03\x55\x1d\x11", 5};
constexpr std::string_view kEcdsaWithSha256{"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 10};
constexpr std::string_view kSha256WithRsa{"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00", 13};
constexpr std::string_view kRsaEncryption{"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 11};
// All of the public key's form on P-256 but the two coordinates (RFC 5480).
constexpr std::string_view kP256Info{
    "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    "\x03\x42\x00\x04",
    27};
constexpr size_t kCoordinateBytes = 32;

std::string der(char tag, std::string_view content) {
  std::string text(1, tag);
  const size_t size = content.size();
  if (size < 0x80) {
    text += static_cast<char>(size);
  } else {
    std::string digits;
    for (size_t rest = size; rest > 0; rest >>= 8U) digits.insert(digits.begin(), static_cast<char>(rest));
    text += static_cast<char>(0x80U | digits.size());
    text += digits;
  }
  return text.append(content);
}

std::string bit_string(std::string_view bytes) { return der(kBitString, std::string(1, '\0').append(bytes)); }

/// Takes the INTEGER at the front of `bytes` as a number of kCoordinateBytes; nothing when there is none.
std::string take_number(std::string_view* bytes) {
  if (bytes->size() < 2 || (*bytes)[0] != kInteger) return {};
  const auto size = static_cast<unsigned char>((*bytes)[1]);
  if (size > bytes->size() - 2) return {};
  std::string_view number = bytes->substr(2, size);
  bytes->remove_prefix(2 + size_t{size});
  while (!number.empty() && number.front() == '\0') number.remove_prefix(1);
  if (number.size() > kCoordinateBytes) return {};
  return std::string(kCoordinateBytes - number.size(), '\0').append(number);
}

std::string to_url_base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4, '\0');
  text.resize(base::encode_base64(bytes, base::Base64Alphabet::kUrl, false, text.data()));
  return text;
}

bool is_p256(std::string_view info) {
  return info.size() == kP256Info.size() + 2 * kCoordinateBytes && info.starts_with(kP256Info);
}

}  // namespace

Result<std::string> sign_es256(const std::string& key_pem, std::string_view data) {
  const Result<std::string> info = public_key_info(key_pem);
  if (!info) return info.error();
  if (!is_p256(*info)) return base::invalid("ES256 needs a key on the curve P-256");
  const Result<std::string> made = sign_sha256(key_pem, data);
  if (!made) return made.error();
  std::string_view rest = *made;
  if (rest.size() < 2 || rest[0] != kSequence) return base::invalid("the signature cannot be read");
  rest.remove_prefix(2);  // its size is below 128
  std::string signature = take_number(&rest);
  signature += take_number(&rest);
  if (signature.size() != 2 * kCoordinateBytes) return base::invalid("the signature cannot be read");
  return signature;
}

Result<std::string> public_jwk(const std::string& key_pem) {
  const Result<std::string> info = public_key_info(key_pem);
  if (!info) return info.error();
  if (!is_p256(*info)) return base::invalid("ES256 needs a key on the curve P-256");
  const std::string_view point = std::string_view(*info).substr(kP256Info.size());
  return R"({"crv":"P-256","kty":"EC","x":")" + to_url_base64(point.substr(0, kCoordinateBytes)) +
         R"(","y":")" + to_url_base64(point.substr(kCoordinateBytes)) + "\"}";
}

Result<std::string> make_certificate_request(const std::string& key_pem,
                                             const std::vector<std::string>& names) {
  const Result<std::string> info = public_key_info(key_pem);
  if (!info) return info.error();
  std::string general_names;
  for (const std::string& name : names) general_names += der(kDnsName, name);
  const std::string alternative =
      der(kSequence, std::string(kSubjectAltName) + der(kOctetString, der(kSequence, general_names)));
  const std::string attribute =
      der(kSequence, std::string(kExtensionRequest) + der(kSet, der(kSequence, alternative)));
  const std::string version = der(kInteger, std::string(1, '\0'));
  const std::string subject = der(kSequence, "");
  const std::string body = der(kSequence, version + subject + *info + der(kAttributes, attribute));
  const Result<std::string> signature = sign_sha256(key_pem, body);
  if (!signature) return signature.error();
  const bool is_rsa = info->find(kRsaEncryption) != info->npos;
  const std::string algorithm = der(kSequence, is_rsa ? kSha256WithRsa : kEcdsaWithSha256);
  return der(kSequence, body + algorithm + bit_string(*signature));
}

}  // namespace moongate::tls
