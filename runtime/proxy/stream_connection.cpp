// SPDX-License-Identifier: Apache-2.0
#include "proxy/stream_connection.h"

#include "base/assert.h"
#include "http/websocket_frames.h"

namespace moongate::proxy {

StreamConnection::~StreamConnection() { MG_ASSERT(streams_ == nullptr); }

void StreamConnection::begin_stream(int64_t id, const http::Http2FieldBlock& block, bool is_last) {
  std::unique_ptr<RequestStream> stream;
  if (context_.spare_streams.empty()) {
    stream = std::make_unique<RequestStream>(context_);
  } else {
    stream = std::move(context_.spare_streams.back());
    context_.spare_streams.pop_back();
  }
  RequestStream* begun = stream.release();  // in our list until forget()
  begun->next = streams_;
  begun->place = &streams_;
  if (streams_) streams_->place = &begun->next;
  streams_ = begun;
  session().attach(id, begun);
  begun->start(*this, id, block, is_last);
}

void StreamConnection::forget(RequestStream& stream) {
  constexpr size_t kSpareMax = 1024;
  *stream.place = stream.next;
  if (stream.next) stream.next->place = stream.place;
  std::unique_ptr<RequestStream> owned(&stream);
  if (context_.spare_streams.size() < kSpareMax) context_.spare_streams.push_back(std::move(owned));
  if (!streams_) on_streams_gone();
}

void StreamConnection::tell_drained() {
  std::vector<int64_t> drained;
  drained.swap(drained_);
  for (int64_t id : drained) {
    for (RequestStream* stream = streams_; stream; stream = stream->next) {
      if (stream->id() != id) continue;
      stream->tell_drained();
      break;
    }
  }
}

void StreamConnection::close_websockets() {
  for (RequestStream* stream = streams_; stream; stream = stream->next)
    stream->close_websocket(http::kWebSocketGoingAway, "");
}

}  // namespace moongate::proxy
