// SPDX-License-Identifier: Apache-2.0
// What is said to a certificate authority, and how its answers are read (RFC 8555). Pure functions; who says
// it when is acme_client.h's business.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/value.h"

namespace moongate::control {

struct AcmeDirectory {
  std::string new_nonce;  // URLs
  std::string new_account;
  std::string new_order;
  bool needs_external_account = false;
};
base::Result<AcmeDirectory> parse_acme_directory(std::string_view text);

/// An answer that refuses (RFC 7807).
struct AcmeProblem {
  std::string type;  // "badNonce", without what all of them begin with; "about:blank" when it has none
  std::string detail;
  std::string text() const { return type + ": " + detail; }
};
AcmeProblem parse_acme_problem(uint16_t status, std::string_view text);

struct AcmeOrder {
  std::string status;
  std::vector<std::string> authorizations;  // URLs
  std::string finalize;
  std::string certificate;
  std::string error;  // why it became invalid; may be empty
};
base::Result<AcmeOrder> parse_acme_order(std::string_view text);

struct AcmeAuthorization {
  std::string status;
  std::string name;   // that it is about
  std::string url;    // of the challenge of type http-01; empty when it has none
  std::string token;  // of that challenge
  std::string error;  // of that challenge; may be empty
};
base::Result<AcmeAuthorization> parse_acme_authorization(std::string_view text);

/// Whether a token is one that can stand in a path, and not too long to be told around.
bool is_acme_token(std::string_view token);

struct AcmeSigner {
  std::string key_pem;
  std::string account;  // its URL; empty: the key itself is shown
};
/// The body of a signed request (JWS in JSON). An empty payload asks for what is at `url`.
base::Result<std::string> sign_acme(const AcmeSigner& signer, const std::string& nonce,
                                    const std::string& url, std::string_view payload);
/// The account's key, signed with the one that the authority has given for an account it knows (RFC 8555
/// 7.3.4). `key` is Base64 for URLs.
base::Result<base::Value> bind_external_account(const std::string& account_key_pem, const std::string& key_id,
                                                const std::string& key, const std::string& url);
/// What is to be found under a token.
base::Result<std::string> key_authorization(const std::string& key_pem, const std::string& token);

/// Base64 for URLs, without padding.
std::string to_url_base64(std::string_view bytes);

/// The value of Retry-After: seconds, or a date. Nothing for anything else.
std::optional<base::Duration> parse_retry_after(std::string_view text, base::WallTime now);

}  // namespace moongate::control
