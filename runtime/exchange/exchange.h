// SPDX-License-Identifier: Apache-2.0
// One request and its answer, from the first byte to the log line. Every part of the data path reads and
// writes this object, whatever the protocol it came over; what only one request needs lives in its arena
// and ends with it. Exchanges are recycled: their addresses stay valid for the life of the worker.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/byte_queue.h"
#include "base/clock.h"
#include "exchange/client_side.h"
#include "exchange/collected_body.h"
#include "http/content_coding.h"
#include "http/head.h"
#include "http/uri.h"
#include "router/router.h"
#include "snapshot/snapshot.h"
#include "upstream/attempt.h"
#include "upstream/upstream.h"

namespace moongate::exchange {

/// What a step or a phase says about going on.
enum class StepResult : uint8_t {
  kNext,    // go on with the next step
  kAnswer,  // the exchange holds an answer of our own: send it
  kWait,    // something was started that will call resume() later
};

/// The phases plugins have, in the order of one request.
enum class Phase : uint8_t {
  kNone,
  kRewrite,
  kAccess,
  kBeforeProxy,
  kHeaderFilter,
  kBodyFilter,
  kLog,
  kCount
};

/// Who made the answer.
enum class AnswerSource : uint8_t { kNone, kGateway, kProxyError, kUpstream };

/// How the exchange ended, for logs and metrics.
enum class Ending : uint8_t { kOpen, kComplete, kClientGone, kUpstreamBroke };

/// The request's body as plugins see it.
enum class BodyState : uint8_t {
  kNone,
  kUnread,
  kReading,
  kCollected,  // all of it is here, in memory or in a file
  kReplaced,
  kFailed,  // part of it was taken and the rest could not be had: see body_fault_status
};

/// One try at a node, for logs: "upstream_addr", "upstream_status", "upstream_response_time".
struct TryRecord {
  std::string_view address;
  uint16_t status = 0;  // 0: no answer
  base::Duration connect_time{-1};
  base::Duration header_time{-1};
  base::Duration response_time{-1};
};

/// What plugin websocket-limits wants of a WebSocket's client; see proxy/websocket_guard.h.
struct WebSocketLimits {
  uint64_t message_size_max_bytes = 0;  // 0: any
  double messages_per_second = 0;       // 0: any number
  double burst = 0;                     // that many at once
  bool is_limited() const { return message_size_max_bytes > 0 || messages_per_second > 0; }
};

class Exchange {
 public:
  explicit Exchange(uint32_t slot_index) : slot(slot_index) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// Makes it ready for a new request, and forgets the last one.
  void begin(ClientSide& client_side, snapshot::Pin pinned);
  void end();

  /// Sets an answer of our own with the standard JSON error body.
  [[gnu::cold]] void fail(uint16_t status, std::string_view reason);
  /// Sets an answer of our own; `body` is copied.
  void answer(uint16_t status, std::string_view body, std::string_view content_type);
  void append_answer(std::string_view piece);
  /// Where response fields are to be changed now: before there is a head, in the list that is laid over it
  /// later.
  http::FieldList& response_fields() { return is_response_begun ? response.fields : early_fields; }
  /// The head is there (the upstream's or our own): lays what plugins set before over it.
  void begin_response();
  /// Path and query as they go upstream.
  const http::CanonicalUri& sent_uri() const { return has_upstream_uri ? upstream_uri : uri; }
  /// The client's connection goes on without this: keeps what was in the connection.
  void detach();
  /// The id that stands in error bodies and logs: 32 hex digits, made when first asked for.
  std::string_view request_id();

  const uint32_t slot;  // index in the worker's pool: Lua's name for it
  uint64_t serial = 0;  // changes when the request ends or the client is gone: callers up the stack notice
  base::Arena arena;
  ClientSide* client = nullptr;  // null when the client is gone
  snapshot::Pin snapshot;

  // The request.
  http::RequestHead request{&arena};
  http::CanonicalUri uri;           // as plugins left it
  http::CanonicalUri original_uri;  // as the client asked
  http::CanonicalUri upstream_uri;  // what a plugin wants sent in place of `uri`
  bool has_upstream_uri = false;
  std::string_view host;  // lower case, without port
  uint16_t host_port = 0;
  bool is_tls = false;
  std::string_view method_text() const { return request.method_text; }

