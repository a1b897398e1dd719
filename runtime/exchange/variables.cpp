// SPDX-License-Identifier: Apache-2.0
#include "exchange/variables.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <unordered_map>

#include "base/ascii.h"
#include "http/chars.h"
#include "http/writer.h"

namespace moongate::exchange {
namespace {

using std::string_view;

string_view number(Exchange& exchange, uint64_t value) {
  char* text = exchange.arena.allocate_chars(24);
  return {text, static_cast<size_t>(http::write_number(text, value) - text)};
}

// Null when the client speaks in clear, or has gone.
const tls::Handshake* handshake_of(const Exchange& exchange) {
  return exchange.client ? exchange.client->tls_handshake() : nullptr;
}

// What the client's certificate says; false without one.
bool find_in_certificate(Exchange& exchange, std::string tls::PeerCertificate::*text, string_view* out) {
  if (!handshake_of(exchange)) return false;
  const tls::PeerCertificate peer = handshake_of(exchange)->peer();
  *out = exchange.arena.copy(peer.*text);
  return peer.is_present;
}

string_view verify_text(const Exchange& exchange) {
  const tls::PeerCertificate peer = handshake_of(exchange)->peer();
  if (!peer.is_present) return "NONE";
  return peer.is_verified ? string_view("SUCCESS") : string_view("FAILED");
}

// Seconds with three decimals, as nginx writes them.
string_view seconds(Exchange& exchange, base::Duration duration) {
  char* text = exchange.arena.allocate_chars(32);
  double value = std::chrono::duration<double>(duration).count();
  int size = std::snprintf(text, 32, "%.3f", value < 0 ? 0 : value);
  return {text, static_cast<size_t>(size)};
}

string_view time_text(Exchange& exchange, const char* format) {
  time_t now =
      std::chrono::duration_cast<std::chrono::seconds>(exchange.started_wall.time_since_epoch()).count();
  tm parts{};
  ::gmtime_r(&now, &parts);
  char* text = exchange.arena.allocate_chars(64);
  return {text, std::strftime(text, 64, format, &parts)};
}

// One of the tries' figures, "a, b" when there were several.
template <class Write>
bool join_tries(Exchange& exchange, string_view* value, Write write) {
  if (exchange.tries == 0) return false;
  std::string joined;
  size_t count = std::min<size_t>(exchange.tries, std::size(exchange.try_records));
  for (size_t i = 0; i < count; i++) {
    if (i > 0) joined += ", ";
    write(joined, exchange.try_records[i]);
  }
  *value = exchange.arena.copy(joined);
  return true;
}

void append_seconds(std::string& out, base::Duration duration) {
  char text[32];
  if (duration.count() < 0) {
    out += "-";
    return;
  }
  out.append(text, static_cast<size_t>(std::snprintf(text, sizeof text, "%.3f",
                                                     std::chrono::duration<double>(duration).count())));
}

string_view join_uri(Exchange& exchange, const http::CanonicalUri& uri) {
  if (!uri.has_query) return uri.wire_path;
  std::string text(uri.wire_path);
  text += '?';
  text += uri.query;
  return exchange.arena.copy(text);
}

// A header field by its variable name: lower case, `_` for `-`.
const http::Field* find_by_variable_name(const http::FieldList& fields, string_view name) {
  for (const http::Field& field : fields) {
    if (field.name.size() != name.size()) continue;
    bool is_equal = true;
    for (size_t i = 0; i < name.size() && is_equal; i++) {
      const char c = base::to_lower(field.name[i]);
      is_equal = (c == '-' ? '_' : c) == name[i];
    }
    if (is_equal) return &field;
  }
  return nullptr;
}

bool find_field(const http::FieldList& fields, string_view name, string_view* value) {
  const http::Field* field = find_by_variable_name(fields, name);
  if (field) *value = field->value;
  return field != nullptr;
}

bool find_argument(Exchange& exchange, string_view wanted, string_view* value) {
  string_view rest = exchange.uri.query, name, raw;
  bool has_value = false;
  while (http::next_query_argument(&rest, &name, &raw, &has_value)) {
    if (name != wanted && http::unescape(name, true, &exchange.arena) != wanted) continue;
    *value = http::unescape(raw, true, &exchange.arena);
    return true;
  }
  return false;
}

bool find_cookie(Exchange& exchange, string_view wanted, string_view* value) {
  for (const http::Field& field : exchange.request.fields) {
    if (field.id != http::FieldId::kCookie) continue;
    string_view rest = field.value;
    while (!rest.empty()) {
      size_t end = rest.find(';');
      string_view pair = rest.substr(0, end);
      rest = end == string_view::npos ? string_view() : rest.substr(end + 1);
      while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
      size_t equals = pair.find('=');
      if (equals == string_view::npos || pair.substr(0, equals) != wanted) continue;
      *value = pair.substr(equals + 1);
      return true;
    }
  }
  return false;
}

bool find_trailer(Exchange& exchange, string_view name, string_view* value) {
  http::FieldList trailers(&exchange.arena);
  string_view rest = exchange.upstream_trailers;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find("\r\n"), rest.size());
    const string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 2, rest.size()));
    const size_t colon = line.find(':');
    if (colon != 0 && colon != string_view::npos)
      trailers.add(line.substr(0, colon), http::trim_blanks(line.substr(colon + 1)));
  }
  return find_field(trailers, name, value);
}

