// SPDX-License-Identifier: Apache-2.0
#include "control/http_server.h"

#include <unistd.h>

#include "base/arena.h"
#include "base/ascii.h"
#include "control/one_line.h"

namespace moongate::control {

namespace {

// What stands between the bytes of a body: chunk heads, trailers, the next request.
constexpr size_t kFramingMaxBytes = 64 * 1024;

std::string render(const HttpResponse& response, bool is_head, bool is_keep_alive) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " " +
                    std::string(http::status_reason(response.status)) + "\r\n";
  if (!response.content_type.empty()) out += "Content-Type: " + response.content_type + "\r\n";
  for (const auto& [name, value] : response.fields) out += name + ": " + one_line(value) + "\r\n";
  if (response.status != 204 && response.status != 304)
    out += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  if (!is_keep_alive) out += "Connection: close\r\n";
  out += "\r\n";
  return is_head ? out : out + response.body;
}

void copy_head(const http::RequestHead& head, HttpRequest* request) {
  request->method = head.method_text;
  const size_t question = head.target.find('?');
  request->path = head.target.substr(0, question);
  if (question != std::string_view::npos) request->query = head.target.substr(question + 1);
  request->host = base::lower_case(std::string(head.host_parts.name));
  request->authority = base::lower_case(std::string(head.host));
  for (const http::Field& field : head.fields) request->fields.emplace_back(field.name, field.value);
}

}  // namespace

std::string_view HttpRequest::field(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (http::equals_ignoring_case(key, name)) return value;
  }
  return {};
}

void HttpServer::start(int fd) {
  socket_ = snapshot::Descriptor(fd);
  listener_.start(loop_, fd, on_accept, this);
}

void HttpServer::on_accept(void* self, int fd, const net::SocketAddress& peer) {
  auto* server = static_cast<HttpServer*>(self);
  if (server->clients_.size() >= server->limits_.clients_max) {
    ::close(fd);
    return;
  }
  const uint64_t id = server->next_id_++;
  ClientSocket::Callbacks callbacks;
  callbacks.on_input = [server](ClientSocket& client) { server->process(client.id()); };
  callbacks.on_over = [server](ClientSocket& client) { server->clients_.erase(client.id()); };
  const Limits& limits = server->limits_;
  const ClientSocket::Limits socket_limits{
      limits.head.head_size_max_bytes + limits.body_max_bytes + kFramingMaxBytes, limits.deadline};
  Client& client = server->clients_[id];
  client.peer = peer;
  client.socket = std::make_unique<ClientSocket>(server->loop_, fd, id, socket_limits, std::move(callbacks));
}

/// Takes requests from what was received until one is incomplete or is being answered.
void HttpServer::process(uint64_t id) {
  Client& client = clients_.at(id);
  if (client.is_processing) return;
  client.is_processing = true;
  while (!client.is_busy && !client.socket->is_ending()) {
    if (!client.request && !take_head(client)) break;
    if (!take_body(client)) break;
    hand_over(id, client);
  }
  client.is_processing = false;
}

/// False when more must come, or the request was refused.
bool HttpServer::take_head(Client& client) {
  while (client.socket->input().starts_with("\r\n")) client.socket->consume(2);
  const http::ScanResult scanned = http::scan_head(client.socket->input(), 0, limits_.head);
  if (scanned.status == http::ScanStatus::kIncomplete) return false;
  if (scanned.status == http::ScanStatus::kTooLarge) {
    refuse(client, 431, "the head is too large");
    return false;
  }
  base::Arena arena;
  http::RequestHead head(&arena);
  http::HeadFault fault;
  const std::string bytes = client.socket->input().substr(0, scanned.head_size);
  if (!http::parse_request_head(bytes, limits_.head, &head, &fault)) {
    refuse(client, fault.status, fault.reason);
    return false;
  }
  client.socket->consume(scanned.head_size);
  client.request = std::make_unique<HttpRequest>();
  client.request->peer = client.peer;
  copy_head(head, client.request.get());
  client.is_head = head.method == http::Method::kHead;
  client.is_keep_alive = head.is_keep_alive;
  client.body = head.body;
  client.content_length = head.content_length;
  client.decoder.reset();
  const bool is_awaited = head.expects_continue && head.body != http::BodyKind::kNone &&
                          head.content_length <= limits_.body_max_bytes;
  if (is_awaited) client.socket->send("HTTP/1.1 100 Continue\r\n\r\n", false);
  return true;
}

/// The rest of a body that is too large is not waited for: the answer is the connection's last.
bool HttpServer::take_body(Client& client) {
  if (client.body == http::BodyKind::kNone) return true;
  if (client.body == http::BodyKind::kChunked) return take_chunks(client);
  if (client.content_length > limits_.body_max_bytes) {
    client.request->body_excess = client.content_length;
    client.is_keep_alive = false;
    return true;
  }
  if (client.socket->input().size() < client.content_length) return false;
  client.request->body = client.socket->input().substr(0, client.content_length);
  client.socket->consume(client.content_length);
  return true;
}

bool HttpServer::take_chunks(Client& client) {
  using Status = http::ChunkedDecoder::Status;
  size_t at = 0;
  std::string& body = client.request->body;
  for (;;) {
    const auto step = client.decoder.feed(std::string_view(client.socket->input()).substr(at));
    at += step.consumed;
    if (step.status == Status::kData) body.append(step.data);
    if (body.size() > limits_.body_max_bytes) {
      client.request->body_excess = body.size();
      client.is_keep_alive = false;
      body.clear();
      break;
    }
    if (step.status == Status::kData) continue;
    if (step.status == Status::kBad) {
      refuse(client, 400, "the body is not in chunked coding");
      return false;
    }
    client.socket->consume(at);
    return step.status == Status::kDone;
  }
  client.socket->consume(client.socket->input().size());
  return true;
}

void HttpServer::refuse(Client& client, uint16_t status, std::string_view reason) {
  client.request.reset();
  client.socket->consume(client.socket->input().size());
  HttpResponse response{status, "text/plain; charset=utf-8", std::string(reason) + "\n", {}};
  client.socket->send(render(response, false, false), true);
}

void HttpServer::hand_over(uint64_t id, Client& client) {
  client.is_busy = true;
  client.socket->wait_for_owner();
  const std::unique_ptr<HttpRequest> request = std::move(client.request);
  handler_(std::move(*request), [this, id](const HttpResponse& response) { answer(id, response); });
}

void HttpServer::answer(uint64_t id, const HttpResponse& response) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client& client = found->second;
  client.is_busy = false;
  client.socket->send(render(response, client.is_head, client.is_keep_alive), !client.is_keep_alive);
  process(id);
}

}  // namespace moongate::control
