// SPDX-License-Identifier: Apache-2.0
#include "proxy/request_head.h"

#include <cstring>

#include "exchange/variables.h"
#include "http/writer.h"
#include "tls/certificate.h"

namespace moongate::proxy {

using exchange::Exchange;
using http::BodyKind;
using http::Field;
using http::FieldId;

namespace {

// Fields the gateway writes itself or that end here.
constexpr http::FieldIds kReplaced = {FieldId::kHost,
                                      FieldId::kContentLength,
                                      FieldId::kExpect,
                                      FieldId::kForwarded,
                                      FieldId::kXRealIp,
                                      FieldId::kXForwardedFor,
                                      FieldId::kXForwardedProto,
                                      FieldId::kXForwardedHost,
                                      FieldId::kXForwardedPort,
                                      FieldId::kConnection,
                                      FieldId::kKeepAlive,
                                      FieldId::kProxyConnection,
                                      FieldId::kTe,
                                      FieldId::kTransferEncoding,
                                      FieldId::kUpgrade,
                                      FieldId::kTrailer};

char* write_port(char* at, std::string_view name, uint16_t port) {
  char text[8];
  char* end = http::write_number(text, port);
  return http::write_field(at, name, {text, static_cast<size_t>(end - text)});
}

// Only a trusted peer is believed about those before it; an upstream may take the first address of the list
// for the client.
char* write_forwarded_for(char* at, const Exchange& exchange) {
  const std::string_view claim = exchange.forwarded.forwarded_for;
  std::memcpy(at, "X-Forwarded-For: ", 17);
  at += 17;
  if (!claim.empty()) {
    std::memcpy(at, claim.data(), claim.size());
    at += claim.size();
    *at++ = ',';
    *at++ = ' ';
  }
  std::memcpy(at, exchange.peer_address.data(), exchange.peer_address.size());
  at += exchange.peer_address.size();
  *at++ = '\r';
  *at++ = '\n';
  return at;
}

char* write_forwarded(char* at, Exchange& exchange) {
  at = http::write_field(at, "X-Real-IP", exchange.remote_address);
  at = write_forwarded_for(at, exchange);
  const auto& claimed = exchange.forwarded;
  at = http::write_field(at, "X-Forwarded-Proto",
                         !claimed.proto.empty() ? claimed.proto
                         : exchange.is_tls      ? std::string_view("https")
                                                : std::string_view("http"));
  at =
      http::write_field(at, "X-Forwarded-Host", !claimed.host.empty() ? claimed.host : exchange.request.host);
  if (!claimed.port.empty()) return http::write_field(at, "X-Forwarded-Port", claimed.port);
  return write_port(at, "X-Forwarded-Port", exchange.client ? exchange.client->server_port() : uint16_t{0});
}

bool is_unix_node(const upstream::Node& node) { return node.host.starts_with("unix:"); }

// The path of a unix socket is no host, and nobody's business.
std::string_view name_of(const upstream::Node& node) {
  return is_unix_node(node) ? std::string_view("localhost") : std::string_view(node.text);
}

}  // namespace

std::string_view choose_upstream_host(Exchange& exchange) {
  if (!exchange.upstream_host.empty()) return exchange.upstream_host;
  const upstream::UpstreamOptions& options = exchange.upstream->options();
  if (options.pass_host == upstream::PassHost::kRewrite) return options.host;
  if (options.pass_host == upstream::PassHost::kNode) {
    const upstream::Node& node = *exchange.node;
    const auto scheme = exchange::find_upstream_scheme(exchange);
    uint16_t usual = scheme && upstream::is_tls(*scheme) ? 443 : 80;
    return node.port == usual && !is_unix_node(node) ? std::string_view(node.host) : name_of(node);
  }
  const Field* host = exchange.request.fields.find(FieldId::kHost);  // a plugin may have set it
  if (host) return host->value;
  // An HTTP/1.0 client may name no host; upstreams want one.
  return exchange.request.host.empty() ? name_of(*exchange.node) : exchange.request.host;
}

std::string_view find_server_name(Exchange& exchange) {
  const bool is_of_node = exchange.upstream_host.empty() &&
                          exchange.upstream->options().pass_host == upstream::PassHost::kNode &&
                          !is_unix_node(*exchange.node);
  const std::string_view host = is_of_node ? exchange.node->host : choose_upstream_host(exchange);
  if (tls::is_address(host)) return host;  // a node's, IPv6 without brackets
  http::HostParts parts;
  if (!http::split_host(host, &parts)) return {};
  const std::string_view name = http::spell_host(parts, &exchange.arena);
  return parts.is_ipv6 ? name.substr(1, name.size() - 2) : name;
}

std::string_view write_upstream_head(const Context& context, Exchange& exchange, BodyKind body,
                                     bool is_upgrade) {
  const http::FieldList& fields = exchange.request.fields;
  std::string_view host = choose_upstream_host(exchange);
  const http::CanonicalUri& uri = exchange.sent_uri();
  size_t bound =
      http::head_size_bound(
          fields, exchange.request.method_text.size() + uri.wire_path.size() + uri.query.size() + 32) +
      host.size() + 2 * exchange.request.host.size() + exchange.forwarded.forwarded_for.size() +
      exchange.forwarded.proto.size() + exchange.forwarded.host.size() + exchange.forwarded.port.size() + 512;
  char* start = exchange.arena.allocate_chars(bound);
  char* at =
      http::write_request_line(start, exchange.request.method_text, uri.wire_path, uri.query, uri.has_query);
  at = http::write_field(at, "Host", host);
  at = http::write_fields(at, fields, [](const Field& field) { return kReplaced.has(field.id); });
  at = write_forwarded(at, exchange);
  if (body == BodyKind::kChunked) {
    at = http::write_field(at, "Transfer-Encoding", "chunked");
  } else if (body == BodyKind::kLength) {
    char text[24];
    char* end = http::write_number(text, exchange.request.content_length);
    at = http::write_field(at, "Content-Length", {text, static_cast<size_t>(end - text)});
  }
  if (is_upgrade) {
    at = http::write_field(at, "Connection", "upgrade");
    if (const Field* upgrade = fields.find(FieldId::kUpgrade))
      at = http::write_field(at, "Upgrade", upgrade->value);
  }
  const auto scheme = exchange::find_upstream_scheme(exchange);
  const bool is_grpc = scheme && upstream::is_http2(*scheme);  // where an answer without trailers is none
  if (exchange.request.has_te_trailers || is_grpc) {
    at = http::write_field(at, "TE", "trailers");
    at = http::write_field(at, "Connection", "TE");
  }
  if (context.client.adds_via)
    at = http::write_field(at, "Via",
                           exchange.request.version_major == 3   ? "3.0 moongate"
                           : exchange.request.version_major == 2 ? "2.0 moongate"
                                                                 : "1.1 moongate");
  *at++ = '\r';
  *at++ = '\n';
  return {start, static_cast<size_t>(at - start)};
}

}  // namespace moongate::proxy