// An answer without a body has it in its head.
bool find_grpc_status(Exchange& exchange, string_view* value) {
  if (find_trailer(exchange, "grpc_status", value)) return true;
  return exchange.source == AnswerSource::kUpstream &&
         find_field(exchange.response.fields, "grpc_status", value);
}

bool find_prefixed(Exchange& exchange, string_view name, string_view* value) {
  if (name.starts_with("http_")) return find_field(exchange.request.fields, name.substr(5), value);
  if (name.starts_with("arg_")) return find_argument(exchange, name.substr(4), value);
  if (name.starts_with("cookie_")) return find_cookie(exchange, name.substr(7), value);
  if (name.starts_with("sent_http_")) return find_field(exchange.response.fields, name.substr(10), value);
  if (name.starts_with("upstream_http_")) {
    return exchange.source == AnswerSource::kUpstream &&
           find_field(exchange.response.fields, name.substr(14), value);
  }
  if (name.starts_with("upstream_trailer_")) return find_trailer(exchange, name.substr(17), value);
  if (name.starts_with("uri_param_")) return exchange.match.find_capture(name.substr(10), value);
  return false;
}

using Getter = bool (*)(Exchange&, string_view*);
struct Named {
  string_view name;
  Getter get;
};

#define MG_VARIABLE(name, expression)                                   \
  Named {                                                               \
    name, []([[maybe_unused]] Exchange& ex, string_view* out) -> bool { \
      *out = (expression);                                              \
      return true;                                                      \
    }                                                                   \
  }
#define MG_VARIABLE_IF(name, condition, expression)    \
  Named {                                              \
    name, [](Exchange& ex, string_view* out) -> bool { \
      if (!(condition)) return false;                  \
      *out = (expression);                             \
      return true;                                     \
    }                                                  \
  }

#define MG_CERTIFICATE(name, text)                                      \
  Named {                                                               \
    name, [](Exchange& ex, string_view* out) -> bool {                  \
      return find_in_certificate(ex, &tls::PeerCertificate::text, out); \
    }                                                                   \
  }

string_view present_field(Exchange& ex, http::FieldId id) {
  const http::Field* field = ex.request.fields.find(id);
  return field ? field->value : string_view();
}

string_view protocol_of(const Exchange& ex) {
  if (ex.request.version_major == 2) return "HTTP/2.0";
  if (ex.request.version_major == 3) return "HTTP/3.0";
  return ex.request.is_http10() ? "HTTP/1.0" : "HTTP/1.1";
}

string_view request_line(Exchange& ex) {
  std::string line(ex.request.method_text);
  line += ' ';
  line += ex.request.target;
  line += ' ';
  line += protocol_of(ex);
  return ex.arena.copy(line);
}

