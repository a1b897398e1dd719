// SPDX-License-Identifier: Apache-2.0
// The library does frames, windows and HPACK. Its checks of messages are off: http2_fields.cpp makes them, so
// that a refused request has an answer, a log line and a reason as one of HTTP/1 has.
#include "http/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "base/assert.h"
#include "http/chars.h"
#include "http/trailer_lines.h"
#include "http/writer.h"

namespace moongate::http {
namespace {

StreamHandler* handler_of(nghttp2_session* library, int32_t stream) {
  return static_cast<StreamHandler*>(nghttp2_session_get_stream_user_data(library, stream));
}

nghttp2_nv to_nv(std::string_view name, std::string_view value) {
  auto* name_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  auto* value_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  return {name_bytes, value_bytes, name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

/// A response's fields in the library's form. The library copies them, and makes names lower case. One at a
/// time.
class FieldArray {
 public:
  FieldArray(uint16_t status, const FieldList& fields) : fields_(buffer()) {
    fields_.clear();
    const char* status_end = write_number(status_, status);
    fields_.push_back(to_nv(":status", {status_, static_cast<size_t>(status_end - status_)}));
    for (const Field& field : fields) {
      if (!is_hop_by_hop(field, {})) fields_.push_back(to_nv(field.name, trim_blanks(field.value)));
    }
  }
  const nghttp2_nv* data() const { return fields_.data(); }
  size_t size() const { return fields_.size(); }

 private:
  static std::vector<nghttp2_nv>& buffer() {
    static thread_local std::vector<nghttp2_nv> fields;
    return fields;
  }
  char status_[24];
  std::vector<nghttp2_nv>& fields_;
};

/// A request's head of HTTP/1 in the library's form; the views live as long as `head`.
std::vector<nghttp2_nv> make_request_fields(std::string_view head, std::string_view scheme) {
  const auto take_line = [&head] {
    const size_t end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + 2, head.size()));
    return line;
  };
  const std::string_view start = take_line();
  const size_t method_size = std::min(start.find(' '), start.size());
  const std::string_view target =
      start.substr(std::min(method_size + 1, start.size()), start.rfind(' ') - method_size - 1);
  std::vector<nghttp2_nv> fields{to_nv(":method", start.substr(0, method_size)), to_nv(":scheme", scheme),
                                 to_nv(":path", target)};
  for (std::string_view line = take_line(); !line.empty(); line = take_line()) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) continue;
    const Field field(line.substr(0, colon), trim_blanks(line.substr(colon + 1)));
    if (field.id == FieldId::kHost)
      fields.insert(fields.begin() + 3, to_nv(":authority", field.value));
    else if (field.id == FieldId::kTe || !is_hop_by_hop(field, {}))
      fields.push_back(to_nv(field.name, field.value));
  }
  return fields;
}

/// HTTP/2's numbers of streams have 31 bits.
int32_t number(int64_t stream) { return static_cast<int32_t>(stream); }

/// Streams that the library itself resets broke a rule; the codes of our own resets are others.
bool blames_peer(uint32_t code) {
  return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
         code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR;
}

struct CallbacksFree {
  void operator()(nghttp2_session_callbacks* callbacks) const { nghttp2_session_callbacks_del(callbacks); }
};
struct OptionFree {
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};

/// What both sides ask of the library.
const nghttp2_option* shared_option() {
  static nghttp2_option* const option = [] {
    nghttp2_option* made = nullptr;
    MG_ASSERT(nghttp2_option_new(&made) == 0);
    nghttp2_option_set_no_auto_window_update(made, 1);
    nghttp2_option_set_no_http_messaging(made, 1);
    for (int type = NGHTTP2_ALTSVC; type <= UINT8_MAX; type++) {
      if (type != NGHTTP2_PRIORITY_UPDATE)
        nghttp2_option_set_user_recv_extension_type(made, static_cast<uint8_t>(type));
    }
    nghttp2_option_set_builtin_recv_extension_type(made, NGHTTP2_PRIORITY_UPDATE);
    constexpr size_t kContinuationsMax =
        80;  // the largest head there may be, 1 MB; on_field() has the real limit
    nghttp2_option_set_max_continuations(made, kContinuationsMax);
    constexpr size_t kSentHeadMax = 4 << 20;  // as the library counts it; what is larger was refused before
    nghttp2_option_set_max_send_header_block_length(made, kSentHeadMax);
    constexpr uint64_t kNoLimit = uint64_t{1} << 32;  // the guard's is narrower, and says why
    nghttp2_option_set_stream_reset_rate_limit(made, kNoLimit, kNoLimit);
    return made;
  }();
  return option;
}

}  // namespace

