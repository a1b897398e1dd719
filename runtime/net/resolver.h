// SPDX-License-Identifier: Apache-2.0
// Names to addresses, without blocking the loop: overrides from configuration, /etc/hosts and DNS, cached for
// as long as each answer says. An answer that has run out is used once more while a new one is fetched, so
// that a slow DNS server costs no request; one that cannot be renewed is dropped after a grace period.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/address.h"
#include "net/event_loop.h"

struct ares_channeldata;
struct ares_addrinfo;

namespace moongate::net {

struct ResolverOptions {
  std::map<std::string, std::string> hosts;  // name to address literal or another name
  std::vector<std::string> servers;          // "ADDR" or "ADDR:PORT"; empty: /etc/resolv.conf
  std::chrono::milliseconds timeout{5000};   // for one lookup altogether
  std::chrono::seconds ttl_max{3600};
  std::chrono::seconds negative_ttl{1};
};

/// Resolves host names on one loop.
///
/// Shape:   one cache entry per name, at most 10,000; the least recently used go first.
/// Fails:   kNotFound (the name has no address), kTimeout, kUnreachable; failures are cached for
/// `negative_ttl`.
class Resolver {
 public:
  /// Addresses carry port 0.
  using Addresses = std::vector<SocketAddress>;
  using Callback = std::function<void(const base::Result<std::shared_ptr<const Addresses>>&)>;

  static base::Result<std::unique_ptr<Resolver>> make(EventLoop& loop, ResolverOptions options);
  ~Resolver();

  /// The cached addresses of `host`, or null when they must be waited for. IP literals always answer. Starts
  /// a refresh when the entry has run out.
  std::shared_ptr<const Addresses> find(const std::string& host);
  /// Answers through `callback`, at once when it is known. The callback is dropped if the resolver goes
  /// first.
  void resolve(const std::string& host, Callback callback);
  void set_options(ResolverOptions options);

 private:
  struct Entry {
    std::shared_ptr<const Addresses> addresses;
    base::Error error;
    base::SteadyTime fresh_until{};
    base::SteadyTime usable_until{};
    base::SteadyTime used_at{};
    bool is_pending = false;
    std::vector<Callback> waiting;
  };
  struct Query {
    Resolver* resolver;
    std::string host;
  };
  struct SocketWatch;

  Resolver(EventLoop& loop, ResolverOptions options);
  base::Result<void> open_channel();
  void start_query(const std::string& host, Entry& entry);
  void finish(const std::string& host, base::Result<std::shared_ptr<const Addresses>> result,
              std::chrono::seconds ttl);
  void drop_oldest();
  void arm_timer();
  static void on_answer(void* query, int status, int timeouts, ares_addrinfo* result);
  static void on_socket_state(void* self, int fd, int is_readable, int is_writable);
  static void on_timer(void* self);

  EventLoop& loop_;
  ResolverOptions options_;
  ares_channeldata* channel_ = nullptr;
  bool is_closing_ = false;
  std::unordered_map<std::string, Entry> entries_;
  std::unordered_map<int, std::unique_ptr<SocketWatch>> sockets_;
  Timer timer_;
};

}  // namespace moongate::net
