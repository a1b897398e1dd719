// SPDX-License-Identifier: Apache-2.0
#include "proxy/access_log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "base/ascii.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "exchange/variables.h"

namespace moongate::proxy {

using exchange::Exchange;

namespace {

// APISIX's default format.
constexpr std::string_view kCombined =
    "$remote_addr - $remote_user [$time_local] $http_host \"$request\" $status $body_bytes_sent "
    "$request_time "
    "\"$http_referer\" \"$http_user_agent\" $upstream_addr $upstream_status $upstream_response_time "
    "\"$upstream_scheme://$upstream_host$upstream_uri\" \"$apisix_request_id\"";

struct JsonField {
  std::string_view key;
  std::string_view variable;
  bool is_number;
};
constexpr JsonField kJsonFields[] = {
    {"time", "time_iso8601", false},
    {"remote_addr", "remote_addr", false},
    {"method", "request_method", false},
    {"uri", "request_uri", false},
    {"host", "host", false},
    {"protocol", "server_protocol", false},
    {"status", "status", true},
    {"request_time", "request_time", true},
    {"request_length", "request_length", true},
    {"bytes_sent", "bytes_sent", true},
    {"body_bytes_sent", "body_bytes_sent", true},
    {"referer", "http_referer", false},
    {"user_agent", "http_user_agent", false},
    {"route_id", "route_id", false},
    {"route_name", "route_name", false},
    {"service_id", "service_id", false},
    {"consumer_name", "consumer_name", false},
    {"upstream_addr", "upstream_addr", false},
    {"upstream_status", "upstream_status", false},
    {"upstream_response_time", "upstream_response_time", false},
    {"request_id", "apisix_request_id", false},
};

// nginx's default escaping: what could break a line or a quoted field is written as \xNN.
void append_escaped(std::string& line, std::string_view text) {
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') {
      line.append("\\x").append(base::to_hex({&c, 1}, base::kHexUpper));
    } else {
      line += c;
    }
  }
}

bool is_name_char(char c) { return base::is_alphanumeric(c) || c == '_'; }

}  // namespace

base::Result<std::unique_ptr<AccessLog>> AccessLog::open(const std::string& path, const std::string& format) {
  std::unique_ptr<AccessLog> log(new AccessLog());
  log->path_ = path;
  log->is_json_ = format == "json";
  if (!log->is_json_)
    log->parts_ = parse_format(format == "combined" || format.empty() ? std::string(kCombined) : format);
  if (!log->open_file()) return base::io_error("access log " + path);
  // Signals are for the main thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  log->thread_ = std::thread([raw = log.get()] { raw->run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return log;
}

// Never blocking: a pipe whose reader has stopped must hold up neither a reload nor the end. The standard
// output is opened anew for that, since its flags are shared with whoever started us.
bool AccessLog::open_file() {
  constexpr int kFlags = O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC;
  int fd = -1;
  if (path_ == "-" || path_ == "stdout") {
    fd = ::open("/proc/self/fd/1", kFlags);
    if (fd < 0) fd = ::dup(1);  // a socket cannot be opened
  } else {
    fd = ::open(path_.c_str(), kFlags | O_CREAT, 0644);
  }
  if (fd < 0) return false;
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  return true;
}

AccessLog::~AccessLog() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
  if (fd_ >= 0) ::close(fd_);
}

std::vector<AccessLog::Part> AccessLog::parse_format(const std::string& format) {
  std::vector<Part> parts;
  std::string literal;
  for (size_t at = 0; at < format.size();) {
    bool is_braced = format[at] == '$' && at + 1 < format.size() && format[at + 1] == '{';
    size_t start = at + (is_braced ? 2 : 1);
    size_t end = start;
    if (format[at] == '$')
      while (end < format.size() && is_name_char(format[end])) end++;
    if (format[at] != '$' || end == start || (is_braced && (end >= format.size() || format[end] != '}'))) {
      literal += format[at++];
      continue;
    }
    if (!literal.empty()) parts.push_back({std::move(literal), false});
    literal.clear();
    parts.push_back({format.substr(start, end - start), true});
    at = end + (is_braced ? 1 : 0);
  }
  if (!literal.empty()) parts.push_back({std::move(literal), false});
  return parts;
}

void AccessLog::append_json(Exchange& exchange, std::string& line) {
  char separator = '{';
  for (const JsonField& field : kJsonFields) {
    std::string_view value;
    if (!exchange::find_variable(exchange, field.variable, &value)) continue;
    line += separator;
    separator = ',';
    line += '"';
    line += field.key;
    line += "\":";
    if (field.is_number)
      line += value;
    else
      base::append_json_string(line, value);
  }
  line += "}\n";
}

void AccessLog::append_formatted(Exchange& exchange, std::string& line) {
  for (const Part& part : parts_) {
    std::string_view value;
    if (!part.is_variable)
      line += part.text;
    else if (exchange::find_variable(exchange, part.text, &value) && !value.empty())
      append_escaped(line, value);
    else
      line += '-';
  }
  line += '\n';
}

void AccessLog::write(Exchange& exchange) {
  line_.clear();
  if (is_json_)
    append_json(exchange, line_);
  else
    append_formatted(exchange, line_);
  bool was_empty = false;
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() + line_.size() > kQueueMaxBytes) {
      dropped_++;
      return;
    }
    was_empty = queue_.empty();
    queue_ += line_;
  }
  if (was_empty) wake();
}

void AccessLog::wake() { has_work_.notify_one(); }

void AccessLog::run() {
  std::string batch;
  auto give_up_at = std::chrono::steady_clock::time_point::max();
  bool is_ending = false;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (batch.empty()) {
        has_work_.wait(lock, [this] { return is_stopping_ || is_reopen_wanted_ || !queue_.empty(); });
        batch.swap(queue_);
      }
      if (is_stopping_ && !is_ending) {
        is_ending = true;
        give_up_at = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      }
    }
    if (is_reopen_wanted_.exchange(false) && !open_file())
      MG_LOG(kError) << "access log " << path_ << " cannot be opened again";
    if (is_ending && (batch.empty() || std::chrono::steady_clock::now() > give_up_at)) return;
    if (batch.empty()) continue;
    ssize_t written = ::write(fd_, batch.data(), batch.size());
    if (written > 0) {
      batch.erase(0, static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd writable{fd_, POLLOUT, 0};
      ::poll(&writable, 1, 100);
    } else if (errno != EINTR) {
      dropped_++;
      batch.clear();
    }
  }
}

}  // namespace moongate::proxy
