// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 for those who talk to control: the metrics page, the Admin API. Strict like the gateway (it is the
// same parser), whole requests and whole answers only, one at a time on each connection.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/client_socket.h"
#include "http/chunked.h"
#include "http/head.h"
#include "net/listener.h"

namespace moongate::control {

/// A request that is there whole; owns its texts.
struct HttpRequest {
  std::string method;
  std::string path;       // as received, up to the `?`
  std::string query;      // behind it
  std::string host;       // name of the Host field, in lower case, without port and brackets
  std::string authority;  // the Host field as received
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  uint64_t body_excess = 0;  // not 0: the body is larger than allowed, this large, and was not taken
  net::SocketAddress peer;

  /// The first field of that name, in any case; empty when there is none.
  std::string_view field(std::string_view name) const;
};

struct HttpResponse {
  uint16_t status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> fields;
};

/// Serves one listening socket.
///
/// Shape:   keepalive, bodies by length or chunked, pipelined requests one after the other.
/// Owner:   control. `answer` may be called at once or later, once; a client that left meanwhile is no error.
/// Fails:   400, 431 and so on for what is no HTTP, as text; connections beyond the limit are closed.
class HttpServer {
 public:
  using Answer = std::function<void(HttpResponse)>;
  using Handler = std::function<void(HttpRequest, Answer)>;
  struct Limits {
    size_t clients_max = 64;
    size_t body_max_bytes = 0;
    base::Duration deadline = std::chrono::seconds(10);  // for one request, and between two
    http::HeadLimits head{4 * 1024, 64};
  };

  HttpServer(net::EventLoop& loop, Limits limits, Handler handler)
      : loop_(loop), limits_(limits), handler_(std::move(handler)) {}
  /// Takes over the listening socket.
  void start(int fd);

 private:
  /// One connection and how far its present request is.
  struct Client {
    std::unique_ptr<ClientSocket> socket;
    net::SocketAddress peer;
    std::unique_ptr<HttpRequest> request;  // its head is there
    http::BodyKind body = http::BodyKind::kNone;
    uint64_t content_length = 0;
    http::ChunkedDecoder decoder;
    bool is_head = false;
    bool is_keep_alive = true;
    bool is_busy = false;        // the handler has it
    bool is_processing = false;  // on the stack: what is answered at once goes on there
  };

  static void on_accept(void* self, int fd, const net::SocketAddress& peer);
  void process(uint64_t id);
  bool take_head(Client& client);
  bool take_body(Client& client);
  bool take_chunks(Client& client);
  void refuse(Client& client, uint16_t status, std::string_view reason);
  void hand_over(uint64_t id, Client& client);
  void answer(uint64_t id, const HttpResponse& response);

  net::EventLoop& loop_;
  Limits limits_;
  Handler handler_;
  snapshot::Descriptor socket_;
  net::Listener listener_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Client> clients_;
};

}  // namespace moongate::control