string_view host_name(Exchange& ex) {
  static const std::string name = [] {
    char text[256] = "";
    ::gethostname(text, sizeof text - 1);
    return std::string(text);
  }();
  (void)ex;
  return name;
}

string_view process_id(Exchange& ex) { return number(ex, static_cast<uint64_t>(::getpid())); }

string_view add_forwarded_for(Exchange& ex) {
  string_view claim = present_field(ex, http::FieldId::kXForwardedFor);
  if (claim.empty()) return ex.peer_address;
  return ex.arena.copy(std::string(claim) + ", " + std::string(ex.peer_address));
}

string_view upstream_host(Exchange& ex) {
  if (!ex.upstream_host.empty()) return ex.upstream_host;
  if (ex.upstream && ex.upstream->options().pass_host == upstream::PassHost::kRewrite)
    return ex.upstream->options().host;
  return ex.request.host;
}

/// How the client speaks, as far as we or a trusted forwarder know.
string_view client_scheme(Exchange& ex) {
  if (!ex.forwarded.proto.empty()) return ex.forwarded.proto;
  return ex.is_tls ? string_view("https") : string_view("http");
}

base::Duration elapsed(Exchange& ex) { return base::Clock::steady_now() - ex.started; }

const std::array kNamed = std::to_array<Named>({
    MG_VARIABLE("apisix_request_id", ex.request_id()),
    MG_VARIABLE("args", ex.uri.query),
    MG_VARIABLE_IF("balancer_ip", ex.node, ex.node_ip.empty() ? ex.arena.copy(ex.node->host) : ex.node_ip),
    MG_VARIABLE_IF("balancer_port", ex.node, number(ex, ex.node->port)),
    MG_VARIABLE("body_bytes_sent", number(ex, ex.body_bytes_sent)),
    MG_VARIABLE("bytes_sent", number(ex, ex.bytes_sent)),
    MG_VARIABLE("client_scheme", client_scheme(ex)),
    MG_VARIABLE("connection", number(ex, ex.connection_number)),
    MG_VARIABLE_IF("consumer_name", !ex.consumer_name.empty(), ex.consumer_name),
    MG_VARIABLE_IF("content_length", ex.request.fields.find(http::FieldId::kContentLength),
                   present_field(ex, http::FieldId::kContentLength)),
    MG_VARIABLE_IF("content_type", ex.request.fields.find(http::FieldId::kContentType),
                   present_field(ex, http::FieldId::kContentType)),
    Named{"grpc_status", find_grpc_status},
    MG_VARIABLE("host", ex.host),
    MG_VARIABLE("hostname", host_name(ex)),
    MG_VARIABLE("http2", ex.request.version_major != 2 ? string_view() : ex.is_tls ? "h2" : "h2c"),
    MG_VARIABLE("http3", ex.request.version_major != 3 ? string_view() : "h3"),
    MG_VARIABLE_IF("https", ex.is_tls, string_view("on")),
    MG_VARIABLE("is_args", ex.uri.has_query ? string_view("?") : string_view()),
    MG_VARIABLE("method", ex.request.method_text),
    MG_VARIABLE("msec", seconds(ex, base::Clock::wall().time_since_epoch())),
    MG_VARIABLE("pid", process_id(ex)),
    MG_VARIABLE("proxy_add_x_forwarded_for", add_forwarded_for(ex)),
    MG_VARIABLE("query_string", ex.uri.query),
    MG_VARIABLE("real_request_uri", ex.request.target),
    MG_VARIABLE("realip_remote_addr", ex.peer_address),
    MG_VARIABLE("realip_remote_port", number(ex, ex.peer_port)),
    MG_VARIABLE("remote_addr", ex.remote_address),
    MG_VARIABLE("remote_port", number(ex, ex.peer_port)),
    MG_VARIABLE("request", request_line(ex)),
    MG_VARIABLE("request_id", ex.request_id()),
    MG_VARIABLE("request_length", number(ex, ex.bytes_received)),
    MG_VARIABLE("request_method", ex.request.method_text),
    MG_VARIABLE("request_time", seconds(ex, elapsed(ex))),
    MG_VARIABLE("request_type", string_view("traditional_http")),
    MG_VARIABLE("request_uri", join_uri(ex, ex.original_uri)),
    MG_VARIABLE_IF("route_id", ex.route, ex.route->id),
    MG_VARIABLE_IF("route_name", ex.route && !ex.route->name.empty(), ex.route->name),
    MG_VARIABLE("scheme", ex.is_tls ? string_view("https") : string_view("http")),
    MG_VARIABLE_IF("server_addr", ex.client || ex.server_port,
                   ex.client ? ex.arena.copy(ex.client->server_address()) : ex.server_address),
    MG_VARIABLE("server_name", string_view("_")),
    MG_VARIABLE_IF("server_port", ex.client || ex.server_port,
                   number(ex, ex.client ? ex.client->server_port() : ex.server_port)),
    MG_VARIABLE("server_protocol", protocol_of(ex)),
    MG_VARIABLE_IF("service_id", ex.route && !ex.route->service_id.empty(), ex.route->service_id),
    MG_VARIABLE_IF("service_name", ex.route && !ex.route->service_name.empty(), ex.route->service_name),
    MG_VARIABLE_IF("ssl_cipher", handshake_of(ex), ex.arena.copy(handshake_of(ex)->cipher())),
    MG_CERTIFICATE("ssl_client_fingerprint", fingerprint),
    MG_CERTIFICATE("ssl_client_i_dn", issuer),
    MG_CERTIFICATE("ssl_client_raw_cert", pem),
    MG_CERTIFICATE("ssl_client_s_dn", subject),
    MG_CERTIFICATE("ssl_client_serial", serial),
    MG_VARIABLE_IF("ssl_client_verify", handshake_of(ex), verify_text(ex)),
    MG_VARIABLE_IF("ssl_protocol", handshake_of(ex), ex.arena.copy(handshake_of(ex)->version())),
    MG_VARIABLE_IF("ssl_server_name", handshake_of(ex) && !handshake_of(ex)->server_name().empty(),
                   ex.arena.copy(handshake_of(ex)->server_name())),
    MG_VARIABLE_IF("ssl_session_reused", handshake_of(ex),
                   handshake_of(ex)->is_resumed() ? string_view("r") : string_view(".")),
    MG_VARIABLE_IF("status", ex.response.status != 0, number(ex, ex.response.status)),
    MG_VARIABLE("time_iso8601", time_text(ex, "%Y-%m-%dT%H:%M:%S+00:00")),
    MG_VARIABLE("time_local", time_text(ex, "%d/%b/%Y:%H:%M:%S +0000")),
    Named{"upstream_addr",
          [](Exchange& ex, string_view* out) {
            return join_tries(ex, out, [](std::string& text, const TryRecord& t) { text += t.address; });
          }},
    Named{"upstream_connect_time",
          [](Exchange& ex, string_view* out) {
            return join_tries(ex, out, [](std::string& text, const TryRecord& t) { append_seconds(text, t.connect_time); });
          }},
    Named{"upstream_header_time",
          [](Exchange& ex, string_view* out) {
            return join_tries(ex, out, [](std::string& text, const TryRecord& t) { append_seconds(text, t.header_time); });
          }},
    MG_VARIABLE("upstream_host", upstream_host(ex)),
    Named{"upstream_response_time",
          [](Exchange& ex, string_view* out) {
            return join_tries(ex, out, [](std::string& text, const TryRecord& t) { append_seconds(text, t.response_time); });
          }},
    MG_VARIABLE("upstream_scheme", upstream_scheme(ex)),
    Named{"upstream_status",
          [](Exchange& ex, string_view* out) {
            return join_tries(ex, out, [](std::string& text, const TryRecord& t) {
              text += t.status ? std::to_string(t.status) : "-";
            });
          }},
    MG_VARIABLE("upstream_uri", join_uri(ex, ex.sent_uri())),
    MG_VARIABLE("uri", ex.uri.path),
});

