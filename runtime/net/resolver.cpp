// SPDX-License-Identifier: Apache-2.0
#include "net/resolver.h"

#include <ares.h>
#include <netdb.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace moongate::net {
namespace {

using base::Clock;
using base::Error;
using base::ErrorKind;
using base::Result;
using base::Side;

constexpr size_t kEntriesMax = 10000;
constexpr auto kStaleGrace = std::chrono::seconds(60);
constexpr int kAliasDepthMax = 8;

Error resolve_error(const std::string& host, int status) {
  Error error;
  error.side = Side::kUpstream;
  error.is_retryable = true;
  error.kind = status == ARES_ETIMEOUT                              ? ErrorKind::kTimeout
               : status == ARES_ENOTFOUND || status == ARES_ENODATA ? ErrorKind::kNotFound
                                                                    : ErrorKind::kUnreachable;
  error.detail = "cannot resolve \"" + host + "\": " + ares_strerror(status);
  return error;
}

}  // namespace

// One of c-ares' sockets, watched level-triggered for what c-ares asked for.
struct Resolver::SocketWatch {
  Resolver* resolver;
  int fd;
  FdWatch read;
  FdWatch write;
};

Result<std::unique_ptr<Resolver>> Resolver::make(EventLoop& loop, ResolverOptions options) {
  static const int initialised = ares_library_init(ARES_LIB_INIT_ALL);
  if (initialised != ARES_SUCCESS)
    return base::invalid(std::string("resolver: ") + ares_strerror(initialised));
  std::unique_ptr<Resolver> resolver(new Resolver(loop, std::move(options)));
  if (auto opened = resolver->open_channel(); !opened) return opened.error();
  return resolver;
}

Resolver::Resolver(EventLoop& loop, ResolverOptions options)
    : loop_(loop), options_(std::move(options)), timer_(on_timer, this) {}

Result<void> Resolver::open_channel() {
  ares_options settings{};
  settings.timeout = static_cast<int>(std::max<int64_t>(options_.timeout.count() / 3, 50));
  settings.tries = 3;
  settings.sock_state_cb = on_socket_state;
  settings.sock_state_cb_data = this;
  int status =
      ares_init_options(&channel_, &settings, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status != ARES_SUCCESS) return base::invalid(std::string("resolver: ") + ares_strerror(status));
  if (options_.servers.empty()) return {};
  std::string list;
  for (const auto& server : options_.servers) list += (list.empty() ? "" : ",") + server;
  status = ares_set_servers_ports_csv(channel_, list.c_str());
  if (status != ARES_SUCCESS) {
    ares_destroy(channel_);
    channel_ = nullptr;
    return base::invalid("dns.servers \"" + list + "\": " + ares_strerror(status));
  }
  return {};
}

Resolver::~Resolver() {
  is_closing_ = true;
  if (channel_) ares_destroy(channel_);
}

void Resolver::set_options(ResolverOptions options) {
  bool are_servers_new = options.servers != options_.servers || options.timeout != options_.timeout;
  bool are_hosts_new = options.hosts != options_.hosts;
  options_ = std::move(options);
  if (are_hosts_new || are_servers_new) {
    std::erase_if(entries_, [](const auto& item) { return !item.second.is_pending; });
  }
  if (!are_servers_new) return;
  // The new channel first: what is pending ends with ARES_EDESTRUCTION and is asked again there.
  ares_channeldata* former = std::exchange(channel_, nullptr);
  if (auto opened = open_channel(); !opened) MG_LOG(kError) << opened.error().detail;
  if (former) ares_destroy(former);
}

std::shared_ptr<const Resolver::Addresses> Resolver::find(const std::string& host) {
  if (auto literal = make_ip_address(host, 0); literal)
    return std::make_shared<Addresses>(Addresses{*literal});
  auto found = entries_.find(host);
  if (found == entries_.end()) return nullptr;
  Entry& entry = found->second;
  entry.used_at = Clock::steady();
  if (!entry.addresses || Clock::steady() >= entry.usable_until) return nullptr;
  auto addresses = entry.addresses;
  if (Clock::steady() >= entry.fresh_until && !entry.is_pending) start_query(host, entry);
  return addresses;
}

void Resolver::resolve(const std::string& host, Callback callback) {
  if (auto addresses = find(host)) {
    callback(addresses);
    return;
  }
  if (entries_.size() >= kEntriesMax) drop_oldest();
  Entry& entry = entries_[host];
  entry.used_at = Clock::steady();
  if (!entry.is_pending && !entry.addresses &&
      Clock::steady() < entry.fresh_until) {  // a failure not long ago
    Error error = entry.error;
    callback(error);
    return;
  }
  entry.waiting.push_back(std::move(callback));
  if (!entry.is_pending) start_query(host, entry);
}

void Resolver::drop_oldest() {
  auto oldest = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->second.is_pending) continue;
    if (oldest == entries_.end() || it->second.used_at < oldest->second.used_at) oldest = it;
  }
  if (oldest != entries_.end()) entries_.erase(oldest);
}

