// SPDX-License-Identifier: Apache-2.0
// One question of control's own to an HTTP server somewhere: a request, an answer of bounded size or piece by
// piece, and a clock. Apart from upstream/, whose business is to pass on what clients ask at the speed they
// ask it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/arena.h"
#include "http/chunked.h"
#include "http/head.h"
#include "net/event_loop.h"
#include "net/resolver.h"
#include "tls/stream.h"

namespace moongate::control {

/// A request under way.
///
/// Owner:   whoever waits for it; destroying it ends it without a call. `on_over` comes once and may destroy
/// it.
/// Runs in: control's loop.
/// Fails:   anything but a whole answer, with status 200 unless `takes_any_status`; more than
/// `answer_max_bytes`; the deadline. The error is retryable while nothing of the question has been sent.
class HttpQuestion {
 public:
  struct Options {
    std::string url;  // http://HOST[:PORT]/PATH, or https:// with `tls`
    std::string content_type;
    std::string body;
    size_t answer_max_bytes;
    base::Duration deadline;
    http::Method method = http::Method::kPost;  // or kGet, kHead
    std::string fields = {};                    // further ones, each "Name: value\r\n"
    std::shared_ptr<const tls::ClientContext> tls = nullptr;
    tls::Peer peer = {};            // of https; without a name: the host
    bool takes_any_status = false;  // and not only 200: see status(), find_field()
    /// Given: gets the body of a 200 as it comes, and nothing of it is kept. False ends the question. The
    /// deadline is put off by every piece.
    std::function<bool(std::string_view)> on_piece = nullptr;
  };
  using Callback = std::function<void(base::Result<std::string>)>;

  HttpQuestion(net::EventLoop& loop, net::Resolver& resolver, const Options& options, Callback on_over);

  /// Of the answer; 0 before its head has come.
  uint16_t status() const { return status_; }
  /// A field of the answer by its name in lower case; empty when it has none.
  std::string_view find_field(std::string_view name) const;

 private:
  void resolve(net::Resolver& resolver, const std::string& host);
  void connect_next();
  static void on_ready(void* self);
  base::Result<void> start_stream();
  bool step_connect();
  void write();
  void read();
  void take_bytes(std::string_view bytes, bool is_at_end);
  void take_head(bool is_at_end);
  void take_body(std::string_view bytes, bool is_at_end);
  void take_chunks(std::string_view bytes, bool is_at_end);
  bool take_piece(std::string_view piece);
  void fail(base::ErrorKind kind, const std::string& what);
  void finish(base::Result<std::string> result);

  net::EventLoop& loop_;
  Options options_;
  Callback on_over_;
  std::string request_;
  uint16_t port_ = 80;
  uint16_t status_ = 0;
  std::shared_ptr<const net::Resolver::Addresses> addresses_;
  size_t next_address_ = 0;
  size_t written_ = 0;
  std::string head_;                                        // as received, until it is whole
  std::map<std::string, std::string, std::less<>> fields_;  // of the answer, the first of each name
  http::BodyKind body_kind_ = http::BodyKind::kNone;
  uint64_t body_left_ = 0;  // of kLength
  http::ChunkedDecoder decoder_;
  std::string answer_;  // the body so far
  std::string last_error_;
  std::unique_ptr<tls::Stream> stream_;
  net::Timer deadline_;
  net::Deferred over_;  // the owner may destroy us, so never from within a call of ours
  base::Result<std::string> result_{std::string()};
  bool is_over_ = false;
  std::shared_ptr<bool> is_alive_ = std::make_shared<bool>(true);  // the resolver may answer too late
};

}  // namespace moongate::control
