// SPDX-License-Identifier: Apache-2.0
#include "tls/stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace moongate::tls {

using net::IoResult;
using net::IoStatus;

namespace {

constexpr size_t kRecordMaxBytes = 16 * 1024;

}  // namespace

IoStatus Stream::handshake() {
  const IoStatus status = session_->handshake();
  if (status == IoStatus::kOk) is_handshaking_ = false;
  return status;
}

std::string Stream::describe_failure() const {
  return session_ ? session_->describe_failure() : std::strerror(errno);
}

// Pieces are put together so that a head and a small body make one record and one system call.
IoResult Stream::write_encrypted(const iovec* pieces, int count) {
  static thread_local char record[kRecordMaxBytes];
  size_t sent = 0;
  size_t used = 0;
  const auto send = [this, &sent, &used] {
    const IoResult result = used > 0 ? session_->write(record, used) : IoResult{IoStatus::kOk, 0};
    sent += result.size;
    const bool is_whole = result.status == IoStatus::kOk && result.size == used;
    used = 0;
    return is_whole                            ? IoStatus::kOk
           : result.status == IoStatus::kError ? IoStatus::kError
                                               : IoStatus::kBlocked;
  };
  for (int i = 0; i < count; i++) {
    const char* at = static_cast<const char*>(pieces[i].iov_base);
    size_t left = pieces[i].iov_len;
    while (left > 0) {
      const size_t part = std::min(left, sizeof record - used);
      std::memcpy(record + used, at, part);
      used += part;
      at += part;
      left -= part;
      if (used < sizeof record) continue;
      const IoStatus status = send();
      if (status != IoStatus::kOk) return {status == IoStatus::kBlocked ? IoStatus::kOk : status, sent};
    }
  }
  const IoStatus status = send();
  return {status == IoStatus::kError ? status : IoStatus::kOk, sent};
}

void Stream::shutdown_write() {
  if (session_) session_->say_goodbye();
  socket_.shutdown_write();
}

void Stream::close() {
  if (session_ && socket_.is_open() && !is_handshaking_) session_->say_goodbye();
  session_.reset();
  is_handshaking_ = false;
  socket_.close();
}

void Stream::abort() {
  session_.reset();
  is_handshaking_ = false;
  socket_.abort();
}

}  // namespace moongate::tls
