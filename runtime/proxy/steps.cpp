// SPDX-License-Identifier: Apache-2.0
#include "proxy/steps.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "exchange/variables.h"
#include "http/websocket_frames.h"
#include "http/writer.h"
#include "proxy/access_log.h"
#include "proxy/acme_challenges.h"
#include "proxy/answer_coder.h"
#include "proxy/connection.h"
#include "proxy/forward.h"
#include "proxy/grpc_answer.h"
#include "proxy/grpc_deadline.h"
#include "proxy/identity.h"
#include "proxy/route_search.h"
#include "proxy/worker_metrics.h"
#include "script/host.h"

namespace moongate::proxy {

using exchange::AnswerSource;
using exchange::Exchange;
using exchange::Phase;
using exchange::StepResult;
using http::FieldId;

namespace {

using Step = StepResult (*)(Context&, Exchange&);

Forwarder& forwarder_of(Context& context, Exchange& exchange) {
  return part_of_slot(context.forwarders, context, exchange);
}

AnswerCoder& coder_of(Context& context, Exchange& exchange) {
  return part_of_slot(context.coders, context, exchange);
}

StepResult step_route(Context& context, Exchange& exchange);

void go_on_with_body(Context& context, Exchange& exchange) {
  const StepResult result = step_route(context, exchange);
  if (result != StepResult::kWait) resume(context, exchange, result);
}

StepResult step_route(Context& context, Exchange& exchange) {
  const StepResult searched = search_route(context, exchange, go_on_with_body);
  if (searched != StepResult::kNext) return searched;
  const snapshot::Snapshot& snapshot = *exchange.snapshot;
  const snapshot::Route* route = exchange.route;
  if (route && route->fault_status != 0) {
    exchange.fail(route->fault_status, route->fault_reason);
    return StepResult::kAnswer;
  }
  bool has_plugins = !snapshot.global_plugins.plugins.empty() || (route && !route->plugins.plugins.empty());
  if (has_plugins) return context.script->prepare(exchange);
  return StepResult::kNext;
}

bool has_hooks(const Exchange& exchange, Phase phase) {
  return (exchange.phases_present & (1U << static_cast<unsigned>(phase))) != 0;
}

void conclude(Context& context, Exchange& exchange);

// The client may go away while hooks run, through what they do: then it ends here.
StepResult run_hooks(Context& context, Exchange& exchange, Phase phase) {
  StepResult result = context.script->run_phase(exchange, phase);
  if (exchange.ending == exchange::Ending::kOpen) return result;
  conclude(context, exchange);
  return StepResult::kWait;
}

// Rewrite and access are one entry into Lua: nothing of ours happens between them.
StepResult step_rewrite_and_access(Context& context, Exchange& exchange) {
  if (!has_hooks(exchange, Phase::kRewrite) && !has_hooks(exchange, Phase::kAccess)) return StepResult::kNext;
  return run_hooks(context, exchange, Phase::kRewrite);
}

StepResult step_upstream(Context&, Exchange& exchange) {
  if (!exchange.route) {
    exchange.answer(404, "{\"error_msg\":\"404 Route Not Found\"}\n", "text/plain; charset=utf-8");
    return StepResult::kAnswer;
  }
  if (!exchange.upstream) exchange.upstream = exchange.route->upstream;
  if (exchange.upstream) return StepResult::kNext;
  exchange.fail(503, "the route has no upstream");
  return StepResult::kAnswer;
}

StepResult step_pick(Context& context, Exchange& exchange) { return forwarder_of(context, exchange).pick(); }
StepResult step_before_proxy(Context& context, Exchange& exchange) {
  if (!has_hooks(exchange, Phase::kBeforeProxy)) return StepResult::kNext;
  return run_hooks(context, exchange, Phase::kBeforeProxy);
}
StepResult step_forward(Context& context, Exchange& exchange) {
  return forwarder_of(context, exchange).start();
}

// The walk of a request. before_proxy runs again for each try, as does what follows it.
constexpr std::array<Step, 6> kSteps = {step_route, step_rewrite_and_access, step_upstream,
                                        step_pick,  step_before_proxy,       step_forward};
constexpr uint8_t kStepBeforeProxy = 4;

// --- an answer of our own: header_filter, body_filter, the client ---

void write_answer(Context& context, Exchange& exchange) {
  if (!exchange.client) return;
  exchange.is_last_passed = true;
  iovec piece{exchange.answer_body.data(), exchange.answer_body.size()};
  int count = exchange.answer_body.empty() ? 0 : 1;
  if (exchange.coding.is_wanted() && coder_of(context, exchange).begin(exchange.answer_body.size(), true))
    return coder_of(context, exchange).take(&piece, count, true);
  exchange.client->send_head(exchange, &piece, count, true);
}

// A filter that failed has left its error in place of the answer.
void take_filtered_answer(Context& context, Exchange& exchange, StepResult result) {
  if (result == StepResult::kNext) exchange.answer_body = context.script->take_filtered().text;
  exchange.response.fields.remove(FieldId::kContentLength);
  write_answer(context, exchange);
}

void filter_answer_body(Context& context, Exchange& exchange) {
  if (!has_hooks(exchange, Phase::kBodyFilter)) return write_answer(context, exchange);
  StepResult result = context.script->filter_body(exchange, exchange.answer_body, true);
  if (result == StepResult::kWait)
    exchange.waiting_filter = Phase::kBodyFilter;
  else
    take_filtered_answer(context, exchange, result);
}

// Clients learn from an answer that they may come with HTTP/3 (RFC 7838), for a day.
void offer_http3(const Context& context, Exchange& exchange) {
  const uint16_t port = exchange.client ? exchange.client->http3_port() : 0;
  if (port == 0 || context.is_draining) return;
  const std::string value = "h3=\":" + std::to_string(port) + "\"; ma=86400";
  exchange.response.fields.set("Alt-Svc", exchange.arena.copy(value));
}

void send_answer(Context& context, Exchange& exchange, bool are_plugins_asked) {
  if (exchange.source == AnswerSource::kNone) exchange.source = AnswerSource::kGateway;
  exchange.begin_response();
  exchange.is_answer_own = true;
  exchange.response.fields.set("Server", context.client.server_name);
  offer_http3(context, exchange);
  if (!are_plugins_asked) return write_answer(context, exchange);
  if (has_hooks(exchange, Phase::kHeaderFilter)) {
    exchange.response.fields.remove(FieldId::kContentLength);
    if (context.script->run_phase(exchange, Phase::kHeaderFilter) == StepResult::kWait) {
      exchange.waiting_filter = Phase::kHeaderFilter;
      return;
    }
  }
  filter_answer_body(context, exchange);
}

// A connection that was made under one name (`had`) carries requests for others (`wanted`). Where a name asks
// for a client certificate, only a connection that was asked for it may.
bool is_misdirected(const tls::ServerContext* had, const tls::ServerContext* wanted) {
  return wanted && wanted->wants_client_certificate() &&
         (!had || had->client_scope() != wanted->client_scope());
}

// Whether `context` lets this request pass without a verified client certificate. Judged by what is
// configured now: where its certificate is gone, nothing passes.
bool may_skip_certificate(const Exchange& exchange, const tls::ServerContext& context) {
  const auto found = exchange.snapshot->server_contexts.find(context.id());
  if (found == exchange.snapshot->server_contexts.end()) return false;
  const auto& patterns = found->second.skip_mtls;
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const auto& pattern) { return pattern->find(exchange.uri.path); });
}