/// What the library calls; `self` is the session.
struct Http2Session::Callbacks {
  static Http2Session& of(void* self) { return *static_cast<Http2Session*>(self); }

  // A head of a stream that the client has left behind. Where the stream is there still, the library knows.
  static bool is_out_of_order(nghttp2_session* library, const nghttp2_frame_hd& head, Http2Session& session,
                              Http2Code* code) {
    const auto stream = static_cast<uint32_t>(head.stream_id);
    if (session.is_client_ || head.type != NGHTTP2_HEADERS || stream % 2 == 0) return false;
    Http2StreamOrder& order = session.order_;
    if (order.is_new(stream)) {
      order.begin(stream);
      return false;
    }
    if (nghttp2_session_find_stream(library, head.stream_id) != nullptr) return false;
    *code = order.was_passed_over(stream) ? Http2Code::kProtocolError : Http2Code::kStreamClosed;
    const bool was_cut = order.was_cut(stream);
    if ((head.flags & NGHTTP2_FLAG_END_STREAM) != 0) order.note_end(stream);
    return !was_cut;
  }

  // Every frame passes here, unknown ones and CONTINUATION too; of DATA only what has a stream
  // (judge_data()).
  static int on_frame_begun(nghttp2_session* library, const nghttp2_frame_hd* head, void* self) {
    Http2Session& session = of(self);
    bool is_allowed = true;
    if (head->type != NGHTTP2_CONTINUATION) session.is_within_block_ = false;
    if (Http2Code code; is_out_of_order(library, *head, session, &code)) {
      session.refuse(code, "a head of a stream that is over");
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (head->type == NGHTTP2_PRIORITY && head->stream_id == 0) {  // the library looks at none
      session.refuse(Http2Code::kProtocolError, "a PRIORITY frame of no stream");
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    switch (head->type) {
      case NGHTTP2_RST_STREAM:
        is_allowed = session.is_client_ || session.guard_.take_reset();  // a client's own streams are few
        break;
      case NGHTTP2_WINDOW_UPDATE:
        is_allowed = session.guard_.take_window_update();
        break;
      case NGHTTP2_DATA:
      case NGHTTP2_HEADERS:
      case NGHTTP2_CONTINUATION:
        if (head->length == 0 && (head->flags & NGHTTP2_FLAG_END_STREAM) == 0)
          is_allowed = session.guard_.take_idle_frame();
        else if (head->type != NGHTTP2_CONTINUATION)
          session.guard_.note_useful_frame();
        break;
      default:
        is_allowed = session.guard_.take_idle_frame();
    }
    if (is_allowed) return 0;
    session.fault_ = head->type == NGHTTP2_RST_STREAM ? "too many cancelled streams" : "too many idle frames";
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int on_block_begun(nghttp2_session*, const nghttp2_frame*, void* self) {
    of(self).block_.clear();
    of(self).is_within_block_ = true;
    return 0;
  }

  static int on_field(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* self) {
    Http2Session& session = of(self);
    session.block_.add({reinterpret_cast<const char*>(name), name_size},
                       {reinterpret_cast<const char*>(value), value_size},
                       session.options_.head.head_size_max_bytes);
    // Too much is answered; a few bytes that unfold into very much are an attack.
    if (session.block_.size_bytes() <= session.decoded_max()) return 0;
    session.fault_ = "a block of fields without end";
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int on_frame(nghttp2_session* library, const nghttp2_frame* frame, void* self) {
    Http2Session& session = of(self);
    const int32_t stream = frame->hd.stream_id;
    const bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
      session.handler_.on_shutdown_heard();
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
      session.handler_.on_settings();
    if (frame->hd.type == NGHTTP2_GOAWAY) session.handler_.on_peer_leaving();
    if (frame->hd.type == NGHTTP2_HEADERS) {
      session.is_within_block_ = false;
      if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        session.handler_.on_stream(stream, session.block_, is_last);
      } else if (StreamHandler* handler = handler_of(library, stream)) {
        handler->on_fields(session.block_, is_last);
      }
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM) session.order_.note_end(static_cast<uint32_t>(stream));
    if (is_last && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)) {
      if (StreamHandler* handler = handler_of(library, stream)) handler->on_last();
    }
    return 0;
  }

  // A stream beyond the limit is never made, and what follows its head may be here already.
  static int on_invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int code, void* self) {
    Http2Session& session = of(self);
    if (session.is_client_ || frame->hd.type != NGHTTP2_HEADERS || code != NGHTTP2_ERR_REFUSED_STREAM)
      return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
      session.order_.note_cut(static_cast<uint32_t>(frame->hd.stream_id));
    if (++session.refused_streams_ <= Http2StreamOrder::kFirstFlightMax) return 0;
    session.fault_ = "streams beyond the limit without end";  // the limit is not acknowledged on purpose
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  // A request counts as begun when its head is about to go: the library tells of what went one call later.
  static int on_frame_about_to_go(nghttp2_session* library, const nghttp2_frame* frame, void* self) {
    if (!of(self).is_client_ || frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (StreamHandler* handler = handler_of(library, frame->hd.stream_id)) handler->on_frame_sent(0);
    return 0;
  }

  // A stream whose head or trailers cannot be sent would wait for ever. Those of requests the library ends.
  static int on_frame_not_sent(nghttp2_session* library, const nghttp2_frame* frame, int, void* self) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat != NGHTTP2_HCAT_REQUEST &&
        nghttp2_session_find_stream(library, frame->hd.stream_id) != nullptr)
      of(self).reset(frame->hd.stream_id, Http2Code::kInternalError);
    return 0;
  }

  static int on_data(nghttp2_session* library, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                     void* self) {
    if (of(self).is_client_) static_cast<void>(nghttp2_session_consume_connection(library, size));
    if (StreamHandler* handler = handler_of(library, stream))
      handler->on_data({reinterpret_cast<const char*>(data), size});
    else
      of(self).consume(stream, size);
    return 0;
  }

  static int on_frame_sent(nghttp2_session* library, const nghttp2_frame* frame, void* self) {
    Http2Session& session = of(self);
    if (frame->hd.type == NGHTTP2_RST_STREAM && blames_peer(frame->rst_stream.error_code) &&
        !session.guard_.take_reset()) {
      session.fault_ = "too many broken streams";
    }
    if (!session.is_client_ && frame->hd.type == NGHTTP2_RST_STREAM &&
        nghttp2_session_get_stream_remote_close(library, frame->hd.stream_id) == 0)
      session.order_.note_cut(static_cast<uint32_t>(frame->hd.stream_id));
    if (frame->hd.type == NGHTTP2_GOAWAY)
      session.order_.close_above(static_cast<uint32_t>(frame->goaway.last_stream_id));
    // Behind the notice, so that whoever answers has read it; the library would send it before.
    constexpr int32_t kNotice = 0x7fffffff;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.last_stream_id == kNotice)
      static_cast<void>(nghttp2_submit_ping(library, NGHTTP2_FLAG_NONE, nullptr));
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
    session.guard_.note_useful_frame();
    constexpr size_t kFrameHeadBytes = 9;
    StreamHandler* handler = handler_of(library, frame->hd.stream_id);
    if (handler) handler->on_frame_sent(frame->hd.length + kFrameHeadBytes);
    // The answer is whole and the request is not: the rest of it has no reader (RFC 9113 8.1).
    const bool is_answer_whole = !session.is_client_ && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (is_answer_whole && nghttp2_session_get_stream_remote_close(library, frame->hd.stream_id) == 0) {
      session.reset(frame->hd.stream_id, Http2Code::kNoError);
    }
    return 0;
  }

