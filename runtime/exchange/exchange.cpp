// SPDX-License-Identifier: Apache-2.0
#include "exchange/exchange.h"

#include "base/assert.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/random.h"

namespace moongate::exchange {

void Exchange::begin(ClientSide& client_side, snapshot::Pin pinned) {
  client = &client_side;
  snapshot = std::move(pinned);
  started = base::Clock::steady();
  started_wall = base::Clock::wall();
}

// Puts every field back to its start, so that nothing of one request is seen by the next. The arena goes
// last: most fields point into it.
void Exchange::end() {
  serial++;
  request.~RequestHead();
  new (&request) http::RequestHead(&arena);
  response.~ResponseHead();
  new (&response) http::ResponseHead(&arena);
  early_fields.reset(&arena);
  is_response_begun = false;
  client = nullptr;
  snapshot.reset();
  uri = original_uri = upstream_uri = {};
  has_upstream_uri = false;
  remote = {};
  host = peer_address = remote_address = server_address = {};
  host_port = peer_port = server_port = 0;
  is_tls = is_peer_trusted = false;
  connection_number = bytes_received = 0;
  forwarded = {};
  route = nullptr;
  match.spec = nullptr;  // its captures are 500 bytes that nobody reads beyond their count
  match.pattern = match.host_pattern = {};
  match.capture_count = 0;
  upstream.reset();
  node = nullptr;
  node_ip = upstream_host = upstream_scheme = upstream_trailers = {};
  tried.nodes.clear();
  tries = 0;
  upstream_started = {};
  body_state = BodyState::kNone;
  body.clear();
  has_body_left_client = false;
  body_fault_status = 0;
  body_fault_reason = {};
  source = AnswerSource::kNone;
  if (answer_body.capacity() > 4096)
    answer_body = {};
  else
    answer_body.clear();
  waiting_filter = Phase::kNone;
  is_answer_own = is_piece_last = is_held_last = is_last_passed = false;
  held.clear();
  websocket = {};
  coding = {};
  is_coded = is_head_sent = false;
  bytes_sent = body_bytes_sent = 0;
  upstream_status = 0;
  ending = Ending::kOpen;
  step = 0;
  phase = Phase::kNone;
  chain = global_chain = 0;
  phases_present = traffic = 0;
  task = nullptr;
  time_waited_phase = Phase::kNone;
  time_waited = base::Duration(0);
  has_context = is_known_to_lua = false;
  consumer_name = limiting_info = credential_owner = {};
  credential_print = 0;
  variables.clear();
  request_id_ = {};
  arena.reset();
}

void Exchange::detach() {
  serial++;
  peer_address = arena.copy(peer_address);
  remote_address = arena.copy(remote_address);
  if (!client) return;
  server_address = arena.copy(client->server_address());
  server_port = client->server_port();
  client = nullptr;
}

void Exchange::answer(uint16_t status, std::string_view body_text, std::string_view content_type) {
  response.fields.clear();
  response.status = status;
  response.reason = {};
  response.body = http::BodyKind::kLength;
  source = AnswerSource::kGateway;
  coding = {};  // was wanted of the answer that this one replaces
  answer_body.assign(body_text);
  if (!content_type.empty()) response.fields.set("Content-Type", content_type);
}

void Exchange::begin_response() {
  if (is_response_begun) return;
  is_response_begun = true;
  for (const http::Field& field : early_fields) {
    if (field.id != http::FieldId::kSetCookie) response.fields.remove(field);
  }
  for (const http::Field& field : early_fields) response.fields.add(field);
}

void Exchange::append_answer(std::string_view piece) { answer_body.append(piece); }

void Exchange::fail(uint16_t status, std::string_view reason) {
  std::string text = "{\"error_msg\":";
  base::append_json_string(text, reason);
  text += ",\"request_id\":\"";
  text += request_id();
  text += "\"}\n";
  answer(status, text, "application/json");
}

std::string_view Exchange::request_id() {
  if (!request_id_.empty()) return request_id_;
  char bytes[16];
  MG_ASSERT(base::cut_random(bytes, sizeof bytes));
  char* text = arena.allocate_chars(2 * sizeof bytes);
  base::write_hex({bytes, sizeof bytes}, text);
  request_id_ = {text, 2 * sizeof bytes};
  return request_id_;
}

Exchange* ExchangePool::take() {
  if (free_.empty()) {
    slots_.push_back(std::make_unique<Exchange>(static_cast<uint32_t>(slots_.size())));
    return slots_.back().get();
  }
  Exchange* exchange = free_.back();
  free_.pop_back();
  return exchange;
}

void ExchangePool::give(Exchange* exchange) {
  exchange->end();
  free_.push_back(exchange);
}

}  // namespace moongate::exchange
