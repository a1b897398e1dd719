// SPDX-License-Identifier: Apache-2.0
// The last stage of an answer's way out: codes its body for the client (gzip, br, zstd), after every plugin
// has seen it in clear. Plugins say what they want in Exchange::coding; steps.cpp sends bodies through here.
#pragma once

#include "exchange/exchange.h"
#include "net/event_loop.h"
#include "proxy/context.h"

namespace moongate::proxy {

/// Codes the answer of one exchange.
///
/// Shape:   one per exchange slot, used again; what came and was not coded yet is held, at most what one read
/// of the
///          upstream brought, or the answer of our own.
/// Runs in: one worker's loop. Codes coding_turn_bytes() a turn, and what is left in the turns that follow;
/// at the
///          end of a turn in which nothing is left, the client gets everything it needs to read on.
/// Fails:   by break_answer(): the client never takes a broken answer for a whole one.
class AnswerCoder {
 public:
  AnswerCoder(Context& context, exchange::Exchange& exchange)
      : context_(context), exchange_(exchange), later_(on_later, this) {}

  /// Looks at the final head whether the answer can be coded, and changes the head accordingly. `length` is
  /// the body's when all of it is here. What is wanted is spent either way; true when take() is to be used.
  bool begin(uint64_t length, bool is_whole);
  void take(const iovec* pieces, int count, bool is_last);
  /// True when the upstream may be read on.
  bool has_room() const { return uncoded_.is_empty() && !exchange_.client->is_blocked(); }
  /// The client took what was queued for it. True when there was something left to code, which goes on now.
  bool on_client_drained();
  void cancel();

 private:
  static void on_later(void* self) { static_cast<AnswerCoder*>(self)->go_on(); }
  void go_on();
  bool work(std::string_view* bytes);
  void plan_next_turn();
  bool has_work() const { return !uncoded_.is_empty() || is_last_; }
  bool encode(std::string_view bytes, http::Encoder::Flush flush);
  bool send(bool is_last);
  bool is_bodiless() const;
  bool is_codable(uint64_t length, bool is_whole) const;
  void weaken_tag();
  void change_head(http::Coding coding);

  Context& context_;
  exchange::Exchange& exchange_;
  net::Deferred later_;
  std::unique_ptr<http::Encoder> encoder_;
  base::ByteQueue uncoded_;
  base::ByteQueue coded_;
  size_t piece_max_bytes_ = 0;
  bool is_last_ = false;        // all of the body has come, and its end is not coded yet
  bool has_unflushed_ = false;  // the coder keeps what the client should see by the end of the turn
};

}  // namespace moongate::proxy