  static int on_closed(nghttp2_session* library, int32_t stream, uint32_t code, void*) {
    StreamHandler* handler = handler_of(library, stream);
    if (!handler) return 0;
    nghttp2_session_set_stream_user_data(library, stream, nullptr);
    handler->on_closed(static_cast<Http2Code>(code));
    return 0;
  }

  static ssize_t offer_data(nghttp2_session* library, int32_t stream, uint8_t*, size_t size_max,
                            uint32_t* flags, nghttp2_data_source*, void*) {
    StreamHandler* handler = handler_of(library, stream);
    const StreamOffer offer = handler ? handler->offer_data(size_max) : StreamOffer{};
    if (offer.size == 0 && !offer.is_last) return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (offer.is_last) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (offer.is_last && offer.has_trailers) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return static_cast<ssize_t>(offer.size);
  }

  static int take_data(nghttp2_session* library, nghttp2_frame* frame, const uint8_t* head, size_t size,
                       nghttp2_data_source*, void* self) {
    Http2Session& session = of(self);
    constexpr size_t kFrameHeadBytes = 9;
    session.out_->append(reinterpret_cast<const char*>(head), kFrameHeadBytes);
    session.guard_.note_data_sent(size);
    if (size > 0) handler_of(library, frame->hd.stream_id)->take_data(size, session.out_);
    return session.out_->size() >= session.out_size_max_ ? NGHTTP2_ERR_PAUSE : 0;
  }

