// SPDX-License-Identifier: Apache-2.0
// HTTP/3's frames and fields (RFC 9114, RFC 9204) on the streams of one QUIC connection. No packets here:
// those are connection.h's. The only place that knows the library.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "http/http2_flood.h"
#include "http/stream_session.h"

struct nghttp3_conn;
struct nghttp3_vec;

namespace moongate::quic {

/// Error codes of RFC 9114 8.1 that are sent or told apart here.
enum class Http3Code : uint64_t {
  kNoError = 0x100,
  kInternalError = 0x102,
  kExcessiveLoad = 0x107,
  kRequestRejected = 0x10b,
  kRequestCancelled = 0x10c,
  kRequestIncomplete = 0x10d,
  kMessageError = 0x10e,
  kConnectError = 0x10f,
};

/// What the session asks of the connection that carries it.
class Http3Transport {
 public:
  /// The peer may send so many bytes more: on the stream, and on the connection.
  virtual void open_windows(int64_t stream, size_t size) = 0;
  /// On the connection alone: the stream is no more.
  virtual void open_window(size_t size) = 0;
  /// Ends a stream both ways.
  virtual void cut(int64_t stream, uint64_t code) = 0;
  /// Asks the peer to send no more on the stream.
  virtual void stop_input(int64_t stream, uint64_t code) = 0;

 protected:
  ~Http3Transport() = default;
};

class Http3Handler {
 public:
  /// A stream begins with these fields. attach() says who cares for it; without, its data goes nowhere.
  virtual void on_stream(int64_t stream, const http::Http2FieldBlock& block, bool is_last) = 0;

 protected:
  ~Http3Handler() = default;
};

/// The server's end.
///
/// Shape:   one entry for each stream that carries a request; of an answer, what the client has not
/// acknowledged. Owner:   the connection. Runs in: one worker's loop; never blocks. Fails:   calls give a
/// code of the library's below 0, or false; fault() and code() say what to close with.
class Http3Session final : public http::StreamSession {
 public:
  struct Options {
    http::HeadLimits head;
    uint32_t resets_max = 200;  // streams that a peer may cancel at once, and in ten seconds
  };
  Http3Session(Http3Transport& transport, Http3Handler& handler, const Options& options);
  ~Http3Session();
  Http3Session(const Http3Session&) = delete;
  Http3Session& operator=(const Http3Session&) = delete;

  // What the connection tells. False: the connection is to be closed with code().
  bool start(int64_t control_stream, int64_t encoder_stream, int64_t decoder_stream, uint64_t streams_max);
  bool note_begun(int64_t stream);
  bool receive(int64_t stream, std::string_view bytes, bool is_last);
  bool note_acknowledged(int64_t stream, uint64_t size);
  /// The peer has cancelled what it sends, or wants nothing more.
  bool note_cancelled(int64_t stream);
  bool note_closed(int64_t stream);
  /// The peer may open so many streams, of all there ever were.
  void set_streams_max(uint64_t count);
  void note_unblocked(int64_t stream);

  /// What may be written next: a stream, with pieces of it. `count` is 0 when there is nothing.
  struct Next {
    int64_t stream = -1;
    bool is_last = false;
    size_t count = 0;
  };
  static constexpr size_t kPiecesMax = 16;
  bool find_next(Next* next, nghttp3_vec* pieces);
  bool note_written(int64_t stream, size_t size, bool is_last);
  void note_blocked(int64_t stream);
  void note_shut(int64_t stream);

  /// Handlers of streams that were reset hear of their end; no frame is being made now.
  void tell_ended();

  /// Cancels requests whose fields have not come in time. True while there are others.
  bool drop_slow_heads(base::SteadyTime begun_before);
  bool has_unfinished_heads() const { return unfinished_heads_ > 0; }

  /// Tells the peer that the connection will end.
  void announce_shutdown();
  /// No stream is accepted after those that have come.
  void shut_down();

  /// What to close the connection with, after a call that failed.
  uint64_t code() const { return code_; }
  std::string_view fault() const { return fault_; }

  void attach(int64_t stream, http::StreamHandler* handler) override;
  void send_head(int64_t stream, uint16_t status, const http::FieldList& fields, bool has_body) override;
  void send_interim(int64_t stream, uint16_t status, const http::FieldList& fields) override;
  void send_trailers(int64_t stream, std::string_view lines) override;
  void resume(int64_t stream) override;
  void reset(int64_t stream, http::Http2Code code) override;
  void set_priority(int64_t stream, const http::Http2Priority& priority) override;
  void consume(int64_t stream, size_t size) override;

 private:
  struct Callbacks;
  struct Request {
    http::StreamHandler* handler = nullptr;
    http::Http2FieldBlock block;
    base::SteadyTime begun;
    bool is_head_whole = false;
    bool has_ended = false;           // the client has said everything
    bool is_answered = false;         // and so have we
    bool is_cut = false;              // by us
    size_t overhead_bytes = 0;        // that came and were of no body, less those that were
    std::deque<std::string> sent;     // until it is acknowledged
    uint64_t acknowledged_bytes = 0;  // of the first of them
  };
  Request* find(int64_t stream);
  void finish_head(Request& request);
  void drop_head(int64_t stream, uint64_t code);
  [[gnu::cold]] bool refuse_message(int64_t stream);
  [[gnu::cold]] bool drop_malformed(int64_t stream, size_t undelivered_bytes);
  [[gnu::cold]] bool fail(int library_code);
  [[gnu::cold]] int refuse(Http3Code code, std::string_view fault);
  bool count_overhead(int64_t stream, size_t bytes);
  bool know(int64_t stream);
  bool count_reset();
  size_t decoded_max() const { return 4 * options_.head.head_size_max_bytes + 64 * 1024; }

  Http3Transport& transport_;
  Http3Handler& handler_;
  Options options_;
  nghttp3_conn* library_ = nullptr;
  http::Http2FloodGuard guard_;
  std::unordered_map<int64_t, std::unique_ptr<Request>> requests_;
  std::vector<std::pair<int64_t, http::Http2Code>> ended_;  // by reset(); QUIC's end needs the client
  uint32_t unfinished_heads_ = 0;
  size_t delivered_bytes_ = 0;  // of a body, by the present receive()
  uint64_t code_ = 0;
  std::string_view fault_;
};

}  // namespace moongate::quic
