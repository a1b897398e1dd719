// SPDX-License-Identifier: Apache-2.0
// Pages about the gateway itself: metrics, health. Not a way around the gateway: it knows its pages and
// nothing else.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "control/http_server.h"

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
  explicit PageServer(net::EventLoop& loop);

  void add(std::string path, Maker make) { pages_[std::move(path)] = std::move(make); }
  /// Takes over the listening socket.
  void start(int fd) { server_.start(fd); }

 private:
  HttpResponse answer(const HttpRequest& request) const;

  std::map<std::string, Maker, std::less<>> pages_;
  HttpServer server_;
};

}  // namespace moongate::control
