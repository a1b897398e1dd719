// SPDX-License-Identifier: Apache-2.0
// The life of an exchange as a table of named steps. Each step says: go on, answer now, or wait. This file
// and steps.cpp are the place to see what happens to a request, and in which order.
#pragma once

#include "exchange/exchange.h"
#include "proxy/context.h"

namespace moongate::proxy {

/// A parsed request begins its walk: its target is made canonical, the client's identity settled, then the
/// steps run.
void begin_steps(Context& context, exchange::Exchange& exchange);
/// What begin_steps settles before the steps: path, host and client. False when the request is answered 400.
bool settle_request(const Context& context, exchange::Exchange& exchange, std::string_view* reason);
/// Runs steps until one waits or the answer is on its way.
void run(Context& context, exchange::Exchange& exchange);
/// What a waiting step started is done: a name that resolved, or the script's result for it.
void resume(Context& context, exchange::Exchange& exchange, exchange::StepResult result);
/// Hooks that waited are done with exchange.phase, whichever it is.
void on_script_done(Context& context, exchange::Exchange& exchange, exchange::StepResult result);
/// Sends the answer the exchange holds; no plugin sees it (the request never was one).
void answer_without_steps(Context& context, exchange::Exchange& exchange);

/// The upstream's head is in exchange.response: lets plugins see it, then sends it with these pieces of body.
void on_response(Context& context, exchange::Exchange& exchange, const iovec* pieces, int count,
                 bool is_last);
/// Passes pieces of body on, through the plugins that filter bodies.
void pass_body(Context& context, exchange::Exchange& exchange, const iovec* pieces, int count, bool is_last);
/// Makes an error answer for a failed upstream, or breaks off an answer that has begun.
[[gnu::cold]] void fail_upstream(Context& context, exchange::Exchange& exchange, uint16_t status,
                                 std::string_view reason);
/// A gRPC call's deadline has passed while the upstream was silent: says so in an answer, or in the trailers
/// of the one that has begun.
void end_at_grpc_deadline(Context& context, exchange::Exchange& exchange);

/// Ends a gRPC answer that has begun with these trailers (grpc_answer.h) in place of the upstream's.
void end_grpc_answer(Context& context, exchange::Exchange& exchange, std::string_view trailers);
/// The credential that let the request in is gone: its answer ends, and so does what it was asked of.
void end_revoked(Context& context, exchange::Exchange& exchange);

/// The answer goes no further than this: what error the exchange holds takes its place, or its connection
/// ends.
void break_answer(Context& context, exchange::Exchange& exchange);
/// The client took what was queued for it.
void on_client_drained(Context& context, exchange::Exchange& exchange);
/// The exchange is over, however: log phase, access log, metrics; then it is recycled.
void end_exchange(Context& context, exchange::Exchange& exchange, exchange::Ending ending);

}  // namespace moongate::proxy
