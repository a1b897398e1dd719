// SPDX-License-Identifier: Apache-2.0
#include "quic/http3_session.h"

#include <nghttp3/nghttp3.h>

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "base/assert.h"
#include "http/chars.h"
#include "http/trailer_lines.h"
#include "http/writer.h"

namespace moongate::quic {

using http::Http2Code;
using http::StreamOffer;

namespace {

constexpr size_t kChunkBytes = 16 * 1024;  // of a body, taken from its stream at once
constexpr size_t kFieldTableBytes = 4096;  // of what we send

Http3Code code_of(Http2Code code) {
  switch (code) {
    case Http2Code::kNoError:
      return Http3Code::kNoError;
    case Http2Code::kProtocolError:
      return Http3Code::kMessageError;
    case Http2Code::kRefusedStream:
      return Http3Code::kRequestRejected;
    case Http2Code::kCancel:
      return Http3Code::kRequestCancelled;
    case Http2Code::kConnectError:
      return Http3Code::kConnectError;
    case Http2Code::kEnhanceYourCalm:
      return Http3Code::kExcessiveLoad;
    default:
      return Http3Code::kInternalError;
  }
}

bool is_one_way(int64_t stream) { return (stream & 2) != 0; }  // RFC 9000 2.1

nghttp3_nv to_nv(std::string_view name, std::string_view value) {
  auto* name_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  auto* value_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  return {name_bytes, value_bytes, name.size(), value.size(), NGHTTP3_NV_FLAG_NONE};
}

std::string_view view_of(nghttp3_rcbuf* buffer) {
  const nghttp3_vec bytes = nghttp3_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

/// Fields in the library's form, which copies them; names in lower case. One at a time.
class FieldArray {
 public:
  FieldArray() {
    fields_.clear();
    names_.clear();
  }
  void add(std::string_view name, std::string_view value) {
    std::string& lower = names_.emplace_back(name);
    for (char& c : lower) c = base::to_lower(c);
    fields_.push_back(to_nv(lower, value));
  }
  void add_head(uint16_t status, const http::FieldList& fields) {
    const char* end = http::write_number(status_, status);
    add(":status", {status_, static_cast<size_t>(end - status_)});
    for (const http::Field& field : fields) {
      if (!http::is_hop_by_hop(field, {})) add(field.name, http::trim_blanks(field.value));
    }
  }
  void add_trailers(std::string_view lines) {
    http::each_trailer(lines, [this](std::string_view name, std::string_view value) { add(name, value); });
  }
  const nghttp3_nv* data() const { return fields_.data(); }
  size_t size() const { return fields_.size(); }

 private:
  static thread_local std::vector<nghttp3_nv> fields_;
  static thread_local std::deque<std::string> names_;
  char status_[24];
};
thread_local std::vector<nghttp3_nv> FieldArray::fields_;
thread_local std::deque<std::string> FieldArray::names_;

}  // namespace

/// What the library calls; `self` is the session.
struct Http3Session::Callbacks {
  static Http3Session& of(void* self) { return *static_cast<Http3Session*>(self); }

  static int on_block_begun(nghttp3_conn*, int64_t stream, void* self, void*) {
    if (Request* request = of(self).find(stream)) request->block.clear();
    return 0;
  }

  static int on_field(nghttp3_conn*, int64_t stream, int32_t, nghttp3_rcbuf* name, nghttp3_rcbuf* value,
                      uint8_t, void* self, void*) {
    Http3Session& session = of(self);
    Request* request = session.find(stream);
    if (request == nullptr) return 0;
    request->block.add(view_of(name), view_of(value), session.options_.head.head_size_max_bytes);
    // Too much is answered; a few bytes that unfold into very much are an attack.
    if (request->block.size_bytes() <= session.decoded_max()) return 0;
    return session.refuse(Http3Code::kExcessiveLoad, "a block of fields without end");
  }