  // The connection it came over.
  std::string_view peer_address;  // of the socket, or as PROXY protocol said
  uint16_t peer_port = 0;
  std::string_view remote_address;  // the client's, after trusted forwarders
  router::Address remote;
  std::string_view server_address;  // these two only when detached
  uint16_t server_port = 0;
  uint64_t connection_number = 0;
  uint64_t bytes_received = 0;
  bool is_peer_trusted = false;
  struct Forwarded {  // what a trusted peer said; what others say is dropped
    std::string_view forwarded_for, proto, host, port;
  } forwarded;

  // Where it goes.
  const snapshot::Route* route = nullptr;
  router::Match match;
  std::shared_ptr<upstream::Upstream> upstream;  // the route's, or a plugin's choice
  upstream::Node* node = nullptr;
  std::string_view node_ip;        // the address that was found for a node that is a name
  std::string_view upstream_host;  // Host sent upstream when a plugin set it
  std::string_view upstream_scheme;
  upstream::Tried tried;
  uint32_t tries = 0;
  TryRecord try_records[8];
  base::SteadyTime try_started{};

  // The request's body.
  BodyState body_state = BodyState::kNone;
  CollectedBody body;                 // collected for a plugin, or a plugin's own
  bool has_body_left_client = false;  // some of it was passed on: no retry
  uint16_t body_fault_status = 0;     // when kFailed: what the client is told
  std::string_view body_fault_reason;

  // The answer.
  http::ResponseHead response{&arena};
  http::FieldList early_fields{&arena};  // set by plugins before there was a head
  bool is_response_begun = false;
  AnswerSource source = AnswerSource::kNone;
  std::string answer_body;
  // On its way through filters that wait: see proxy/steps.cpp.
  Phase waiting_filter = Phase::kNone;
  bool is_answer_own = false;  // not the upstream's
  bool is_piece_last = false;  // the one in body_filter
  bool is_held_last = false;   // what is held ends the answer
  base::ByteQueue held;        // of the answer's body, came while a filter waited
  WebSocketLimits websocket;   // if it becomes one
  http::CodingPlan coding;     // what plugins want of this answer; see proxy/answer_coder.h
  bool is_coded = false;       // the body is on its way through a coder
  bool is_head_sent = false;
  bool is_last_passed = false;  // the answer's end is on its way to the client, or waits for a filter
  uint64_t bytes_sent = 0;
  uint64_t body_bytes_sent = 0;
  uint16_t upstream_status = 0;
  std::string_view upstream_trailers;  // lines `name: value` CR LF, once the upstream's answer is whole
  Ending ending = Ending::kOpen;

  // Where it stands.
  uint8_t step = 0;
  Phase phase = Phase::kNone;
  base::SteadyTime started{};
  base::WallTime started_wall{};
  base::SteadyTime upstream_started{};

  // Lua's side: see script/. Handles, never owned here.
  int chain = 0;  // the plugins that apply, merged with the consumer's
  int global_chain = 0;
  uint32_t phases_present = 0;  // bit per Phase: some plugin has a function for it
  uint32_t traffic = 0;         // bits of traffic::k*: what is counted at its end
  void* task = nullptr;
  Phase time_waited_phase = Phase::kNone;
  base::Duration time_waited{0};  // by hooks of that phase
  bool has_context = false;       // plugins apply to it
  bool is_known_to_lua = false;   // a hook ran, or filter_func
  std::string_view consumer_name;
  std::string_view credential_owner;  // who was recognised by a credential of the configuration,
  uint64_t credential_print = 0;      // and by which: CredentialRef::print; 0: nobody was
  std::string_view limiting_info;
  struct Variable {
    std::string_view name, value;
  };
  std::vector<Variable> variables;  // set by plugins

 private:
  std::string_view request_id_;
};

/// Recycled exchanges of one worker.
class ExchangePool {
 public:
  Exchange* take();
  void give(Exchange* exchange);
  Exchange* at(uint32_t slot) { return slots_[slot].get(); }
  uint32_t slot_count() const { return static_cast<uint32_t>(slots_.size()); }
  /// Where long bodies go that are collected in these exchanges.
  BodyFiles& body_files() { return body_files_; }
  uint32_t active() const { return static_cast<uint32_t>(slots_.size() - free_.size()); }

 private:
  BodyFiles body_files_;
  std::vector<std::unique_ptr<Exchange>> slots_;
  std::vector<Exchange*> free_;
};

}  // namespace moongate::exchange