  // Frames of types that nobody knows mean nothing; they pass here so that they are counted.
  static int ignore_extension(nghttp2_session*, const nghttp2_frame_hd*, const uint8_t*, size_t, void*) {
    return NGHTTP2_ERR_CANCEL;
  }
  static int ignore_whole_extension(nghttp2_session*, void**, const nghttp2_frame_hd*, void*) {
    return NGHTTP2_ERR_CANCEL;
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* callbacks = nullptr;
    MG_ASSERT(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_frame_begun);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_block_begun);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_field);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_before_frame_send_callback(callbacks, on_frame_about_to_go);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_closed);
    nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(callbacks, ignore_extension);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, ignore_whole_extension);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, take_data);
    return callbacks;
  }
  static nghttp2_session_callbacks* shared() {
    static nghttp2_session_callbacks* const callbacks = make();
    return callbacks;
  }
};

Http2Session::Http2Session(Http2Handler& handler, const Options& options, bool is_client)
    : handler_(handler),
      options_(options),
      is_client_(is_client),
      guard_(options.resets_max),
      order_(options.streams_max) {}

Http2Session::~Http2Session() { nghttp2_session_del(library_); }

std::unique_ptr<Http2Session> Http2Session::make_server(Http2Handler& handler, const Options& options) {
  std::unique_ptr<Http2Session> session(new Http2Session(handler, options, false));
  MG_ASSERT(nghttp2_session_server_new2(&session->library_, Callbacks::shared(), session.get(),
                                        shared_option()) == 0);
  session->submit_settings();
  return session;
}

std::unique_ptr<Http2Session> Http2Session::make_client(Http2Handler& handler, const Options& options) {
  std::unique_ptr<Http2Session> session(new Http2Session(handler, options, true));
  MG_ASSERT(nghttp2_session_client_new2(&session->library_, Callbacks::shared(), session.get(),
                                        shared_option()) == 0);
  session->submit_settings();
  return session;
}

