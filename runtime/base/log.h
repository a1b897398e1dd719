// SPDX-License-Identifier: Apache-2.0
// The error log: one line per event, to stderr or to a file that can be reopened. Levels are nginx's, so that
// `core.log.warn` in a plugin and MG_LOG(kWarn, ...) here mean the same. Access logs are elsewhere (proxy/).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace moongate::base {

enum class LogLevel : uint8_t { kStderr, kEmerg, kAlert, kCrit, kError, kWarn, kNotice, kInfo, kDebug };

/// Directs the log of this process to `path` (append; empty means stderr).
Result<void> open_log(const std::string& path, LogLevel level);
/// Opens the file at the same path again, after rotation. Does nothing for stderr.
Result<void> reopen_log();
void set_log_level(LogLevel level);
LogLevel log_level();
/// "debug" ... "emerg"; false when `name` is none of them.
bool parse_log_level(std::string_view name, LogLevel* level);
std::string_view log_level_name(LogLevel level);

inline bool log_enabled(LogLevel level) { return level <= log_level(); }

/// Writes `time [level] pid role: message` as one write(2). Control characters in `message` are escaped.
void write_log(LogLevel level, std::string_view message);
/// The word that stands behind the pid in every line: "worker 0", "control", "supervisor".
void set_log_role(std::string role);

/// Builds a message from strings and numbers without iostreams.
class LogLine {
 public:
  [[gnu::cold]] explicit LogLine(LogLevel level);
  ~LogLine() { write_log(level_, text_); }
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;
  LogLine& operator<<(std::string_view part) {
    text_.append(part);
    return *this;
  }
  LogLine& operator<<(const char* part) {
    text_.append(part);
    return *this;
  }
  LogLine& operator<<(const std::string& part) {
    text_.append(part);
    return *this;
  }
  LogLine& operator<<(char part) {
    text_.push_back(part);
    return *this;
  }
  template <class N>
  requires std::is_arithmetic_v<N> LogLine& operator<<(N number) {
    text_.append(std::to_string(number));
    return *this;
  }

 private:
  LogLevel level_;
  std::string text_;
};

}  // namespace moongate::base

/// MG_LOG(kWarn) << "upstream " << name << " has no node";  The operands are evaluated only when the level is
/// on.
#define MG_LOG(level)                                                                                       \
  for (bool is_on = ::moongate::base::log_enabled(::moongate::base::LogLevel::level); is_on; is_on = false) \
  ::moongate::base::LogLine(::moongate::base::LogLevel::level)