// Both the name in the handshake and the host may ask for one; what one lets pass the other need not.
bool lacks_certificate(const Exchange& exchange, const tls::ServerContext* had,
                       const tls::ServerContext* wanted) {
  if (exchange.client->tls_handshake()->has_verified_peer()) return false;
  for (const tls::ServerContext* context : {had, wanted}) {
    if (context == nullptr || !context->wants_client_certificate()) continue;
    if (!may_skip_certificate(exchange, *context)) return true;
  }
  return false;
}

// False, and a refusal, where a name asks for a client certificate that this connection did not bring.
bool admit_connection(Exchange& exchange) {
  if (!exchange.is_tls || !exchange.snapshot || !exchange.snapshot->server_names) return true;
  const tls::ServerContext* wanted = exchange.snapshot->server_names->find(exchange.host).get();
  const tls::ServerContext* had = exchange.client->tls_handshake()->context();
  if (is_misdirected(had, wanted)) {
    exchange.fail(421, "this host asks for a client certificate; connect to it by its own name");
    return false;
  }
  if (lacks_certificate(exchange, had, wanted)) {
    const bool has_one = exchange.client->tls_handshake()->peer().is_present;
    exchange.fail(400, has_one ? "client certificate verification is not passed"
                               : "client certificate was not present");
    return false;
  }
  return true;
}

}  // namespace

