// SPDX-License-Identifier: Apache-2.0
// An exchange without a connection: a client that takes everything, values in every field, and all of an
// exchange as text.
#pragma once

#include <sstream>
#include <string>

#include "exchange/exchange.h"

namespace moongate::exchange_fixture {

/// Takes what it is given and says nothing.
class SilentClient final : public exchange::ClientSide {
 public:
  void set_body_sink(exchange::BodySink*) override {}
  void send_head(exchange::Exchange&, const iovec*, int, bool) override {}
  void send_body(exchange::Exchange&, const iovec*, int, bool) override {}
  void set_trailers(std::string_view) override {}
  void send_interim(uint16_t, const http::FieldList&) override {}
  bool is_blocked() const override { return false; }
  void read_body() override {}
  const tls::Handshake* tls_handshake() const override { return nullptr; }
  void read_body_later() override {}
  void end_after_answer() override {}
  void abort_answer() override {}
  bool close_websocket(uint16_t, std::string_view) override { return false; }
  void start_tunnel(std::unique_ptr<upstream::Connection>, std::string_view) override {}
  std::string_view server_address() override { return "127.0.0.9"; }
  uint16_t server_port() override { return 9080; }
};

/// Puts something into every field that a request can change.
inline void scribble(exchange::Exchange& ex) {
  static const snapshot::Route route;
  static const router::RouteSpec spec;
  static upstream::Node node;
  auto text = [&ex](const char* value) { return ex.arena.copy(value); };
  ex.request.method = http::Method::kPost;
  ex.request.method_text = text("POST");
  ex.request.target = text("/t");
  ex.request.version_minor = 0;
  ex.request.is_keep_alive = ex.request.expects_continue = ex.request.has_upgrade =
      ex.request.has_te_trailers = true;
  ex.request.body = http::BodyKind::kChunked;
  ex.request.content_length = 5;
  ex.request.host = text("h");
  ex.request.fields.add(text("A"), text("b"));
  ex.uri.path = ex.uri.query = ex.uri.wire_path = ex.original_uri.path = text("/u");
  ex.uri.has_query = true;
  ex.host = ex.peer_address = ex.remote_address = ex.upstream_host = ex.upstream_scheme = text("x");
  ex.host_port = ex.peer_port = 7;
  ex.is_tls = ex.is_peer_trusted = ex.has_body_left_client = ex.is_response_begun = ex.is_head_sent = true;
  ex.has_context = ex.is_known_to_lua = true;
  ex.connection_number = ex.bytes_received = ex.bytes_sent = ex.body_bytes_sent = 7;
  ex.remote = *router::parse_address("10.0.0.1");
  ex.forwarded = {text("f"), text("p"), text("h"), text("1")};
  ex.route = &route;
  ex.match.spec = &spec;
  ex.match.pattern = ex.match.host_pattern = text("/p");
  ex.match.capture_count = 2;
  ex.node = &node;
  ex.tried.nodes = {1, 2};
  ex.tries = 2;
  ex.upstream_started = base::SteadyTime(base::Duration(9));
  ex.body_state = exchange::BodyState::kFailed;
  ex.body_fault_status = 413;
  ex.body_fault_reason = text("too much");
  ex.body.replace("body");
  ex.response.status = ex.upstream_status = 500;
  ex.response.reason = text("r");
  ex.response.fields.add(text("C"), text("d"));
  ex.early_fields.add(text("E"), text("f"));
  ex.source = exchange::AnswerSource::kUpstream;
  ex.answer_body = std::string(10'000, 'a');
  ex.ending = exchange::Ending::kComplete;
  ex.step = 5;
  ex.phase = exchange::Phase::kLog;
  ex.chain = ex.global_chain = 3;
  ex.phases_present = 0xff;
  ex.task = &node;
  ex.consumer_name = ex.limiting_info = ex.credential_owner = text("jack");
  ex.credential_print = 7;
  ex.coding.options = {http::Coding::kGzip, 1};
  ex.is_coded = true;
  ex.variables.push_back({text("v"), text("w")});
  static_cast<void>(ex.request_id());
}

/// Everything that a request may leave behind, in words. The id stands for itself when it was made.
inline std::string describe(const exchange::Exchange& ex) {
  std::ostringstream out;
  const http::RequestHead& request = ex.request;
  out << "request " << static_cast<int>(request.method) << request.method_text << request.target
      << static_cast<int>(request.version_minor) << request.is_keep_alive << request.expects_continue
      << request.has_upgrade << request.has_te_trailers << static_cast<int>(request.body)
      << request.content_length << request.host << request.fields.count();
  out << " uri " << ex.uri.path << ex.uri.query << ex.uri.wire_path << ex.uri.has_query
      << ex.original_uri.path;
  out << " host " << ex.host << ex.host_port << ex.is_tls << ex.peer_address << ex.peer_port
      << ex.remote_address << (ex.remote == router::Address()) << ex.connection_number << '/'
      << ex.bytes_received << ex.is_peer_trusted;
  out << " forwarded " << ex.forwarded.forwarded_for << ex.forwarded.proto << ex.forwarded.host
      << ex.forwarded.port;
  out << " pointers " << (ex.client == nullptr) << (ex.snapshot == nullptr) << (ex.route == nullptr)
      << (ex.match.spec == nullptr) << (ex.upstream == nullptr) << (ex.node == nullptr)
      << (ex.task == nullptr);
  out << " match " << ex.match.pattern << ex.match.host_pattern << ex.match.capture_count;
  out << " upstream " << ex.upstream_host << ex.upstream_scheme << ex.tried.nodes.size() << ex.tries
      << ex.upstream_started.time_since_epoch().count();
  out << " body " << static_cast<int>(ex.body_state) << ex.body.size() << ex.has_body_left_client
      << ex.body_fault_status << ex.body_fault_reason;
  out << " coding " << ex.coding.is_wanted() << ex.is_coded << " credential " << ex.credential_owner
      << ex.credential_print;
  out << " response " << ex.response.status << ex.response.reason << ex.response.fields.count()
      << static_cast<int>(ex.response.body) << ex.early_fields.count() << ex.is_response_begun
      << static_cast<int>(ex.source) << ex.answer_body << ex.is_head_sent << ex.bytes_sent << '/'
      << ex.body_bytes_sent << ex.upstream_status << static_cast<int>(ex.ending);
  out << " place " << static_cast<int>(ex.step) << static_cast<int>(ex.phase) << ex.chain << ex.global_chain
      << ex.phases_present << ex.has_context << ex.is_known_to_lua << ex.consumer_name << ex.limiting_info
      << ex.variables.size();
  return out.str();
}

}  // namespace moongate::exchange_fixture