  static int on_head(nghttp3_conn*, int64_t stream, int is_last, void* self, void*) {
    Http3Session& session = of(self);
    Request* request = session.find(stream);
    if (request == nullptr) return 0;
    session.finish_head(*request);
    session.guard_.note_useful_frame();
    session.handler_.on_stream(stream, request->block, is_last != 0);
    if ((request = session.find(stream)) != nullptr) request->block = {};
    return 0;
  }

  static int on_trailers(nghttp3_conn*, int64_t stream, int, void* self, void*) {
    Request* request = of(self).find(stream);
    if (request != nullptr && request->handler != nullptr) request->handler->on_fields(request->block, true);
    return 0;
  }

  static int on_data(nghttp3_conn*, int64_t stream, const uint8_t* data, size_t size, void* self, void*) {
    Http3Session& session = of(self);
    Request* request = session.find(stream);
    session.delivered_bytes_ += size;
    if (request != nullptr && request->handler != nullptr)
      request->handler->on_data({reinterpret_cast<const char*>(data), size});
    else
      session.consume(stream, size);
    return 0;
  }

  static int on_last(nghttp3_conn*, int64_t stream, void* self, void*) {
    Request* request = of(self).find(stream);
    if (request == nullptr) return 0;
    request->has_ended = true;
    if (request->handler != nullptr) request->handler->on_last();
    return 0;
  }

  // What the library has held back until it could be decoded.
  static int on_deferred(nghttp3_conn*, int64_t stream, size_t size, void* self, void*) {
    of(self).transport_.open_windows(stream, size);
    return 0;
  }

  static int on_acknowledged(nghttp3_conn*, int64_t stream, uint64_t size, void* self, void*) {
    Request* request = of(self).find(stream);
    if (request == nullptr) return 0;
    request->acknowledged_bytes += size;
    while (!request->sent.empty() && request->acknowledged_bytes >= request->sent.front().size()) {
      request->acknowledged_bytes -= request->sent.front().size();
      request->sent.pop_front();
    }
    return 0;
  }

  static int on_stop_sending(nghttp3_conn*, int64_t stream, uint64_t code, void* self, void*) {
    of(self).transport_.stop_input(stream, code);
    return 0;
  }
  // The library has met fields that may not be, and reads no further; or a stream behind the last one.
  static int on_reset(nghttp3_conn*, int64_t stream, uint64_t code, void* self, void*) {
    if (code == static_cast<uint64_t>(Http3Code::kMessageError))
      return of(self).refuse_message(stream) ? 0 : NGHTTP3_ERR_CALLBACK_FAILURE;
    of(self).drop_head(stream, code);
    return 0;
  }

