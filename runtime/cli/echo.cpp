// SPDX-License-Identifier: Apache-2.0
#include "cli/echo.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <unordered_map>

#include "cli/echo_connection.h"
#include "net/listener.h"

namespace moongate::cli {
namespace {

constexpr const char* kUsage =
    "usage: moongate echo --listen ADDR:PORT [--name X]\n"
    "\n"
    "A test upstream: answers every request with the request as JSON. Port 0 takes a free one; the first line of output names\n"
    "it. GET /health answers `ok`. What the query may ask for:\n"
    "  status=503          another status            delay_ms=50      an answer that late, at most 60000\n"
    "  size=1000           a body of that many bytes  header=Name:Value  a field more; may be repeated\n"
    "  chunked=1           a chunked body            close=1          the end of the connection\n"
    "  name=X              \"name\": X in the JSON     (--name X is in every answer as \"upstream\")\n";
constexpr size_t kConnectionsMax = 4096;
constexpr int kBacklog = 1024;

struct Options {
  net::SocketAddress address;
  std::string name;
};

base::Result<Options> read_options(const std::vector<std::string>& arguments) {
  Options options;
  bool has_address = false;
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const std::string& option = arguments[i];
    if (option != "--listen" && option != "--name") return base::invalid("unknown argument `" + option + "`");
    if (i + 1 == arguments.size()) return base::invalid(option + " wants a value");
    if (option == "--name") {
      options.name = arguments[i + 1];
      continue;
    }
    auto address = net::parse_listen_address(arguments[i + 1]);
    if (!address) return base::invalid("--listen: " + address.error().detail);
    options.address = *address;
    has_address = true;
  }
  if (!has_address) return base::invalid("--listen ADDR:PORT is missing");
  return options;
}

/// Accepts connections and keeps them until they end.
class EchoServer {
 public:
  EchoServer(net::EventLoop& loop, EchoIdentity identity) : loop_(loop), identity_(std::move(identity)) {}

  void start(int fd) { listener_.start(loop_, fd, on_accept, this); }

 private:
  static void on_accept(void* self, int fd, const net::SocketAddress&) {
    auto* server = static_cast<EchoServer*>(self);
    if (server->connections_.size() >= kConnectionsMax) {
      ::close(fd);
      return;
    }
    auto connection = std::make_unique<EchoConnection>(server->loop_, fd, server->identity_,
                                                       [server](EchoConnection& ended) { server->connections_.erase(&ended); });
    server->connections_.emplace(connection.get(), std::move(connection));
  }

  net::EventLoop& loop_;
  EchoIdentity identity_;
  net::Listener listener_;
  std::unordered_map<EchoConnection*, std::unique_ptr<EchoConnection>> connections_;
};

void on_stop_signal(void* loop, int) { static_cast<net::EventLoop*>(loop)->stop(); }

base::Result<net::SocketAddress> bound_address(int fd) {
  net::SocketAddress address;
  address.size = sizeof address.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0) return base::io_error("getsockname");
  return address;
}

base::Result<void> serve(const Options& options) {
  auto loop = net::EventLoop::make();
  if (!loop) return loop.error();
  auto fd = net::open_listening_socket(options.address, kBacklog);
  if (!fd) return fd.error();
  auto bound = bound_address(*fd);
  if (!bound) return bound.error();
  EchoServer server(**loop, EchoIdentity{options.name, bound->port()});
  net::SignalWatch terminate;
  net::SignalWatch interrupt;
  terminate.start(**loop, SIGTERM, on_stop_signal, loop->get());
  interrupt.start(**loop, SIGINT, on_stop_signal, loop->get());
  server.start(*fd);
  std::printf("listening on %s\n", bound->text().c_str());
  std::fflush(stdout);
  (*loop)->run();
  ::close(*fd);
  return {};
}

}  // namespace

int run_echo(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h")) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  const auto options = read_options(arguments);
  if (!options) {
    std::fprintf(stderr, "moongate echo: %s\n%s", options.error().detail.c_str(), kUsage);
    return 2;
  }
  if (auto served = serve(*options); !served) {
    std::fprintf(stderr, "moongate echo: %s\n", served.error().detail.c_str());
    return 1;
  }
  return 0;
}

}  // namespace moongate::cli