const Named* find_named(string_view name) {
  static const auto* by_name = [] {
    auto* map = new std::unordered_map<string_view, const Named*>();
    for (const Named& named : kNamed) map->emplace(named.name, &named);
    return map;
  }();
  auto found = by_name->find(name);
  return found == by_name->end() ? nullptr : found->second;
}

}  // namespace

string_view upstream_scheme(const Exchange& exchange) {
  if (!exchange.upstream_scheme.empty()) return exchange.upstream_scheme;
  return exchange.upstream ? string_view(exchange.upstream->options().scheme) : string_view("http");
}

std::optional<upstream::Scheme> find_upstream_scheme(const Exchange& exchange) {
  if (!exchange.upstream_scheme.empty()) return upstream::find_scheme(exchange.upstream_scheme);
  return exchange.upstream ? exchange.upstream->scheme() : upstream::Scheme::kHttp;
}

bool find_variable(Exchange& exchange, string_view name, string_view* value) {
  for (const auto& variable : exchange.variables) {
    if (variable.name == name) {
      *value = variable.value;
      return true;
    }
  }
  if (const Named* named = find_named(name)) return named->get(exchange, value);
  return find_prefixed(exchange, name, value);
}

namespace {

/// Path and query, percent-encoded, as they are to be sent; nothing for those of the request.
Written set_upstream_uri(Exchange& exchange, string_view text) {
  exchange.has_upstream_uri = false;
  if (text.empty()) return Written::kYes;
  const bool is_plain = text.front() == '/' && std::all_of(text.begin(), text.end(), [](char c) {
                          return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != '#';
                        });
  const http::UriPolicy policy = exchange.snapshot ? exchange.snapshot->settings->uri : http::UriPolicy();
  string_view reason;
  if (!is_plain || !http::canonicalize_target(text, policy, &exchange.arena, &exchange.upstream_uri, &reason))
    return Written::kRefused;
  exchange.has_upstream_uri = true;
  return Written::kYes;
}

}  // namespace