void Resolver::start_query(const std::string& host, Entry& entry) {
  entry.is_pending = true;
  std::string name = host;
  for (int depth = 0; depth < kAliasDepthMax; depth++) {
    auto alias = options_.hosts.find(name);
    if (alias == options_.hosts.end()) break;
    name = alias->second;
    if (auto literal = make_ip_address(name, 0); literal) {
      finish(host, std::shared_ptr<const Addresses>(std::make_shared<Addresses>(Addresses{*literal})),
             options_.ttl_max);
      return;
    }
  }
  if (!channel_) {
    finish(host, resolve_error(host, ARES_ENOTINITIALIZED), std::chrono::seconds(0));
    return;
  }
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, on_answer, new Query{this, host});
  arm_timer();
}

void Resolver::on_answer(void* argument, int status, int, ares_addrinfo* result) {
  std::unique_ptr<Query> query(static_cast<Query*>(argument));
  Resolver* resolver = query->resolver;
  auto addresses = std::make_shared<Addresses>();
  int ttl = INT32_MAX;
  if (status == ARES_SUCCESS && result) {
    // IPv4 first: an address family without a route would cost every request a failed connect.
    for (int family : {AF_INET, AF_INET6}) {
      for (ares_addrinfo_node* node = result->nodes; node; node = node->ai_next) {
        if (node->ai_family != family || addresses->size() >= 64) continue;
        SocketAddress address;
        std::memcpy(&address.storage, node->ai_addr, node->ai_addrlen);
        address.size = node->ai_addrlen;
        addresses->push_back(address);
        if (node->ai_ttl < ttl) ttl = node->ai_ttl;
      }
    }
  }
  if (result) ares_freeaddrinfo(result);
  if (resolver->is_closing_) return;
  if (status == ARES_EDESTRUCTION) {
    resolver->start_query(query->host, resolver->entries_[query->host]);
    return;
  }
  if (addresses->empty()) {
    resolver->finish(query->host, resolve_error(query->host, status == ARES_SUCCESS ? ARES_ENODATA : status),
                     std::chrono::seconds(0));
    return;
  }
  auto lifetime = std::clamp(std::chrono::seconds(ttl), std::chrono::seconds(1), resolver->options_.ttl_max);
  resolver->finish(query->host, std::shared_ptr<const Addresses>(std::move(addresses)), lifetime);
}

void Resolver::finish(const std::string& host, Result<std::shared_ptr<const Addresses>> result,
                      std::chrono::seconds ttl) {
  Entry& entry = entries_[host];
  entry.is_pending = false;
  auto now = Clock::steady();
  if (result) {
    entry.addresses = *result;
    entry.fresh_until = now + ttl;
    entry.usable_until = entry.fresh_until + kStaleGrace;
  } else {
    entry.error = result.error();
    entry.fresh_until = now + options_.negative_ttl;
    if (now >= entry.usable_until || result.error().kind == ErrorKind::kNotFound) entry.addresses = nullptr;
  }
  std::vector<Callback> waiting = std::move(entry.waiting);
  entry.waiting.clear();
  for (auto& callback : waiting) callback(result);  // may ask again: `entry` is not touched after this
}

void Resolver::on_socket_state(void* self, int fd, int is_readable, int is_writable) {
  auto* resolver = static_cast<Resolver*>(self);
  if (!is_readable && !is_writable) {
    resolver->sockets_.erase(fd);
    return;
  }
  auto& slot = resolver->sockets_[fd];
  if (!slot) {
    slot = std::make_unique<SocketWatch>();
    slot->resolver = resolver;
    slot->fd = fd;
  }
  SocketWatch* watch = slot.get();
  auto on_ready = [](void* argument, Readiness ready) {
    auto* socket = static_cast<SocketWatch*>(argument);
    Resolver* owner = socket->resolver;
    int ready_fd = socket->fd;
    ares_process_fd(owner->channel_, ready.is_readable ? ready_fd : ARES_SOCKET_BAD,
                    ready.is_writable ? ready_fd : ARES_SOCKET_BAD);
  };
  if (is_readable && !watch->read.is_running()) {
    watch->read.start(resolver->loop_, fd, FdWatch::Interest::kRead, on_ready, watch);
  } else if (!is_readable) {
    watch->read.stop();
  }
  if (is_writable && !watch->write.is_running()) {
    watch->write.start(resolver->loop_, fd, FdWatch::Interest::kWrite, on_ready, watch);
  } else if (!is_writable) {
    watch->write.stop();
  }
}

void Resolver::arm_timer() {
  timeval wait{};
  if (!ares_timeout(channel_, nullptr, &wait)) return;
  timer_.start(loop_.timers(), std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec));
}

void Resolver::on_timer(void* self) {
  auto* resolver = static_cast<Resolver*>(self);
  if (!resolver->channel_) return;
  ares_process_fd(resolver->channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  resolver->arm_timer();
}

}  // namespace moongate::net
