// SPDX-License-Identifier: Apache-2.0
#include "control/acme_wire.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "base/base64.h"
#include "base/json.h"
#include "control/one_line.h"
#include "tls/certificate.h"
#include "tls/digest.h"
#include "tls/private_key.h"

namespace moongate::control {

using base::Result;
using base::Value;

namespace {

constexpr size_t kTokenMaxBytes = 128;
constexpr size_t kDetailMaxBytes = 500;
constexpr size_t kAuthorizationsMax = 100;
constexpr std::string_view kErrorPrefix = "urn:ietf:params:acme:error:";

std::string shorten(std::string_view text) { return one_line(std::string(text.substr(0, kDetailMaxBytes))); }

AcmeProblem problem_of(const Value& value) {
  std::string_view type = value.get_string("type", "about:blank");
  if (type.starts_with(kErrorPrefix)) type.remove_prefix(kErrorPrefix.size());
  AcmeProblem problem{shorten(type), shorten(value.get_string("detail"))};
  const Value* parts = value.find("subproblems");
  if (parts == nullptr || !parts->is_array() || parts->items().empty()) return problem;
  problem.detail += " (" + shorten(parts->items().front().get_string("detail")) + ")";
  return problem;
}

Result<Value> parse_object(std::string_view text, std::string_view what) {
  Result<Value> value = base::parse_json(text);
  if (!value || !value->is_object())
    return base::invalid("what the authority sent is no " + std::string(what));
  return value;
}

std::string error_of(const Value& value) {
  const Value* error = value.find("error");
  return error == nullptr || !error->is_object() ? "" : problem_of(*error).text();
}

/// A JWS in the flattened form. `sign` gets what is to be signed.
template <class Sign>
Result<Value> make_jws(const std::string& header, std::string_view payload, Sign sign) {
  const std::string first = to_url_base64(header);
  const std::string second = to_url_base64(payload);
  const Result<std::string> signature = sign(first + "." + second);
  if (!signature) return signature.error();
  Value jws = Value::object();
  jws.set("protected", Value::string(first));
  jws.set("payload", Value::string(second));
  jws.set("signature", Value::string(to_url_base64(*signature)));
  return jws;
}

}  // namespace

std::string to_url_base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4, '\0');
  text.resize(base::encode_base64(bytes, base::Base64Alphabet::kUrl, false, text.data()));
  return text;
}

Result<AcmeDirectory> parse_acme_directory(std::string_view text) {
  Result<Value> value = parse_object(text, "directory; set moongate.acme.directory to the URL of one");
  if (!value) return value.error();
  AcmeDirectory directory{std::string(value->get_string("newNonce")),
                          std::string(value->get_string("newAccount")),
                          std::string(value->get_string("newOrder"))};
  if (directory.new_nonce.empty() || directory.new_account.empty() || directory.new_order.empty())
    return base::invalid("what is there is no directory; set moongate.acme.directory to the URL of one");
  if (const Value* meta = value->find("meta"))
    directory.needs_external_account = meta->get_bool("externalAccountRequired", false);
  return directory;
}

AcmeProblem parse_acme_problem(uint16_t status, std::string_view text) {
  const Result<Value> value = base::parse_json(text);
  if (value && value->is_object()) return problem_of(*value);
  return {"about:blank", "it answers " + std::to_string(status)};
}

Result<AcmeOrder> parse_acme_order(std::string_view text) {
  Result<Value> value = parse_object(text, "order");
  if (!value) return value.error();
  AcmeOrder order{std::string(value->get_string("status")),
                  {},
                  std::string(value->get_string("finalize")),
                  std::string(value->get_string("certificate")),
                  error_of(*value)};
  const Value* list = value->find("authorizations");
  if (order.status.empty() || order.finalize.empty() || list == nullptr || !list->is_array())
    return base::invalid("what the authority sent is no order");
  if (list->items().size() > kAuthorizationsMax)
    return base::invalid("the authority wants more than 100 authorizations for one order");
  for (const Value& url : list->items()) {
    if (url.is_string()) order.authorizations.push_back(url.as_string());
  }
  return order;
}