Written set_variable(Exchange& exchange, string_view name, string_view value) {
  string_view kept = exchange.arena.copy(value);
  if (name == "upstream_uri") return set_upstream_uri(exchange, kept);
  if (name == "upstream_host") {
    exchange.upstream_host = kept;
    return Written::kYes;
  }
  if (name == "upstream_scheme") {
    exchange.upstream_scheme = kept;
    return Written::kYes;
  }
  if (name == "consumer_name") {
    exchange.consumer_name = kept;
    return Written::kYes;
  }
  if (name != "apisix_request_id" && find_named(name)) return Written::kNo;  // a fact
  for (auto& variable : exchange.variables) {
    if (variable.name == name) {
      variable.value = kept;
      return Written::kYes;
    }
  }
  constexpr size_t kVariablesMax = 64;
  if (exchange.variables.size() >= kVariablesMax) return Written::kNo;
  exchange.variables.push_back({exchange.arena.copy(name), kept});
  return Written::kYes;
}

string_view find_hash_key(Exchange& exchange) {
  const upstream::UpstreamOptions& options = exchange.upstream->options();
  string_view value;
  bool is_found = false;
  if (options.hash_on == "consumer") {
    is_found = find_variable(exchange, "consumer_name", &value);
  } else if (options.hash_on == "header") {
    const http::Field* field = exchange.request.fields.find(options.key);
    is_found = field != nullptr;
    if (field) value = field->value;
  } else if (options.hash_on == "cookie") {
    is_found = find_cookie(exchange, options.key, &value);
  } else if (options.hash_on == "vars_combinations") {
    std::string text;
    for (size_t at = 0; at < options.key.size();) {
      if (options.key[at] != '$') {
        text += options.key[at++];
        continue;
      }
      size_t end = at + 1;
      while (end < options.key.size() &&
             (std::isalnum(static_cast<unsigned char>(options.key[end])) || options.key[end] == '_'))
        end++;
      string_view part;
      if (find_variable(exchange, string_view(options.key).substr(at + 1, end - at - 1), &part)) {
        text += part;
        is_found = true;
      }
      at = end;
    }
    value = exchange.arena.copy(text);
  } else {
    is_found = find_variable(exchange, options.key, &value);
  }
  return is_found ? value : exchange.remote_address;
}

}  // namespace moongate::exchange
