// SPDX-License-Identifier: Apache-2.0
#include "upstream/pool.h"

#include "upstream/http2_link.h"

namespace moongate::upstream {

namespace {

// Between answers a node has nothing to say: an end, or bytes nobody asked for, make a connection useless. A
// read that took just what was there does not know that it did, so it takes another to find out.
bool is_quiet(tls::Stream& stream) {
  char byte;
  return !stream.may_read() || stream.read(&byte, 1).status == net::IoStatus::kBlocked;
}

}  // namespace

Connection::Connection(Endpoint& endpoint, std::string_view server_name)
    : endpoint_(endpoint),
      generation_(endpoint.generation_),
      server_name_(endpoint.context_ ? server_name : std::string_view()),
      idle_timer_(on_idle_timeout, this) {}

bool Connection::start_tls() {
  auto session =
      tls::Session::connect(stream.socket(), endpoint_.context_, {server_name_, endpoint_.sessions_});
  if (!session) return false;
  stream.start_tls(std::move(session));
  return true;
}

void Connection::on_idle_ready(void* self) {
  auto* connection = static_cast<Connection*>(self);
  if (is_quiet(connection->stream)) return;
  connection->endpoint_.unlink(connection);
  delete connection;
}

void Connection::on_idle_timeout(void* self) {
  auto* connection = static_cast<Connection*>(self);
  connection->endpoint_.unlink(connection);
  delete connection;
}

Endpoint::~Endpoint() {
  close_idle();
  while (!links_.empty()) std::shared_ptr<Http2Link>(links_.back())->close();
}

std::unique_ptr<Connection> Endpoint::try_checkout(std::string_view server_name) {
  Connection* connection = newest_;
  while (connection && context_ && connection->server_name_ != server_name) connection = connection->older_;
  if (!connection) return nullptr;
  unlink(connection);
  connection->idle_timer_.stop();
  return std::unique_ptr<Connection>(connection);
}

void Endpoint::checkin(std::unique_ptr<Connection> owned, const PoolLimits& limits) {
  if (owned->requests >= limits.requests_max || limits.idle_max == 0 || owned->generation_ != generation_ ||
      !is_quiet(owned->stream))
    return;
  if (idle_count_ >= limits.idle_max) {
    Connection* dropped = oldest_;
    unlink(dropped);
    delete dropped;
  }
  Connection* connection = owned.release();
  connection->stream.redirect(Connection::on_idle_ready, connection);
  connection->idle_timer_.start(loop_.timers(), limits.idle_timeout);
  connection->older_ = newest_;
  connection->newer_ = nullptr;
  if (newest_) newest_->newer_ = connection;
  newest_ = connection;
  if (!oldest_) oldest_ = connection;
  idle_count_++;
}

void Endpoint::unlink(Connection* connection) {
  (connection->newer_ ? connection->newer_->older_ : newest_) = connection->older_;
  (connection->older_ ? connection->older_->newer_ : oldest_) = connection->newer_;
  connection->newer_ = connection->older_ = nullptr;
  idle_count_--;
}

void Endpoint::retire() {
  generation_++;
  close_idle();
  for (const auto& link : links_) link->retire();
}

void Endpoint::close_idle() {
  while (newest_) {
    Connection* connection = newest_;
    unlink(connection);
    delete connection;
  }
}

std::shared_ptr<Http2Link> Endpoint::join_http2(std::string_view server_name, const PoolLimits& limits) {
  const std::string_view name = context_ ? server_name : std::string_view();
  for (const auto& link : links_) {
    if (link->has_room() && link->server_name() == name) return link;
  }
  links_.push_back(std::make_shared<Http2Link>(*this, name, limits));
  const std::shared_ptr<Http2Link> link = links_.back();
  link->start();
  return link;
}

uint32_t Endpoint::idle_http2_count() const {
  return static_cast<uint32_t>(
      std::count_if(links_.begin(), links_.end(), [](const auto& link) { return link->is_idle(); }));
}

void Endpoint::forget_http2(const Http2Link* link) {
  std::erase_if(links_, [link](const auto& one) { return one.get() == link; });
}

std::shared_ptr<Endpoint> Pool::get(const net::SocketAddress& address,
                                    const std::shared_ptr<const tls::ClientContext>& context) {
  std::weak_ptr<Endpoint>& slot = endpoints_[context ? context->key() + address.text() : address.text()];
  if (auto endpoint = slot.lock()) return endpoint;
  if (endpoints_.size() % 64 == 0) {
    std::erase_if(endpoints_,
                  [&slot](const auto& item) { return &item.second != &slot && item.second.expired(); });
  }
  auto endpoint = std::make_shared<Endpoint>(loop_, address, context);
  slot = endpoint;
  return endpoint;
}

}  // namespace moongate::upstream
