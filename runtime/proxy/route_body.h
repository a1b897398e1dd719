// SPDX-License-Identifier: Apache-2.0
// Routes that are found by the request's body: `post_arg_NAME`, `post_arg.PATH` and `graphql_*` in `vars`.
// The search itself cannot wait, so one that asks for the body before it is here ends without it, and another
// one follows.
#pragma once

#include "exchange/body_keeper.h"
#include "net/event_loop.h"
#include "proxy/context.h"
#include "router/variables.h"

namespace moongate::proxy {

/// Collects the body of a request whose route is looked for.
///
/// Shape:   up to 1 MB, in memory or a file as for plugins; a longer body is refused.
/// Owner:   Context, one for each exchange slot that needed one; recycled, never freed.
/// Fails:   a body that cannot be had is kFailed, with what the client is told.
class RouteBody final : public exchange::BodyKeeper {
 public:
  /// `go_on` searches again, with what there is then.
  using GoOn = void (*)(Context&, exchange::Exchange&);
  RouteBody(Context& context, exchange::Exchange& exchange, GoOn go_on)
      : BodyKeeper(exchange, context.exchanges.body_files()),
        context_(context),
        go_on_(go_on),
        later_(on_later, this) {}

  /// Of a body that is unread. kNext: it is here already, or cannot be had. kWait: `go_on` follows.
  exchange::StepResult collect();

 private:
  static void on_later(void* self);
  bool is_collecting() const override;
  void on_kept(bool is_last) override;
  void finish(exchange::BodyState state, std::string_view reason) override;

  Context& context_;
  GoOn go_on_;
  net::Deferred later_;           // the search does not run below the connection that reads
  uint64_t serial_ = UINT64_MAX;  // of the exchange whose body was asked for last
  bool is_over_ = false;
  bool is_waiting_ = false;
};

/// The variables of a request whose route is looked for, those of its body among them.
///
/// Fails:   what of the body cannot be looked at is a fault: whatever route the search then finds must not be
///          taken. From then on, as from where the body is missed, nothing is asked of the body any more.
class RouteVariables final : public router::VariableSource {
 public:
  RouteVariables(Context& context, exchange::Exchange& exchange) : context_(context), exchange_(exchange) {}
  bool find(std::string_view name, std::string_view* value) override;
  bool find_in_body(std::string_view name, std::string_view* value) override;
  bool has_element(std::string_view name, std::string_view element) override;
  ~RouteVariables() override;
  RouteVariables(const RouteVariables&) = delete;
  RouteVariables& operator=(const RouteVariables&) = delete;
  /// The search asked for a body that has not been read: it is to be done again with it.
  bool has_missed_body() const { return has_missed_body_; }
  /// The first variable of the body that was asked for; empty when none was.
  std::string_view asked() const { return asked_; }
  /// 0 unless something could not be looked at.
  uint16_t fault_status() const { return fault_status_; }
  std::string_view fault_reason() const { return fault_reason_; }

 private:
  bool ask(std::string_view name, const std::string_view* element, std::string_view* value);
  Context& context_;
  exchange::Exchange& exchange_;
  std::string_view asked_;
  bool has_missed_body_ = false;
  uint16_t fault_status_ = 0;
  std::string_view fault_reason_;
};

}  // namespace moongate::proxy