Result<AcmeAuthorization> parse_acme_authorization(std::string_view text) {
  Result<Value> value = parse_object(text, "authorization");
  if (!value) return value.error();
  AcmeAuthorization authorization;
  authorization.status = value->get_string("status");
  if (const Value* identifier = value->find("identifier"))
    authorization.name = shorten(identifier->get_string("value"));
  const Value* list = value->find("challenges");
  if (authorization.status.empty() || list == nullptr || !list->is_array())
    return base::invalid("what the authority sent is no authorization");
  for (const Value& challenge : list->items()) {
    if (challenge.get_string("type") != "http-01") continue;
    authorization.url = challenge.get_string("url");
    authorization.token = challenge.get_string("token");
    authorization.error = error_of(challenge);
  }
  return authorization;
}

bool is_acme_token(std::string_view token) {
  return !token.empty() && token.size() <= kTokenMaxBytes &&
         std::all_of(token.begin(), token.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                  c == '_';
         });
}

Result<std::string> sign_acme(const AcmeSigner& signer, const std::string& nonce, const std::string& url,
                              std::string_view payload) {
  std::string header = R"({"alg":"ES256","nonce":)";
  base::append_json_string(header, nonce);
  header += ",\"url\":";
  base::append_json_string(header, url);
  if (signer.account.empty()) {
    const Result<std::string> jwk = tls::public_jwk(signer.key_pem);
    if (!jwk) return jwk.error();
    header += ",\"jwk\":" + *jwk;
  } else {
    header += ",\"kid\":";
    base::append_json_string(header, signer.account);
  }
  header += "}";
  const Result<Value> jws = make_jws(
      header, payload, [&](const std::string& text) { return tls::sign_es256(signer.key_pem, text); });
  if (!jws) return jws.error();
  return base::to_json(*jws);
}

Result<Value> bind_external_account(const std::string& account_key_pem, const std::string& key_id,
                                    const std::string& key, const std::string& url) {
  const Result<std::string> jwk = tls::public_jwk(account_key_pem);
  if (!jwk) return jwk.error();
  std::string secret(key.size(), '\0');
  const auto size = base::decode_base64(key, base::Base64Alphabet::kUrl, secret.data());
  if (!size) return base::invalid("moongate.acme.external_account.key: it is no Base64 for URLs");
  secret.resize(*size);
  std::string header = R"({"alg":"HS256","kid":)";
  base::append_json_string(header, key_id);
  header += ",\"url\":";
  base::append_json_string(header, url);
  header += "}";
  return make_jws(header, *jwk, [&](const std::string& text) {
    char code[tls::kDigestMaxBytes];
    return Result<std::string>(std::string(code, tls::hmac("sha256", secret, text, code)));
  });
}

Result<std::string> key_authorization(const std::string& key_pem, const std::string& token) {
  const Result<std::string> jwk = tls::public_jwk(key_pem);
  if (!jwk) return jwk.error();
  char hash[tls::kDigestMaxBytes];
  const size_t size = tls::digest("sha256", *jwk, hash);
  return token + "." + to_url_base64({hash, size});
}

std::optional<base::Duration> parse_retry_after(std::string_view text, base::WallTime now) {
  int32_t seconds = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (fault == std::errc() && end == text.data() + text.size()) {
    if (seconds < 0) return std::nullopt;
    return std::chrono::seconds(seconds);
  }
  std::tm parts{};
  const std::string date(text);
  const char* rest = ::strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (rest == nullptr || *rest != '\0') return std::nullopt;
  const base::WallTime at = tls::to_wall_time(::timegm(&parts));
  return std::max(base::Duration(0), at - now);
}

}  // namespace moongate::control
