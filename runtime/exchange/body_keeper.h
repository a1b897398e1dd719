// SPDX-License-Identifier: Apache-2.0
// Collects a request's body into its exchange. Those who wait for it differ in how long it may be and in what
// follows: script/api_wait.cpp for plugins, proxy/route_body.h for the search for a route.
#pragma once

#include "exchange/client_side.h"
#include "exchange/exchange.h"

namespace moongate::exchange {

/// Keeps what comes, as far as BodyFiles has room.
///
/// Owner:   whoever waits; it must outlive the exchange's use of it as a sink.
/// Fails:   what cannot be kept cannot be forwarded either: the client is told so, with 507 or 500.
class BodyKeeper : public BodySink {
 public:
  void on_request_body(const iovec* pieces, int count, bool is_last) final;
  void on_request_body_failed(uint16_t status, std::string_view reason) final;
  bool wants_body() const final { return is_collecting(); }

 protected:
  BodyKeeper(Exchange& exchange, BodyFiles& files) : exchange_(exchange), files_(files) {}
  ~BodyKeeper() = default;

  virtual bool is_collecting() const = 0;
  /// All that came is in the exchange now.
  virtual void on_kept(bool is_last) = 0;
  /// Nothing more is collected; `reason` is empty unless `state` is kFailed.
  virtual void finish(BodyState state, std::string_view reason) = 0;

  Exchange& exchange_;

 private:
  BodyFiles& files_;
};

}  // namespace moongate::exchange
