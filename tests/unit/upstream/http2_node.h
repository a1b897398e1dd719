// SPDX-License-Identifier: Apache-2.0
// A node that speaks HTTP/2 with a session of the library's own, strict about what it is sent; and that can
// say anything else besides.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "upstream_fixture.h"

namespace moongate::upstream_fixture {

/// One HTTP/2 server on the newest connection of a NodeServer. A new connection begins with a new session.
class Http2Node {
 public:
  struct Request {
    std::map<std::string, std::string> fields, trailers;
    std::string body, answer, answer_trailer;
    bool has_ended = false, is_head_over = false;
    bool is_answer_whole = true;
    std::optional<uint32_t> reset;
  };

  explicit Http2Node(NodeServer& node) : node_(node) {}
  ~Http2Node() { nghttp2_session_del(session_); }
  Http2Node(const Http2Node&) = delete;
  Http2Node& operator=(const Http2Node&) = delete;

  void turn() {
    if (node_.accepted != connections_) begin();
    if (!session_ || is_silent || !node_.has_connection()) return;
    const std::string bytes = std::exchange(node_.received, {});
    if (!bytes.empty()) {
      const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
      REQUIRE(nghttp2_session_mem_recv(session_, data, bytes.size()) == static_cast<ssize_t>(bytes.size()));
    }
    push();
  }
  /// Begins an answer; `trailer` is the value of one named `grpc-status`.
  void answer(int32_t stream, const std::string& body, const std::string& trailer = "",
              bool is_whole = true) {
    Request& request = requests.at(stream);
    request.answer = body;
    request.answer_trailer = trailer;
    request.is_answer_whole = is_whole;
    const nghttp2_nv field = make_field(":status", "200");
    nghttp2_data_provider provider{};
    provider.source.ptr = this;
    provider.read_callback = on_read;
    REQUIRE(nghttp2_submit_response(session_, stream, &field, 1, &provider) == 0);
    push();
  }
  /// There is more of an answer.
  void resume(int32_t stream) {
    nghttp2_session_resume_data(session_, stream);
    push();
  }
  void interim(int32_t stream) {
    const nghttp2_nv field = make_field(":status", "103");
    nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream, nullptr, &field, 1, nullptr);
    push();
  }
  void reset(int32_t stream, uint32_t code) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, code);
    push();
  }
  void leave(int32_t last_stream) {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_stream, NGHTTP2_NO_ERROR, nullptr, 0);
    push();
  }
  void open_window(int32_t stream, int32_t size) {
    nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, stream, size);
    push();
  }
  void change_settings(const std::vector<nghttp2_settings_entry>& entries) {
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries.data(), entries.size());
    push();
  }
  void ping() {
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    push();
  }
  /// Bytes that the session knows nothing of.
  void say(const std::string& bytes) { node_.send(bytes); }

  std::map<int32_t, Request> requests;  // of the newest connection
  std::vector<nghttp2_settings_entry> settings;
  bool is_silent = false;     // reads nothing and says nothing
  bool opens_windows = true;  // as bytes come; otherwise only open_window() does
  int pongs = 0;
  int64_t window_opened = 0;  // of streams, by the gateway
  std::optional<uint32_t> goodbye;

 private:
  static Http2Node& of(void* self) { return *static_cast<Http2Node*>(self); }
  static nghttp2_nv make_field(std::string_view name, std::string_view value) {
    const auto bytes = [](std::string_view text) {
      return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
    };
    return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
  }

  void begin() {
    connections_ = node_.accepted;
    nghttp2_session_del(session_);
    requests.clear();
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, opens_windows ? 0 : 1);
    REQUIRE(nghttp2_session_server_new2(&session_, callbacks, this, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  }
  void push() {
    const uint8_t* bytes = nullptr;
    for (ssize_t size = 0; (size = nghttp2_session_mem_send(session_, &bytes)) > 0;)
      node_.send({reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)});
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t, void* self) {
    Request& request = of(self).requests[frame->hd.stream_id];
    auto& fields = request.is_head_over ? request.trailers : request.fields;
    fields[std::string(reinterpret_cast<const char*>(name), name_size)] =
        std::string(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Http2Node& node = of(self);
    const nghttp2_frame_hd& head = frame->hd;
    if (head.type == NGHTTP2_PING) node.pongs += (head.flags & NGHTTP2_FLAG_ACK) != 0 ? 1 : 0;
    if (head.type == NGHTTP2_GOAWAY) node.goodbye = frame->goaway.error_code;
    if (head.type == NGHTTP2_RST_STREAM) node.requests[head.stream_id].reset = frame->rst_stream.error_code;
    if (head.type == NGHTTP2_WINDOW_UPDATE && head.stream_id != 0)
      node.window_opened += frame->window_update.window_size_increment;
    if (head.type != NGHTTP2_HEADERS && head.type != NGHTTP2_DATA) return 0;
    Request& request = node.requests[head.stream_id];
    request.is_head_over = true;
    request.has_ended |= (head.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* bytes, size_t size,
                     void* self) {
    of(self).requests[stream].body.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }
  static ssize_t on_read(nghttp2_session* session, int32_t stream, uint8_t* out, size_t size, uint32_t* flags,
                         nghttp2_data_source* source, void*) {
    Request& request = static_cast<Http2Node*>(source->ptr)->requests.at(stream);
    const size_t taken = std::min(size, request.answer.size());
    std::memcpy(out, request.answer.data(), taken);
    request.answer.erase(0, taken);
    if (!request.answer.empty()) return static_cast<ssize_t>(taken);
    if (!request.is_answer_whole) return taken > 0 ? static_cast<ssize_t>(taken) : NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (request.answer_trailer.empty()) return static_cast<ssize_t>(taken);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const nghttp2_nv field = make_field("grpc-status", request.answer_trailer);
    nghttp2_submit_trailer(session, stream, &field, 1);
    return static_cast<ssize_t>(taken);
  }

  NodeServer& node_;
  nghttp2_session* session_ = nullptr;
  int connections_ = 0;
};

}  // namespace moongate::upstream_fixture
