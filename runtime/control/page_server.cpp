// SPDX-License-Identifier: Apache-2.0
#include "control/page_server.h"

#include <unistd.h>

#include "http/head.h"

namespace moongate::control {
namespace {

constexpr size_t kClientsMax = 64;
constexpr http::HeadLimits kHeadLimits{4 * 1024, 64};
// Room for what comes behind a head in the same read; none of it is looked at.
constexpr ClientSocket::Limits kLimits{16 * 1024, std::chrono::seconds(10)};

Page error_page(uint16_t status, std::string_view text) {
  return {status, "text/plain; charset=utf-8", std::string(text) + "\n"};
}

std::string render(const Page& page) {
  std::string out = "HTTP/1.1 " + std::to_string(page.status) + " " +
                    std::string(http::status_reason(page.status)) + "\r\n";
  out += "Content-Type: " + page.content_type + "\r\nContent-Length: " + std::to_string(page.body.size()) +
         "\r\n";
  if (page.status == 405) out += "Allow: GET\r\n";
  return out + "Connection: close\r\n\r\n" + page.body;
}

}  // namespace

void PageServer::start(int fd) {
  socket_ = snapshot::Descriptor(fd);
  listener_.start(loop_, fd, on_accept, this);
}

void PageServer::on_accept(void* self, int fd, const net::SocketAddress&) {
  auto* server = static_cast<PageServer*>(self);
  if (server->clients_.size() >= kClientsMax) {
    ::close(fd);
    return;
  }
  const uint64_t id = server->next_id_++;
  ClientSocket::Callbacks callbacks;
  callbacks.on_input = [server](ClientSocket& client) { server->on_input(client); };
  callbacks.on_over = [server](ClientSocket& client) { server->clients_.erase(client.id()); };
  server->clients_[id] = std::make_unique<ClientSocket>(server->loop_, fd, id, kLimits, std::move(callbacks));
}

void PageServer::on_input(ClientSocket& client) {
  const http::ScanResult scanned = http::scan_head(client.input(), 0, kHeadLimits);
  if (scanned.status == http::ScanStatus::kIncomplete) return;
  if (scanned.status == http::ScanStatus::kTooLarge)
    return client.send(render(error_page(431, "the head is too large")), true);
  const Page page = answer(std::string_view(client.input()).substr(0, scanned.head_size));
  client.consume(client.input().size());
  client.send(render(page), true);
}

Page PageServer::answer(std::string_view bytes) const {
  base::Arena arena;
  http::RequestHead head(&arena);
  http::HeadFault fault;
  if (!http::parse_request_head(bytes, kHeadLimits, &head, &fault))
    return error_page(fault.status, fault.reason);
  if (head.method != http::Method::kGet) return error_page(405, "only GET is served here");
  if (head.body != http::BodyKind::kNone && head.content_length != 0)
    return error_page(400, "a request for a page has no body");
  const std::string_view path = head.target.substr(0, head.target.find('?'));
  const auto found = pages_.find(path);
  return found == pages_.end() ? error_page(404, "there is no such page") : found->second();
}

}  // namespace moongate::control
