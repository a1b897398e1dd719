// SPDX-License-Identifier: Apache-2.0
// A small, strict HTTP server for pages about the gateway itself: metrics, health. Not a way around the
// gateway: it knows its pages and nothing else, one request per connection.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "control/client_socket.h"
#include "net/listener.h"

namespace moongate::control {

struct Page {
  uint16_t status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

/// Serves pages on one listening socket.
///
/// Shape:   GET only; heads up to 4 KB; at most 64 connections, each for 10 seconds.
/// Fails:   400 for what is no HTTP, 404 for other paths, 405 for other methods; connections beyond the limit
/// are closed.
class PageServer {
 public:
  using Maker = std::function<Page()>;
  explicit PageServer(net::EventLoop& loop) : loop_(loop) {}

  void add(std::string path, Maker make) { pages_[std::move(path)] = std::move(make); }
  /// Takes over the listening socket.
  void start(int fd);

 private:
  static void on_accept(void* self, int fd, const net::SocketAddress& peer);
  void on_input(ClientSocket& client);
  Page answer(std::string_view head) const;

  net::EventLoop& loop_;
  std::map<std::string, Maker, std::less<>> pages_;
  snapshot::Descriptor socket_;
  net::Listener listener_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::unique_ptr<ClientSocket>> clients_;
};

}  // namespace moongate::control
