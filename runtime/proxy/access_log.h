// SPDX-License-Identifier: Apache-2.0
// The access log: one line per exchange, as JSON or in a format of the user's with $variables. Lines are
// written by a thread of their own from a bounded queue, so that a slow disk or a full pipe delays no
// request: when the queue is full, lines are counted and dropped.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "exchange/exchange.h"

namespace moongate::proxy {

class AccessLog {
 public:
  /// `path` "-" or "stdout" is the standard output. `format` is "json", "combined" or a text with $variables.
  static base::Result<std::unique_ptr<AccessLog>> open(const std::string& path, const std::string& format);
  /// Writes what is queued, for at most a second.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  void write(exchange::Exchange& exchange);
  /// Opens the file again: it was renamed by a rotation.
  void reopen() {
    is_reopen_wanted_ = true;
    wake();
  }
  uint64_t dropped_lines() const { return dropped_; }

  static constexpr size_t kQueueMaxBytes = 8 * 1024 * 1024;

 private:
  struct Part {
    std::string text;  // literal, or the variable's name
    bool is_variable = false;
  };
  AccessLog() = default;
  static std::vector<Part> parse_format(const std::string& format);
  void append_json(exchange::Exchange& exchange, std::string& line);
  void append_formatted(exchange::Exchange& exchange, std::string& line);
  void wake();
  void run();
  bool open_file();

  std::string path_;
  bool is_json_ = false;
  std::vector<Part> parts_;
  int fd_ = -1;
  std::string line_;
  std::string queue_;
  std::mutex mutex_;
  std::condition_variable has_work_;
  bool is_stopping_ = false;
  std::atomic<bool> is_reopen_wanted_ = false;
  std::atomic<uint64_t> dropped_ = 0;
  std::thread thread_;
};

}  // namespace moongate::proxy