bool settle_request(const Context& context, Exchange& exchange, std::string_view* reason) {
  http::CanonicalUri& uri = exchange.uri;
  bool is_canonical =
      http::canonicalize_target(exchange.request.target, context.client.uri, &exchange.arena, &uri, reason);
  exchange.host = http::spell_host(exchange.request.host_parts, &exchange.arena);
  exchange.host_port = exchange.request.host_parts.port;
  if (!is_canonical) return false;
  exchange.original_uri = uri;
  settle_identity(context, exchange);
  return true;
}

void begin_steps(Context& context, Exchange& exchange) {
  std::string_view reason;
  if (!settle_request(context, exchange, &reason)) {
    exchange.fail(400, reason);
    answer_without_steps(context, exchange);
    return;
  }
  if (AcmeChallenges::of_process().is_any() && answer_challenge(context, exchange)) return;
  if (!admit_connection(exchange)) {
    answer_without_steps(context, exchange);
    return;
  }
  exchange.step = 0;
  run(context, exchange);
}

void run(Context& context, Exchange& exchange) {
  uint64_t serial = exchange.serial;
  while (exchange.step < kSteps.size()) {
    StepResult result = kSteps[exchange.step](context, exchange);
    if (exchange.serial != serial) return;  // it ended below us, and may be another request's by now
    if (result == StepResult::kWait) return;
    if (result == StepResult::kAnswer) {
      send_answer(context, exchange, true);
      return;
    }
    exchange.step++;
  }
}

void resume(Context& context, Exchange& exchange, StepResult result) {
  if (result == StepResult::kAnswer) {
    send_answer(context, exchange, true);
    return;
  }
  // A failed try comes back from the last step: the next try begins with the plugins' last word.
  if (exchange.step + 1U >= kSteps.size())
    exchange.step = kStepBeforeProxy;
  else
    exchange.step++;
  run(context, exchange);
}

void answer_without_steps(Context& context, Exchange& exchange) {
  if (exchange.remote_address.empty()) exchange.remote_address = exchange.peer_address;
  if (exchange.client) exchange.client->end_after_answer();
  send_answer(context, exchange, false);
}

