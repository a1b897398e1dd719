// SPDX-License-Identifier: Apache-2.0
// HTTP/2's frames (RFC 9113): bytes come in, bytes go out, and what they mean goes to handlers. No sockets
// here, and no judgement on fields: that is http2_fields.h's. The only place that knows the library. One end
// of a connection is a Http2Session, whichever side it is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/fields.h"
#include "http/http2_fields.h"
#include "http/http2_flood.h"
#include "http/http2_frame_walk.h"
#include "http/http2_stream_order.h"
#include "http/stream_session.h"

struct nghttp2_session;

namespace moongate::http {

/// What a client sends first on a connection on which nothing was agreed before.
inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

class Http2Handler {
 public:
  /// To a server: a stream begins with these fields. attach() says who cares for it; without, its data goes
  /// nowhere.
  virtual void on_stream(int32_t stream, const Http2FieldBlock& block, bool is_last) = 0;
  /// The peer knows that the connection is about to end: what it opened before has come.
  virtual void on_shutdown_heard() = 0;
  /// The peer has said what it allows.
  virtual void on_settings() {}
  /// The peer takes no further streams. Those it will not answer are closed with kRefusedStream.
  virtual void on_peer_leaving() {}

 protected:
  ~Http2Handler() = default;
};

/// One end of a connection.
///
/// Shape:   state of frames, windows and field tables; no queue of bytes but what handlers offer.
/// Owner:   the connection; handlers must outlive it.
/// Runs in: one worker's loop; never blocks.
/// Fails:   a broken rule ends the stream or the connection, as RFC 9113 has it; a flood ends the connection.
class Http2Session final : public StreamSession {
 public:
  struct Options {
    HeadLimits head;
    uint32_t streams_max = 128;
    uint32_t stream_window_bytes = 128 * 1024;
    uint32_t connection_window_bytes = 1024 * 1024;
    uint32_t resets_max = 200;  // streams that a peer may cancel at once, and in ten seconds
  };
  static std::unique_ptr<Http2Session> make_server(Http2Handler& handler, const Options& options);
  /// Of `options`, streams_max means nothing to a client: servers may not open any.
  static std::unique_ptr<Http2Session> make_client(Http2Handler& handler, const Options& options);
  ~Http2Session();
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  /// Takes bytes in. False when the connection has to end: what write() has still to say is sent first.
  bool receive(std::string_view bytes);
  /// Appends frames to `out` until it holds `size_max` bytes or nothing is to be sent. False: as above.
  bool write(std::string* out, size_t size_max);
  /// Nothing is to be sent or expected any more.
  bool is_over() const;
  /// A block of fields has begun and is not whole yet.
  bool is_within_block() const { return is_within_block_; }
  /// False when nothing that the peer could say matters any more.
  bool wants_input() const;
  /// How many streams the peer allows at a time.
  uint32_t peer_streams_max() const;
  /// Why the connection was ended; empty when it was not, or by the library.
  std::string_view fault() const { return fault_; }

  void attach(int64_t stream, StreamHandler* handler) override;
  /// Begins a stream with a request and gives its number, or 0 when the connection has none left. `head` is
  /// one of HTTP/1, start line and lines; what belongs to a connection of HTTP/1 stays here. With `has_body`,
  /// data and the end come from `handler`.
  int32_t send_request(std::string_view head, std::string_view scheme, bool has_body, StreamHandler* handler);
  void send_head(int64_t stream, uint16_t status, const FieldList& fields, bool has_body) override;
  void send_interim(int64_t stream, uint16_t status, const FieldList& fields) override;
  void send_trailers(int64_t stream, std::string_view lines) override;
  void resume(int64_t stream) override;
  void reset(int64_t stream, Http2Code code) override;
  void set_priority(int64_t stream, const Http2Priority& priority) override;
  /// A client's connection window opens when bytes come, so that an answer nobody takes holds up no other
  /// one.
  void consume(int64_t stream, size_t size) override;

  /// Tells the peer that the connection will end; on_shutdown_heard follows when it has heard.
  void announce_shutdown();
  /// No stream is accepted after those that have come.
  void shut_down();
  /// Ends everything.
  void terminate(Http2Code code);

 private:
  struct Callbacks;
  Http2Session(Http2Handler& handler, const Options& options, bool is_client);
  void submit_settings();
  [[gnu::cold]] bool fail(std::string_view fault);
  bool feed(std::string_view bytes);
  bool judge(const Http2FrameHead& head);
  bool judge_data(const Http2FrameHead& head);
  [[gnu::cold]] bool refuse(Http2Code code, std::string_view fault);
  size_t decoded_max() const { return 4 * options_.head.head_size_max_bytes + 64 * 1024; }

  Http2Handler& handler_;
  Options options_;
  const bool is_client_;
  nghttp2_session* library_ = nullptr;
  Http2FloodGuard guard_;
  uint32_t refused_streams_ = 0;  // before the client had heard of the limit
  Http2StreamOrder order_;        // of a server's, as is the next
  Http2FrameWalk walk_{static_cast<uint32_t>(kHttp2Preface.size())};
  Http2FieldBlock block_;
  std::string* out_ = nullptr;  // these two inside write()
  size_t out_size_max_ = 0;
  std::string_view fault_;
  bool is_within_block_ = false;
};

}  // namespace moongate::http