  static nghttp3_ssize offer_data(nghttp3_conn*, int64_t stream, nghttp3_vec* pieces, size_t, uint32_t* flags,
                                  void* self, void*) {
    Request* request = of(self).find(stream);
    if (request == nullptr || request->handler == nullptr) return NGHTTP3_ERR_WOULDBLOCK;
    const StreamOffer offer = request->handler->offer_data(kChunkBytes);
    if (offer.size == 0 && !offer.is_last) return NGHTTP3_ERR_WOULDBLOCK;
    if (offer.is_last) *flags |= NGHTTP3_DATA_FLAG_EOF;
    if (offer.is_last && offer.has_trailers) *flags |= NGHTTP3_DATA_FLAG_NO_END_STREAM;
    if (offer.size == 0) return 0;
    std::string& chunk = request->sent.emplace_back();
    request->handler->take_data(offer.size, &chunk);
    pieces[0] = {reinterpret_cast<uint8_t*>(chunk.data()), chunk.size()};
    return 1;
  }
};

Http3Session::Http3Session(Http3Transport& transport, Http3Handler& handler, const Options& options)
    : transport_(transport), handler_(handler), options_(options), guard_(options.resets_max) {
  nghttp3_callbacks callbacks{};
  callbacks.acked_stream_data = Callbacks::on_acknowledged;
  callbacks.recv_data = Callbacks::on_data;
  callbacks.deferred_consume = Callbacks::on_deferred;
  callbacks.begin_headers = Callbacks::on_block_begun;
  callbacks.recv_header = Callbacks::on_field;
  callbacks.end_headers = Callbacks::on_head;
  callbacks.begin_trailers = Callbacks::on_block_begun;
  callbacks.recv_trailer = Callbacks::on_field;
  callbacks.end_trailers = Callbacks::on_trailers;
  callbacks.stop_sending = Callbacks::on_stop_sending;
  callbacks.end_stream = Callbacks::on_last;
  callbacks.reset_stream = Callbacks::on_reset;
  nghttp3_settings settings;
  nghttp3_settings_default(&settings);
  settings.max_field_section_size = options.head.head_size_max_bytes + size_t{32} * options.head.fields_max;
  // No table for what clients send: a byte could stand for a whole field, and requests would wait for others.
  settings.qpack_encoder_max_dtable_capacity = kFieldTableBytes;
  MG_ASSERT(nghttp3_conn_server_new(&library_, &callbacks, &settings, nghttp3_mem_default(), this) == 0);
}

Http3Session::~Http3Session() { nghttp3_conn_del(library_); }

Http3Session::Request* Http3Session::find(int64_t stream) {
  const auto found = requests_.find(stream);
  return found == requests_.end() ? nullptr : found->second.get();
}

void Http3Session::finish_head(Request& request) {
  if (request.is_head_whole) return;
  request.is_head_whole = true;
  unfinished_heads_--;
}

bool Http3Session::fail(int library_code) {
  if (!fault_.empty()) return false;
  fault_ = nghttp3_strerror(library_code);
  code_ = nghttp3_err_infer_quic_app_error_code(library_code);
  return false;
}

int Http3Session::refuse(Http3Code code, std::string_view fault) {
  fault_ = fault;
  code_ = static_cast<uint64_t>(code);
  return NGHTTP3_ERR_CALLBACK_FAILURE;
}

// --- from the connection

bool Http3Session::start(int64_t control_stream, int64_t encoder_stream, int64_t decoder_stream,
                         uint64_t streams_max) {
  nghttp3_conn_set_max_client_streams_bidi(library_, streams_max);
  int code = nghttp3_conn_bind_control_stream(library_, control_stream);
  if (code == 0) code = nghttp3_conn_bind_qpack_streams(library_, encoder_stream, decoder_stream);
  return code == 0 || fail(code);
}

/// Makes the library's object, whatever comes first of the stream: only then it knows of its end.
bool Http3Session::know(int64_t stream) {
  const nghttp3_ssize code = nghttp3_conn_read_stream(library_, stream, nullptr, 0, 0);
  return code >= 0 || fail(static_cast<int>(code));
}

bool Http3Session::note_begun(int64_t stream) {
  auto request = std::make_unique<Request>();
  request->begun = base::Clock::steady();
  unfinished_heads_++;
  requests_[stream] = std::move(request);
  return know(stream);
}

bool Http3Session::receive(int64_t stream, std::string_view bytes, bool is_last) {
  // The library overlooks an end that comes with what tells the kind of a stream.
  if (is_last && !bytes.empty() && is_one_way(stream))
    return receive(stream, bytes, false) && receive(stream, {}, true);
  delivered_bytes_ = 0;
  const nghttp3_ssize used = nghttp3_conn_read_stream(
      library_, stream, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), is_last ? 1 : 0);
  if (used == NGHTTP3_ERR_MALFORMED_HTTP_MESSAGING && find(stream) != nullptr)
    return drop_malformed(stream, bytes.size() - delivered_bytes_);
  if (used < 0) return fail(static_cast<int>(used));
  transport_.open_windows(stream, static_cast<size_t>(used));
  return count_overhead(stream, bytes.size() - delivered_bytes_);
}

/// Heads, and frames that say nothing; a body makes up for as much as it has. The library tells neither of
/// fields that it leaves out nor of half ones.
bool Http3Session::count_overhead(int64_t stream, size_t bytes) {
  Request* request = find(stream);
  if (request == nullptr) return true;
  request->overhead_bytes += bytes;
  request->overhead_bytes -= std::min(request->overhead_bytes, delivered_bytes_);
  if (request->overhead_bytes <= decoded_max()) return true;
  static_cast<void>(refuse(Http3Code::kExcessiveLoad, "a request of frames without end"));
  return false;
}

bool Http3Session::count_reset() {
  if (guard_.take_reset()) return true;
  static_cast<void>(refuse(Http3Code::kExcessiveLoad, "too many cancelled streams"));
  return false;
}

/// A malformed request is its stream's error and nobody else's (RFC 9114 4.1.2): it is answered, where
/// nothing has been yet. False: there were too many.
bool Http3Session::refuse_message(int64_t stream) {
  Request* request = find(stream);
  if (request == nullptr) return true;
  request->is_cut = true;  // counted here
  static_cast<void>(nghttp3_conn_shutdown_stream_read(library_, stream));
  if (!request->is_head_whole) {
    finish_head(*request);
    request->block.mark_malformed();
    handler_.on_stream(stream, request->block, true);
  } else if (request->handler != nullptr) {
    request->handler->on_malformed("malformed trailers, or a body that is not as long as it says");
  }
  request = find(stream);
  if (request != nullptr && request->handler == nullptr)
    transport_.cut(stream, static_cast<uint64_t>(Http3Code::kMessageError));
  return count_reset();
}

/// The library would end the connection for a body that differs from its length.
bool Http3Session::drop_malformed(int64_t stream, size_t undelivered_bytes) {
  transport_.stop_input(stream, static_cast<uint64_t>(Http3Code::kMessageError));
  transport_.open_window(undelivered_bytes);
  return refuse_message(stream);
}

bool Http3Session::note_acknowledged(int64_t stream, uint64_t size) {
  const int code = nghttp3_conn_add_ack_offset(library_, stream, size);
  return code == 0 || fail(code);
}

void Http3Session::set_streams_max(uint64_t count) {
  nghttp3_conn_set_max_client_streams_bidi(library_, count);
}

bool Http3Session::note_cancelled(int64_t stream) {
  if (is_one_way(stream)) {
    const int fault = nghttp3_conn_close_stream(library_, stream, NGHTTP3_H3_NO_ERROR);
    return fault != NGHTTP3_ERR_H3_CLOSED_CRITICAL_STREAM || fail(fault);
  }
  Request* request = find(stream);
  if (request == nullptr) {  // cancelled before it began
    if (!know(stream)) return false;
    static_cast<void>(nghttp3_conn_close_stream(library_, stream, NGHTTP3_H3_NO_ERROR));
    return count_reset();
  }
  static_cast<void>(nghttp3_conn_shutdown_stream_read(library_, stream));
  if (request->is_answered || request->is_cut) return true;
  request->is_cut = true;  // counted here
  nghttp3_conn_shutdown_stream_write(library_, stream);
  http::StreamHandler* handler = std::exchange(request->handler, nullptr);
  if (handler != nullptr) handler->on_closed(Http2Code::kCancel);
  transport_.cut(stream, static_cast<uint64_t>(Http3Code::kRequestCancelled));
  return count_reset();
}

bool Http3Session::note_closed(int64_t stream) {
  static_cast<void>(nghttp3_conn_close_stream(library_, stream, NGHTTP3_H3_NO_ERROR));
  const auto found = requests_.find(stream);
  if (found == requests_.end()) return true;
  const std::unique_ptr<Request> request = std::move(found->second);
  requests_.erase(found);
  finish_head(*request);
  if (request->handler != nullptr)
    request->handler->on_closed(request->is_answered ? Http2Code::kNoError : Http2Code::kCancel);
  return request->is_answered || request->is_cut || count_reset();
}

void Http3Session::tell_ended() {
  std::vector<std::pair<int64_t, Http2Code>> ended;
  ended.swap(ended_);
  for (const auto& [stream, code] : ended) {
    Request* request = find(stream);
    http::StreamHandler* handler = request ? std::exchange(request->handler, nullptr) : nullptr;
    if (handler != nullptr) handler->on_closed(code);
  }
}

void Http3Session::note_unblocked(int64_t stream) {
  static_cast<void>(nghttp3_conn_unblock_stream(library_, stream));
}

bool Http3Session::find_next(Next* next, nghttp3_vec* pieces) {
  int is_last = 0;
  const nghttp3_ssize count =
      nghttp3_conn_writev_stream(library_, &next->stream, &is_last, pieces, kPiecesMax);
  if (count < 0) return fail(static_cast<int>(count));
  next->is_last = is_last != 0;
  next->count = static_cast<size_t>(count);
  return true;
}

bool Http3Session::note_written(int64_t stream, size_t size, bool is_last) {
  const int code = nghttp3_conn_add_write_offset(library_, stream, size);
  if (code != 0) return fail(code);
  Request* request = find(stream);
  if (request == nullptr) return true;
  if (request->handler != nullptr) request->handler->on_frame_sent(size);
  request->is_answered |= is_last;
  // The answer is whole and the request is not: the rest of it has no reader (RFC 9114 4.1.1).
  if (is_last && !request->has_ended) {
    static_cast<void>(nghttp3_conn_shutdown_stream_read(library_, stream));
    transport_.stop_input(stream, static_cast<uint64_t>(Http3Code::kNoError));
  }
  return true;
}

void Http3Session::note_blocked(int64_t stream) { nghttp3_conn_block_stream(library_, stream); }
void Http3Session::note_shut(int64_t stream) { nghttp3_conn_shutdown_stream_write(library_, stream); }

void Http3Session::drop_head(int64_t stream, uint64_t code) {
  if (Request* request = find(stream)) {
    finish_head(*request);
    request->is_cut = true;
  }
  transport_.cut(stream, code);
}

bool Http3Session::drop_slow_heads(base::SteadyTime begun_before) {
  for (const auto& [stream, request] : requests_) {
    if (!request->is_head_whole && request->begun < begun_before)
      drop_head(stream, static_cast<uint64_t>(Http3Code::kRequestIncomplete));
  }
  return has_unfinished_heads();
}

void Http3Session::announce_shutdown() { static_cast<void>(nghttp3_conn_submit_shutdown_notice(library_)); }
void Http3Session::shut_down() { static_cast<void>(nghttp3_conn_shutdown(library_)); }

// --- from the streams

void Http3Session::attach(int64_t stream, http::StreamHandler* handler) {
  if (Request* request = find(stream)) request->handler = handler;
}

void Http3Session::send_head(int64_t stream, uint16_t status, const http::FieldList& fields, bool has_body) {
  FieldArray array;
  array.add_head(status, fields);
  const nghttp3_data_reader body{Callbacks::offer_data};
  static_cast<void>(
      nghttp3_conn_submit_response(library_, stream, array.data(), array.size(), has_body ? &body : nullptr));
}

void Http3Session::send_interim(int64_t stream, uint16_t status, const http::FieldList& fields) {
  FieldArray array;
  array.add_head(status, fields);
  static_cast<void>(nghttp3_conn_submit_info(library_, stream, array.data(), array.size()));
}

void Http3Session::send_trailers(int64_t stream, std::string_view lines) {
  FieldArray array;
  array.add_trailers(lines);
  static_cast<void>(nghttp3_conn_submit_trailers(library_, stream, array.data(), array.size()));
}

void Http3Session::resume(int64_t stream) { static_cast<void>(nghttp3_conn_resume_stream(library_, stream)); }

void Http3Session::reset(int64_t stream, Http2Code code) {
  Request* request = find(stream);
  if (request == nullptr) return;
  request->is_cut = true;
  ended_.emplace_back(stream, code);
  nghttp3_conn_shutdown_stream_write(library_, stream);
  static_cast<void>(nghttp3_conn_shutdown_stream_read(library_, stream));
  transport_.cut(stream, static_cast<uint64_t>(code_of(code)));
}

// The library has read the field, and would pass over the client's later updates after a word of ours.
void Http3Session::set_priority(int64_t, const http::Http2Priority&) {}

void Http3Session::consume(int64_t stream, size_t size) {
  if (find(stream) == nullptr)
    transport_.open_window(size);
  else
    transport_.open_windows(stream, size);
}

}  // namespace moongate::quic