namespace {

// --- the upstream's answer: its head and each piece of its body through the filters. While one waits, the
// upstream is not read; what of its body was read already is held, in order.

void hold(Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  for (int i = 0; i < count; i++)
    exchange.held.append({static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len});
  exchange.is_held_last |= is_last;
}

void drop_held(Exchange& exchange) {
  exchange.held.clear();
  exchange.is_held_last = false;
}

void wait_for_filter(Context& context, Exchange& exchange, Phase phase) {
  exchange.waiting_filter = phase;
  forwarder_of(context, exchange).pause_answer();
}

void drop_coder(Context& context, Exchange& exchange) {
  if (!exchange.is_coded) return;
  exchange.is_coded = false;
  coder_of(context, exchange).cancel();
}

void send_coded(Context& context, Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  AnswerCoder& coder = coder_of(context, exchange);
  uint64_t serial = exchange.serial;
  coder.take(pieces, count, is_last);
  if (!is_last && exchange.serial == serial && exchange.client && !coder.has_room())
    forwarder_of(context, exchange).pause_answer();
}

void send_piece(Context& context, Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  if (exchange.coding.is_wanted()) {
    size_t size = 0;
    for (int i = 0; i < count; i++) size += pieces[i].iov_len;
    coder_of(context, exchange).begin(size, is_last);
  }
  if (exchange.is_coded) return send_coded(context, exchange, pieces, count, is_last);
  if (!exchange.is_head_sent)
    exchange.client->send_head(exchange, pieces, count, is_last);
  else if (count > 0 || is_last)
    exchange.client->send_body(exchange, pieces, count, is_last);
  if (!is_last && exchange.client && exchange.client->is_blocked())
    forwarder_of(context, exchange).pause_answer();
}

void send_filtered(Context& context, Exchange& exchange, StepResult result, bool is_last) {
  if (result == StepResult::kAnswer) return break_answer(context, exchange);
  script::Host::Filtered filtered = context.script->take_filtered();
  if (filtered.is_ended && !is_last) {  // a plugin said that this is the end
    forwarder_of(context, exchange).cancel();
    drop_held(exchange);
    is_last = exchange.is_last_passed = true;
  }
  iovec piece{filtered.text.data(), filtered.text.size()};
  send_piece(context, exchange, &piece, filtered.text.empty() ? 0 : 1, is_last);
}

// What follows header_filter.
void send_response(Context& context, Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  if (!exchange.client) return;
  if (!has_hooks(exchange, Phase::kBodyFilter)) return send_piece(context, exchange, pieces, count, is_last);
  // Whoever filters the body may change its size: the upstream's word for it does not hold.
  if (exchange.request.method != http::Method::kHead && exchange.response.body != http::BodyKind::kNone) {
    exchange.response.fields.remove(FieldId::kContentLength);
  }
  if (count == 0 && !is_last) return send_piece(context, exchange, nullptr, 0, false);
  pass_body(context, exchange, pieces, count, is_last);
}

void pass_held(Context& context, Exchange& exchange,
               void (*pass)(Context&, Exchange&, const iovec*, int, bool)) {
  base::ByteQueue held;
  held.swap(exchange.held);
  bool is_last = exchange.is_held_last;
  exchange.is_held_last = false;
  std::string_view bytes = held.view();
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  pass(context, exchange, &piece, bytes.empty() ? 0 : 1, is_last);
}

// A filter that waited is done: what it was for goes out, then what is held, and the upstream is read again.
void go_on_with_response(Context& context, Exchange& exchange, Phase phase, StepResult result) {
  uint64_t serial = exchange.serial;
  if (phase == Phase::kBodyFilter)
    send_filtered(context, exchange, result, exchange.is_piece_last);
  else if (result == StepResult::kAnswer)
    break_answer(context, exchange);
  else
    pass_held(context, exchange, send_response);
  while (exchange.serial == serial && exchange.waiting_filter == Phase::kNone &&
         (!exchange.held.is_empty() || exchange.is_held_last)) {
    pass_held(context, exchange, pass_body);
  }
  if (exchange.serial == serial && exchange.waiting_filter == Phase::kNone)
    on_client_drained(context, exchange);
}

// The answer that filters wait for is not to be: another one takes its place.
void stop_filter(Context& context, Exchange& exchange) {
  if (exchange.waiting_filter == Phase::kNone) return;
  context.script->cancel(exchange);
  exchange.waiting_filter = Phase::kNone;
  drop_held(exchange);
}

}  // namespace

void break_answer(Context& context, Exchange& exchange) {
  forwarder_of(context, exchange).cancel();
  drop_held(exchange);
  drop_coder(context, exchange);
  if (!exchange.client) return;
  if (exchange.is_head_sent) return exchange.client->abort_answer();
  exchange.client->set_trailers({});  // the upstream's would follow an error of our own
  write_answer(context, exchange);
}

void on_response(Context& context, Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  exchange.is_last_passed = is_last;
  http::remove_hop_by_hop(exchange.response.fields);
  exchange.begin_response();
  exchange.is_answer_own = false;
  if (context.client.adds_via) exchange.response.fields.add("Via", "1.1 moongate");
  offer_http3(context, exchange);
  if (has_hooks(exchange, Phase::kHeaderFilter)) {
    StepResult result = context.script->run_phase(exchange, Phase::kHeaderFilter);
    if (result == StepResult::kWait) {
      hold(exchange, pieces, count, is_last);
      return wait_for_filter(context, exchange, Phase::kHeaderFilter);
    }
    if (result == StepResult::kAnswer) return break_answer(context, exchange);
  }
  send_response(context, exchange, pieces, count, is_last);
}

void pass_body(Context& context, Exchange& exchange, const iovec* pieces, int count, bool is_last) {
  if (!exchange.client) return;
  exchange.is_last_passed |= is_last;
  if (exchange.waiting_filter != Phase::kNone) return hold(exchange, pieces, count, is_last);
  if (!has_hooks(exchange, Phase::kBodyFilter)) return send_piece(context, exchange, pieces, count, is_last);
  std::string chunk;
  for (int i = 0; i < count; i++)
    chunk.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  StepResult result = context.script->filter_body(exchange, chunk, is_last);
  if (result == StepResult::kWait) {
    exchange.is_piece_last = is_last;
    return wait_for_filter(context, exchange, Phase::kBodyFilter);
  }
  send_filtered(context, exchange, result, is_last);
}

