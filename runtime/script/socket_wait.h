// SPDX-License-Identifier: Apache-2.0
// What the sockets of Lua have in common: whose they are, and the wait of the task that uses one. The sockets
// themselves are tcp_socket.h and udp_socket.h; api_socket.cpp hands them to Lua.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "net/resolver.h"

struct lua_State;

namespace moongate::script {

class Host;
class Task;
struct SocketWaitGuard;

/// Units: how long each kind of wait may take.
struct SocketTimeouts {
  base::Duration connect = std::chrono::seconds(60);
  base::Duration send = std::chrono::seconds(60);
  base::Duration receive = std::chrono::seconds(60);
};

/// Base of a socket that Lua sees. An operation runs until it is done or the kernel has nothing: then the
/// task that asked is put aside, and is woken when on_ready of the socket found the rest. Nothing is pushed
/// to Lua from the loop: the woken task fetches the outcome itself, where running out of memory is an error
/// of the plugin's.
///
/// Owner:   a userdata; it is kept alive by the registry while a task waits.
/// Runs in: the loop of the host.
class WaitingSocket {
 public:
  explicit WaitingSocket(Host& host);
  virtual ~WaitingSocket();
  WaitingSocket(const WaitingSocket&) = delete;
  WaitingSocket& operator=(const WaitingSocket&) = delete;

  /// Makes the task's request, or the task itself when it serves none, the only one that may use the socket.
  /// Stack index 1 of `state` holds the userdata.
  void claim(lua_State* state, const Task& task);
  /// True while someone waits on it, or when it is another request's. `task` may be null: code that cannot
  /// wait.
  bool is_busy_for(const Task* task) const;
  /// Ends a lua_CFunction that began an operation: goes on at once when it is done, else puts the task to
  /// sleep. Stack index 1 holds the userdata.
  int finish_or_wait(lua_State* state, Task& task, base::Duration limit);

  bool is_done() const { return is_done_; }
  const std::string& failure() const { return failure_; }
  SocketTimeouts timeouts;

  /// Sockets that exist in this process, used or waiting for the garbage collector.
  static int count();

 protected:
  /// The operation runs from here on.
  void begin_operation() {
    is_done_ = false;
    failure_.clear();
  }
  void succeed() { is_done_ = true; }
  void fail(std::string reason) {
    is_done_ = true;
    failure_ = std::move(reason);
  }
  /// Wakes the task if the operation is done. Call it last: `this` may be gone afterwards.
  void wake_if_done();

  virtual void on_deadline() = 0;   // must end the operation
  virtual void on_abandoned() = 0;  // the task that waited is gone: close
  Host& host_;

 private:
  friend struct SocketWaitGuard;
  struct Owner {
    const void* identity = nullptr;  // an exchange, or the coroutine of a timer
    int64_t since = 0;               // tells apart the requests that share an exchange's address
    bool operator==(const Owner&) const = default;
  };
  static Owner owner_of(const Task& task);
  Task* end_wait();

  Owner owner_;
  Task* waiter_ = nullptr;
  SocketWaitGuard* guard_ = nullptr;
  int anchor_ = 0;
  bool is_done_ = true;
  std::string failure_;
};

/// Looks up a name for a socket, one at a time. Destroying it forgets the question.
class SocketLookup {
 public:
  using Addresses = net::Resolver::Addresses;
  /// Answers through `on_addresses`, in a later turn unless the answer is known: then it returns it.
  struct Answer {
    std::shared_ptr<const Addresses> addresses;
    std::string failure;
    bool is_known() const { return addresses || !failure.empty(); }
  };
  using Callback = void (*)(void* argument, Answer answer);
  SocketLookup(Callback callback, void* argument)
      : callback_(callback), argument_(argument), later_(on_later, this) {}

  Answer start(Host& host, const std::string& name, uint16_t port);
  void stop();

 private:
  struct Question {
    explicit Question(SocketLookup* asking) : lookup(asking) {}
    SocketLookup* lookup;
  };
  static void on_later(void* self);
  Answer make_answer(const base::Result<std::shared_ptr<const Addresses>>& result) const;
  Callback callback_;
  void* argument_;
  uint16_t port_ = 0;
  std::string name_;
  std::shared_ptr<Question> question_;
  net::Deferred later_;  // Lua must not run inside the resolver
  Answer answer_;
};

/// strerror in nginx's manner, with a small first letter: "connection refused".
std::string describe_errno(int number);

}  // namespace moongate::script
