// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/hex.h"

namespace moongate::base {
namespace {

constexpr std::array<std::string_view, 9> kNames = {"stderr", "emerg",  "alert", "crit", "error",
                                                    "warn",   "notice", "info",  "debug"};

struct LogState {
  int fd = 2;
  std::string path;
  LogLevel level = LogLevel::kNotice;
  std::string role = "moongate";
};

LogState& state() {
  static LogState instance;
  return instance;
}

void append_escaped(std::string& out, std::string_view text) {
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte == '\n' || byte == '\t' || (byte >= 0x20 && byte != 0x7f)) {
      out.push_back(c);
    } else {
      out.append("\\x").append(to_hex({&c, 1}));
    }
  }
}

}  // namespace

Error io_error(std::string what) {
  int code = errno;
  return Error{ErrorKind::kIo, Side::kSelf, false, std::move(what) + ": " + std::strerror(code)};
}

void assert_failed(const char* expression, const char* file, int line) {
  write_log(LogLevel::kEmerg,
            std::string("broken promise: ") + expression + " at " + file + ":" + std::to_string(line));
  std::abort();
}

Result<void> open_log(const std::string& path, LogLevel level) {
  state().level = level;
  state().path = path;
  return reopen_log();
}

Result<void> reopen_log() {
  LogState& log = state();
  if (log.path.empty()) return {};
  int fd = ::open(log.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return io_error("error log " + log.path);
  if (log.fd > 2) ::close(log.fd);
  log.fd = fd;
  return {};
}

void set_log_level(LogLevel level) { state().level = level; }
LogLevel log_level() { return state().level; }
void set_log_role(std::string role) { state().role = std::move(role); }

bool parse_log_level(std::string_view name, LogLevel* level) {
  for (size_t i = 0; i < kNames.size(); i++) {
    if (kNames[i] == name) {
      *level = static_cast<LogLevel>(i);
      return true;
    }
  }
  return false;
}

std::string_view log_level_name(LogLevel level) { return kNames[static_cast<size_t>(level)]; }

LogLine::LogLine(LogLevel level) : level_(level) {}

void write_log(LogLevel level, std::string_view message) {
  timeval now{};
  ::gettimeofday(&now, nullptr);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char stamp[96];
  std::snprintf(stamp, sizeof stamp, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ [", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                now.tv_usec / 1000);
  std::string line = stamp;
  line.append(log_level_name(level));
  line.append("] ");
  line.append(std::to_string(::getpid()));
  line.push_back(' ');
  line.append(state().role);
  line.append(": ");
  append_escaped(line, message);
  if (line.back() != '\n') line.push_back('\n');
  // A log that cannot be written must not stop the gateway; there is nowhere left to say so.
  [[maybe_unused]] ssize_t written = ::write(state().fd, line.data(), line.size());
}

}  // namespace moongate::base