void fail_upstream(Context& context, Exchange& exchange, uint16_t status, std::string_view reason) {
  if (!exchange.client) return;
  stop_filter(context, exchange);
  drop_coder(context, exchange);
  if (exchange.is_head_sent) {
    exchange.client->abort_answer();
    return;
  }
  exchange.fail(status, reason);
  exchange.source = AnswerSource::kProxyError;
  send_answer(context, exchange, true);
}

void end_at_grpc_deadline(Context& context, Exchange& exchange) {
  if (!exchange.client) return;
  if (has_begun_grpc_answer(exchange))
    return end_grpc_answer(context, exchange, make_grpc_deadline_trailers(exchange));
  if (exchange.is_head_sent) return exchange.client->abort_answer();
  stop_filter(context, exchange);
  drop_coder(context, exchange);
  answer_grpc_deadline(exchange);
  send_answer(context, exchange, true);
}

void end_grpc_answer(Context& context, Exchange& exchange, std::string_view trailers) {
  exchange.upstream_trailers = trailers;
  exchange.client->set_trailers(trailers);
  pass_body(context, exchange, nullptr, 0, true);
}

void end_revoked(Context& context, Exchange& exchange) {
  constexpr std::string_view kReason = "the credential that let this WebSocket in is gone";
  const uint64_t serial = exchange.serial;
  if (exchange.client->close_websocket(http::kWebSocketPolicyViolation, kReason)) {
    if (exchange.serial == serial) exchange.is_last_passed = true;  // it leaves in its own time
    return;
  }
  if (!has_begun_grpc_answer(exchange)) return exchange.client->abort_answer();
  forwarder_of(context, exchange).cancel();
  end_grpc_answer(context, exchange,
                  make_grpc_trailers(exchange, GrpcStatus::kUnauthenticated,
                                     "the credential that let this call in is gone"));
}

void on_script_done(Context& context, Exchange& exchange, StepResult result) {
  if (exchange.phase == Phase::kLog) return context.exchanges.give(&exchange);
  if (exchange.ending != exchange::Ending::kOpen) return conclude(context, exchange);
  Phase phase = exchange.waiting_filter;
  if (phase == Phase::kNone) return resume(context, exchange, result);
  exchange.waiting_filter = Phase::kNone;
  if (!exchange.is_answer_own) return go_on_with_response(context, exchange, phase, result);
  if (phase == Phase::kHeaderFilter)
    filter_answer_body(context, exchange);
  else
    take_filtered_answer(context, exchange, result);
}

void on_client_drained(Context& context, Exchange& exchange) {
  if (exchange.is_coded && coder_of(context, exchange).on_client_drained()) return;
  if (exchange.waiting_filter != Phase::kNone || !exchange.client || exchange.client->is_blocked()) return;
  forwarder_of(context, exchange).on_client_drained();
}

void end_exchange(Context& context, Exchange& exchange, exchange::Ending ending) {
  exchange.ending = ending;
  if (exchange.slot < context.forwarders.size() && context.forwarders[exchange.slot]) {
    context.forwarders[exchange.slot]->cancel();
  }
  drop_coder(context, exchange);
  if (ending == exchange::Ending::kClientGone && !exchange.is_head_sent) exchange.response.status = 499;
  if (exchange.has_context && !context.script->cancel(exchange)) {
    exchange.detach();  // run_hooks() or on_script_done() goes on from here
    return;
  }
  conclude(context, exchange);
}

namespace {

// The client is served; a log phase that waits keeps the exchange, and no one else's.
void conclude(Context& context, Exchange& exchange) {
  StepResult logged = StepResult::kNext;
  if (exchange.has_context && has_hooks(exchange, Phase::kLog))
    logged = context.script->run_phase(exchange, Phase::kLog);
  count_exchange(context, exchange);
  if (context.access_log) context.access_log->write(exchange);
  if (logged == StepResult::kWait)
    exchange.detach();
  else
    context.exchanges.give(&exchange);
}

}  // namespace

}  // namespace moongate::proxy
