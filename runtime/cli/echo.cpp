// SPDX-License-Identifier: Apache-2.0
// `moongate echo`: a server to stand behind a gateway while one tries things out, and in tests. One line of
// output, then requests until SIGTERM or SIGINT.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <unordered_map>

#include "cli/command.h"
#include "cli/echo_connection.h"
#include "net/listener.h"

namespace moongate::cli {
namespace {

constexpr OptionSpec kOptions[] = {{"--listen", "", "ADDR:PORT", false, true}, {"--name", "", "NAME"}};
constexpr size_t kConnectionsMax = 4096;
constexpr int kBacklog = 1024;

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
    auto connection = std::make_unique<EchoConnection>(
        server->loop_, fd, server->identity_,
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
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0)
    return base::io_error("getsockname");
  return address;
}

base::Result<void> serve(const net::SocketAddress& address, const std::string& name) {
  auto loop = net::EventLoop::make();
  if (!loop) return loop.error();
  auto fd = net::open_listening_socket(address, kBacklog);
  if (!fd) return fd.error();
  auto bound = bound_address(*fd);
  if (!bound) return bound.error();
  EchoServer server(**loop, EchoIdentity{name, bound->port()});
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

int run_echo(const Invocation& invocation) {
  const auto address = net::parse_listen_address(invocation.arguments.value("--listen"));
  if (!address) {
    print_error("--listen: " + address.error().detail);
    return kWrongUsage;
  }
  if (const auto served = serve(*address, invocation.arguments.value("--name")); !served) {
    print_error(served.error().detail);
    return kFailed;
  }
  return kDone;
}

}  // namespace

const Command kEchoCommand{"echo",
                           "",
                           0,
                           "A test upstream: answers with the request as JSON and prints `listening on "
                           "ADDR:PORT`. The query asks for more: "
                           "status=503 delay_ms=50 size=1000 header=Name:Value chunked=1 close=1 name=X",
                           kOptions,
                           run_echo};

}  // namespace moongate::cli
