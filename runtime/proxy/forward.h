// SPDX-License-Identifier: Apache-2.0
// Sends a request to a node and its answer back: retries, the request's body on the way out, the answer's on
// the way in, each no faster than the slower side.
#pragma once

#include "proxy/connection.h"
#include "proxy/context.h"
#include "upstream/attempt.h"

namespace moongate::proxy {

/// Forwards one exchange.
///
/// Shape:   one per exchange slot, used again; at most one attempt at a time.
/// Runs in: one worker's loop.
/// Fails:   by fail_upstream() once no further try is allowed.
class Forwarder final : public upstream::AttemptHandler, public exchange::BodySink {
 public:
  Forwarder(Context& context, exchange::Exchange& exchange)
      : context_(context),
        exchange_(exchange),
        attempt_(this),
        later_(on_later, this),
        deadline_timer_(on_deadline, this) {}

  /// Begins a try at exchange.node; its outcome comes through the steps. kWait, or kAnswer when nothing can
  /// be sent.
  exchange::StepResult start();
  /// Chooses the next node into exchange.node: kNext, kWait while a name is resolved, or kAnswer (502, 503).
  exchange::StepResult pick();
  void on_client_drained();
  /// Stops taking the answer in until on_client_drained().
  void pause_answer() { attempt_.pause(); }
  void cancel();

  void on_attempt_ready() override;
  void on_interim_response() override;
  void on_response_head(const iovec* pieces, int count, bool is_last) override;
  void on_response_body(const iovec* pieces, int count, bool is_last) override;
  void on_upgraded(std::string_view first_bytes) override;
  void on_attempt_drained() override;
  void on_attempt_failed(const base::Error& error, upstream::AttemptStage stage) override;

  void on_request_body(const iovec* pieces, int count, bool is_last) override;
  void on_request_trailers(std::string_view lines) override;
  void on_request_body_failed(uint16_t status, std::string_view reason) override;
  bool wants_body() const override { return attempt_.is_ready() && !attempt_.is_blocked(); }

 private:
  void find_endpoint();
  bool choose_scheme();
  static void on_later(void* self) { static_cast<Forwarder*>(self)->send_collected(); }
  static void on_deadline(void* self);
  bool keep_deadline();
  bool is_whole_collected() const;
  void send_collected();
  [[gnu::cold]] void fail_collected(const base::Error& error);
  void read_rest();
  bool may_retry(const base::Error& error, upstream::AttemptStage stage) const;
  void retry();
  void record_try();
  void record_failure(uint16_t status);
  void end_answer();
  void release_node();

  Context& context_;
  exchange::Exchange& exchange_;
  upstream::Attempt attempt_;
  net::Deferred later_;        // goes on with a body that is read from a file
  net::Timer deadline_timer_;  // of a gRPC call, while a try is under way
  std::shared_ptr<upstream::Endpoint> endpoint_;
  std::string_view head_;
  upstream::Scheme scheme_ = upstream::Scheme::kHttp;
  bool is_node_counted_ = false;
  bool is_resolving_ = false;
  bool is_asking_ = false;           // the resolver is on the stack: its answer is pick()'s result
  bool has_collected_left_ = false;  // some of the collected body is still to be sent
  uint64_t collected_sent_ = 0;      // of it
  uint32_t try_ = 0;                 // counts tries, so that one begun below its predecessor is noticed
  uint32_t serial_ = 0;  // of the exchange: a late answer of the resolver must not find the next one
};

}  // namespace moongate::proxy
