// SPDX-License-Identifier: Apache-2.0
#include "cli/instance_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/json.h"
#include "net/address.h"
#include "snapshot/descriptor.h"
#include "supervisor/pid_file.h"

namespace moongate::cli {

using base::Result;
using base::Value;

namespace {

constexpr size_t kAnswerMax = size_t{16} << 20;
constexpr int kAnswerTimeoutMs = 120'000;  // a reload waits for the changes before it

base::Error failure(base::ErrorKind kind, std::string detail) {
  return {kind, base::Side::kSelf, false, std::move(detail)};
}

Result<std::string> read_line(int fd) {
  std::string line;
  while (line.size() < kAnswerMax) {
    pollfd watched{fd, POLLIN, 0};
    if (::poll(&watched, 1, kAnswerTimeoutMs) == 0)
      return failure(base::ErrorKind::kTimeout, "the instance did not answer within 120 s");
    char buffer[16384];
    const ssize_t size = ::recv(fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return failure(base::ErrorKind::kClosed, "the instance ended before it answered");
    line.append(buffer, static_cast<size_t>(size));
    if (line.back() == '\n') return line;
  }
  return failure(base::ErrorKind::kLimit, "the answer is larger than 16 MB");
}

}  // namespace

Value make_request(const std::string& name) {
  Value request = Value::object();
  request.set("command", Value::string(name));
  return request;
}

Result<Value> ask_instance(const std::string& directory, const Value& request) {
  const std::string path = directory + "/control.sock";
  const Result<net::SocketAddress> address = net::make_unix_address(path);
  if (!address) return address.error();
  const snapshot::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return base::io_error(path);
  if (::connect(socket.get(), address->raw(), address->size) != 0) {
    if (errno != ENOENT && errno != ECONNREFUSED) return base::io_error(path);
    const int pid = supervisor::running_pid(directory);
    if (pid == 0)
      return failure(base::ErrorKind::kNotFound,
                     "no instance runs in " + directory + "; name its folder with -p DIR");
    return failure(base::ErrorKind::kUnreachable, "the instance in " + directory + " (pid " +
                                                      std::to_string(pid) + ") is starting or stopping");
  }
  const std::string line = base::to_json(request) + "\n";
  if (::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return base::io_error(path);
  const Result<std::string> answer = read_line(socket.get());
  if (!answer) return answer.error();
  return base::parse_json(*answer);
}

Result<void> wait_for_end(int pid) {
  const snapshot::Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.is_open())
    return errno == ESRCH ? Result<void>()
                          : Result<void>(base::io_error("waiting for pid " + std::to_string(pid)));
  pollfd watched{process.get(), POLLIN, 0};
  while (::poll(&watched, 1, -1) < 0) {
    if (errno != EINTR) return base::io_error("waiting for pid " + std::to_string(pid));
  }
  return {};
}

}  // namespace moongate::cli
