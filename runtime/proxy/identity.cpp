// SPDX-License-Identifier: Apache-2.0
#include "proxy/identity.h"

#include "base/ascii.h"

namespace moongate::proxy {

using exchange::Exchange;
using http::FieldId;

namespace {

char fold(char c) { return c == '_' ? '-' : base::to_lower(c); }

// `name` begins with `prefix` (lower case, dashes) when case and underscores are ignored.
bool has_prefix(std::string_view name, std::string_view prefix) {
  if (name.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); i++) {
    if (fold(name[i]) != prefix[i]) return false;
  }
  return true;
}

std::string_view value_of(const http::FieldList& fields, FieldId id) {
  const http::Field* field = fields.find(id);
  return field ? field->value : std::string_view();
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Fields that Connection names end here. Nearly every request has `keep-alive`, `close` or no such field at
// all.
void remove_listed(http::FieldList& fields) {
  if (!fields.may_have({FieldId::kConnection})) return;
  for (uint32_t i = 0; i < fields.count(); i++) {
    if (fields[i].id != FieldId::kConnection) continue;
    std::string_view listed = fields[i].value;
    if (http::equals_ignoring_case(listed, "keep-alive") || http::equals_ignoring_case(listed, "close"))
      continue;
    for (uint32_t n = 0; n < fields.count();) {
      if (fields[n].id == FieldId::kOther && http::has_list_token(listed, fields[n].name)) {
        fields.remove_at(n);
        if (n < i) i--;
      } else {
        n++;
      }
    }
  }
}

// Walks X-Forwarded-For from the right: each hop vouches for the one before it as long as it is trusted.
void read_forwarded_for(const Context& context, Exchange& exchange) {
  std::string_view rest;
  for (const http::Field& field : exchange.request.fields) {
    if (field.id == FieldId::kXForwardedFor) rest = field.value;  // the last of several was added last
  }
  while (!rest.empty()) {
    size_t comma = rest.rfind(',');
    std::string_view hop = trim(comma == std::string_view::npos ? rest : rest.substr(comma + 1));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(0, comma);
    auto address = router::parse_address(hop);
    if (!address) return;
    exchange.remote_address = hop;
    exchange.remote = *address;
    if (!context.client.trusted.contains(*address)) return;
  }
}

}  // namespace

bool is_identity_field(std::string_view name) {
  return has_prefix(name, "x-consumer-") || has_prefix(name, "x-credential-") ||
         (name.size() == 10 && has_prefix(name, "x-userinfo"));
}

namespace {

// Names of the family that the gateway has no own meaning for (X-Forwarded-Prefix), and other spellings of
// those it has.
bool is_other_forwarded_field(std::string_view name, bool is_peer_trusted) {
  bool is_forwarded = has_prefix(name, "x-forwarded-") || (name.size() == 9 && has_prefix(name, "x-real-ip"));
  return is_forwarded && (!is_peer_trusted || name.find('_') != std::string_view::npos);
}

constexpr http::FieldIds kForwarded = {FieldId::kForwarded,       FieldId::kXForwardedFor,
                                       FieldId::kXForwardedHost,  FieldId::kXForwardedPort,
                                       FieldId::kXForwardedProto, FieldId::kXRealIp};

// Fields the gateway knows by no id of their own, and clients may not set.
bool is_dropped(const http::Field& field, bool is_peer_trusted) {
  if ((field.name[0] | 0x20) != 'x') return false;
  return is_identity_field(field.name) || is_other_forwarded_field(field.name, is_peer_trusted);
}

bool is_trusted_peer(const Context& context, const Exchange& exchange) {
  if (exchange.peer_address == "unix:") return context.client.is_unix_trusted;
  return !context.client.trusted.is_empty() && context.client.trusted.contains(exchange.remote);
}

}  // namespace

void settle_identity(const Context& context, Exchange& exchange) {
  http::FieldList& fields = exchange.request.fields;
  bool has_forwarded = false;  // by somebody who is believed
  exchange.remote_address = exchange.peer_address;
  exchange.is_peer_trusted = is_trusted_peer(context, exchange);
  remove_listed(fields);
  const bool is_peer_trusted = exchange.is_peer_trusted;
  for (uint32_t i = 0; i < fields.count();) {
    const http::Field& field = fields[i];
    const bool is_forwarded = kForwarded.has(field.id);
    if (is_forwarded ? !is_peer_trusted : field.id == FieldId::kOther && is_dropped(field, is_peer_trusted)) {
      fields.remove_at(i);
      continue;
    }
    has_forwarded |= is_forwarded;
    i++;
  }
  if (!has_forwarded) return;
  exchange.forwarded = {
      value_of(fields, FieldId::kXForwardedFor), value_of(fields, FieldId::kXForwardedProto),
      value_of(fields, FieldId::kXForwardedHost), value_of(fields, FieldId::kXForwardedPort)};
  read_forwarded_for(context, exchange);
}

}  // namespace moongate::proxy
