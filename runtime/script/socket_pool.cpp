// SPDX-License-Identifier: Apache-2.0
#include "script/socket_pool.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace moongate::script {

struct SocketPool::Idle {
  Idle(SocketPool& owner, std::string list_name, Connection kept)
      : pool(owner), name(std::move(list_name)), connection(std::move(kept)), timer(on_idle_timeout, this) {}
  SocketPool& pool;
  std::string name;
  Connection connection;
  net::Timer timer;
};

SocketPool::SocketPool(net::EventLoop& loop) : loop_(loop) {}

SocketPool::~SocketPool() = default;

bool SocketPool::is_silent(tls::Stream& stream) {
  char byte;
  if (stream.may_read() && stream.session() && stream.read(&byte, 1).status != net::IoStatus::kBlocked)
    return false;
  ssize_t got = ::recv(stream.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void SocketPool::give(const std::string& name, Connection connection, base::Duration idle_max,
                      size_t list_max) {
  if (count_ >= kIdleMax && !lists_.contains(name)) return;  // full of others' connections: this one closes
  List& list = lists_[name];
  if (list.count_max == 0) list.count_max = list_max;
  bool is_full = list.idle.size() >= list.count_max || count_ >= kIdleMax;
  auto idle = std::make_unique<Idle>(*this, name, std::move(connection));
  idle->connection.stream->redirect(on_ready, idle.get());
  if (idle_max > base::Duration::zero()) idle->timer.start(loop_.timers(), idle_max);
  list.idle.push_front(std::move(idle));
  count_++;
  if (is_full) drop(list.idle.back().get());
}

SocketPool::Connection SocketPool::take(const std::string& name) {
  while (true) {
    auto found = lists_.find(name);
    if (found == lists_.end()) return {};
    Idle* idle = found->second.idle.front().get();
    Connection connection = std::move(idle->connection);
    drop(idle);
    if (is_silent(*connection.stream)) {
      connection.reused_times++;
      return connection;
    }
  }
}

// An empty list goes too: the next one may have another size.
void SocketPool::drop(Idle* idle) {
  auto found = lists_.find(idle->name);
  MG_ASSERT(found != lists_.end());
  auto& list = found->second.idle;
  auto place =
      std::find_if(list.begin(), list.end(), [idle](const auto& owned) { return owned.get() == idle; });
  MG_ASSERT(place != list.end());
  list.erase(place);
  count_--;
  if (list.empty()) lists_.erase(found);
}

void SocketPool::on_ready(void* self) {
  auto* idle = static_cast<Idle*>(self);
  if (!is_silent(*idle->connection.stream)) idle->pool.drop(idle);
}

void SocketPool::on_idle_timeout(void* self) {
  auto* idle = static_cast<Idle*>(self);
  idle->pool.drop(idle);
}

}  // namespace moongate::script