void Http2Session::submit_settings() {
  const auto head_max = options_.head.head_size_max_bytes + size_t{32} * options_.head.fields_max;
  const uint32_t window = options_.stream_window_bytes;
  const std::vector<nghttp2_settings_entry> entries =
      is_client_ ? std::vector<nghttp2_settings_entry>{{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                                       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
                                                       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
                                                        static_cast<uint32_t>(head_max)}}
                 : std::vector<nghttp2_settings_entry>{
                       {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options_.streams_max},
                       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
                       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(head_max)},
                       {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
                       {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
                   };
  MG_ASSERT(nghttp2_submit_settings(library_, NGHTTP2_FLAG_NONE, entries.data(), entries.size()) == 0);
  MG_ASSERT(nghttp2_session_set_local_window_size(
                library_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(options_.connection_window_bytes)) == 0);
}

// What the library has queued still goes out; then the peer is told why nothing follows.
bool Http2Session::fail(std::string_view fault) {
  if (fault_.empty()) fault_ = fault;
  terminate(Http2Code::kEnhanceYourCalm);
  return false;
}

bool Http2Session::refuse(Http2Code code, std::string_view fault) {
  fault_ = fault;
  terminate(code);
  return false;
}

bool Http2Session::feed(std::string_view bytes) {
  const ssize_t taken =
      nghttp2_session_mem_recv(library_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (taken >= 0) return fault_.empty() || fail(fault_);
  if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
    return refuse(Http2Code::kProtocolError, "bytes that are not HTTP/2");
  return fail(nghttp2_strerror(static_cast<int>(taken)));
}

// What comes before a frame that is judged here has to be known by then. A body right behind its head needs
// no judgement, which saves small requests a call of the library.
bool Http2Session::receive(std::string_view bytes) {
  size_t fed = 0;
  size_t at = 0;
  uint32_t begun = 0;  // the stream, when the frame before was a head that more follows
  while (const Http2FrameHead* head = is_client_ ? nullptr : walk_.next(bytes, &at)) {
    const bool is_judged =
        (head->type == NGHTTP2_DATA && head->stream != begun) || head->type == NGHTTP2_PRIORITY;
    const bool is_begin = head->type == NGHTTP2_HEADERS && (head->flags & NGHTTP2_FLAG_END_STREAM) == 0;
    begun = is_begin && order_.is_new(head->stream) ? head->stream : 0;
    if (!is_judged) continue;
    if (head->begin > fed && !feed(bytes.substr(fed, head->begin - fed))) return false;
    fed = std::max(fed, head->begin);
    if (!judge(*head)) return false;
  }
  return feed(bytes.substr(fed));
}

// Nobody's order follows from PRIORITY frames, but RFC 7540 5.3.1 has a rule for them that costs nothing to
// keep.
bool Http2Session::judge(const Http2FrameHead& head) {
  if (head.type == NGHTTP2_DATA) return judge_data(head);
  const bool depends_on_itself = head.stream != 0 && head.dependency == head.stream;
  return !depends_on_itself || refuse(Http2Code::kProtocolError, "a stream that depends on itself");
}

// DATA of a stream that is no more. The client's fault if it has ended the stream; what was on its way when
// we did is thrown away by the library, which opens the connection's window for it and does not look at its
// padding. Empty pieces of that are a way to keep us busy.
bool Http2Session::judge_data(const Http2FrameHead& head) {
  const bool is_begun = head.stream % 2 == 1 && !order_.is_new(head.stream);
  if (!is_begun || nghttp2_session_find_stream(library_, static_cast<int32_t>(head.stream)) != nullptr)
    return true;
  if (!order_.was_cut(head.stream)) return refuse(Http2Code::kStreamClosed, "DATA of a stream that is over");
  if ((head.flags & NGHTTP2_FLAG_PADDED) != 0 && head.padding_bytes >= head.size_bytes)
    return refuse(Http2Code::kProtocolError, "padding as long as its frame");
  if ((head.flags & NGHTTP2_FLAG_END_STREAM) != 0) order_.note_end(head.stream);
  return head.size_bytes > 0 || guard_.take_idle_frame() || fail("too many idle frames");
}

bool Http2Session::write(std::string* out, size_t size_max) {
  out_ = out;
  out_size_max_ = size_max;
  ssize_t size = 0;
  do {
    const uint8_t* frame = nullptr;
    size = nghttp2_session_mem_send(library_, &frame);
    if (size > 0) out->append(reinterpret_cast<const char*>(frame), static_cast<size_t>(size));
  } while (size > 0 && out->size() < size_max);
  out_ = nullptr;
  if (size < 0) return false;
  return fault_.empty() || fail(fault_);
}

bool Http2Session::is_over() const {
  return nghttp2_session_want_read(library_) == 0 && nghttp2_session_want_write(library_) == 0;
}

bool Http2Session::wants_input() const { return nghttp2_session_want_read(library_) != 0; }

uint32_t Http2Session::peer_streams_max() const {
  return nghttp2_session_get_remote_settings(library_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

int32_t Http2Session::send_request(std::string_view head, std::string_view scheme, bool has_body,
                                   StreamHandler* handler) {
  const std::vector<nghttp2_nv> fields = make_request_fields(head, scheme);
  nghttp2_data_provider body{{.ptr = nullptr}, Callbacks::offer_data};
  const int32_t stream = nghttp2_submit_request(library_, nullptr, fields.data(), fields.size(),
                                                has_body ? &body : nullptr, handler);
  return std::max(stream, 0);
}

void Http2Session::attach(int64_t stream, StreamHandler* handler) {
  static_cast<void>(nghttp2_session_set_stream_user_data(library_, number(stream), handler));
}

// A stream that was reset meanwhile refuses what is submitted for it: nobody waits for it any more.
void Http2Session::send_head(int64_t stream, uint16_t status, const FieldList& fields, bool has_body) {
  const FieldArray array(status, fields);
  nghttp2_data_provider body{{.ptr = nullptr}, Callbacks::offer_data};
  static_cast<void>(nghttp2_submit_response(library_, number(stream), array.data(), array.size(),
                                            has_body ? &body : nullptr));
}

void Http2Session::send_interim(int64_t stream, uint16_t status, const FieldList& fields) {
  const FieldArray array(status, fields);
  static_cast<void>(nghttp2_submit_headers(library_, NGHTTP2_FLAG_NONE, number(stream), nullptr, array.data(),
                                           array.size(), nullptr));
}

void Http2Session::send_trailers(int64_t stream, std::string_view lines) {
  std::vector<nghttp2_nv> array;
  each_trailer(lines, [&array](std::string_view name, std::string_view value) {
    array.push_back(to_nv(name, value));
  });
  static_cast<void>(nghttp2_submit_trailer(library_, number(stream), array.data(), array.size()));
}

void Http2Session::resume(int64_t stream) {
  static_cast<void>(nghttp2_session_resume_data(library_, number(stream)));
}

void Http2Session::reset(int64_t stream, Http2Code code) {
  static_cast<void>(
      nghttp2_submit_rst_stream(library_, NGHTTP2_FLAG_NONE, number(stream), static_cast<uint32_t>(code)));
}

void Http2Session::set_priority(int64_t stream, const Http2Priority& priority) {
  const nghttp2_extpri wanted{priority.urgency, priority.is_incremental ? 1 : 0};
  static_cast<void>(nghttp2_session_change_extpri_stream_priority(library_, number(stream), &wanted, 0));
}

void Http2Session::consume(int64_t stream, size_t size) {
  static_cast<void>(is_client_ ? nghttp2_session_consume_stream(library_, number(stream), size)
                               : nghttp2_session_consume(library_, number(stream), size));
}

void Http2Session::announce_shutdown() { static_cast<void>(nghttp2_submit_shutdown_notice(library_)); }

void Http2Session::shut_down() {
  static_cast<void>(nghttp2_submit_goaway(library_, NGHTTP2_FLAG_NONE,
                                          nghttp2_session_get_last_proc_stream_id(library_), NGHTTP2_NO_ERROR,
                                          nullptr, 0));
}

void Http2Session::terminate(Http2Code code) {
  static_cast<void>(nghttp2_session_terminate_session(library_, static_cast<uint32_t>(code)));
}

}  // namespace moongate::http
