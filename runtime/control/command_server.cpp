// SPDX-License-Identifier: Apache-2.0
#include "control/command_server.h"

#include <unistd.h>

#include "base/json.h"

namespace moongate::control {

using base::Value;

namespace {

constexpr size_t kClientsMax = 32;
constexpr ClientSocket::Limits kLimits{64 * 1024, std::chrono::seconds(30)};

}  // namespace

Value refusal(const std::vector<std::string>& errors) {
  Value value = Value::object();
  value.set("ok", Value::boolean(false));
  Value& list = value.set("errors", Value::array());
  for (const std::string& error : errors) list.items().push_back(Value::string(error));
  return value;
}

void CommandServer::start(int fd) {
  socket_ = snapshot::Descriptor(fd);
  listener_.start(loop_, fd, on_accept, this);
}

void CommandServer::on_accept(void* self, int fd, const net::SocketAddress&) {
  auto* server = static_cast<CommandServer*>(self);
  if (server->clients_.size() >= kClientsMax) {
    ::close(fd);
    return;
  }
  const uint64_t id = server->next_id_++;
  ClientSocket::Callbacks callbacks;
  callbacks.on_input = [server](ClientSocket& client) { server->on_input(client); };
  callbacks.on_over = [server](ClientSocket& client) {
    const uint64_t gone = client.id();
    server->is_busy_.erase(gone);
    server->clients_.erase(gone);
  };
  server->clients_[id] = std::make_unique<ClientSocket>(server->loop_, fd, id, kLimits, std::move(callbacks));
}

void CommandServer::on_input(ClientSocket& client) {
  if (is_busy_[client.id()]) return;  // the next line waits for the answer
  const size_t end = client.input().find('\n');
  if (end == std::string::npos) return;
  const base::Result<Value> request = base::parse_json(std::string_view(client.input()).substr(0, end));
  client.consume(end + 1);
  const uint64_t id = client.id();
  is_busy_[id] = true;
  if (!request) return answer(id, refusal({"the request is no JSON: " + request.error().detail}));
  const std::string command(request->get_string("command"));
  if (command.empty()) return answer(id, refusal({"the request is no object with a `command`"}));
  client.wait_for_owner();
  handler_(command, *request, [this, id](const Value& value) { answer(id, value); });
}

void CommandServer::answer(uint64_t client_id, const Value& value) {
  const auto found = clients_.find(client_id);
  if (found == clients_.end()) return;
  is_busy_[client_id] = false;
  found->second->send(base::to_json(value) + "\n", false);
  on_input(*found->second);
}

}  // namespace moongate::control
