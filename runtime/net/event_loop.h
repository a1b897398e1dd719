// SPDX-License-Identifier: Apache-2.0
// One thread's event loop: descriptors, timers, signals, and work put off to the end of the turn. The only
// folder that sees libevent. Data-path descriptors are registered once, edge-triggered, for everything.
#pragma once

#include <event2/event_struct.h>

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "net/timer.h"

struct event_base;

namespace moongate::net {

class EventLoop;

/// What a descriptor became. More than one may be set.
struct Readiness {
  bool is_readable;
  bool is_writable;
  bool is_closing;  // the peer will send no more (EPOLLRDHUP); bytes may still be waiting
};

/// Watches one descriptor. The callback must not destroy the loop; it may stop or destroy the watch.
class FdWatch {
 public:
  using Callback = void (*)(void* argument, Readiness ready);
  enum class Interest : uint8_t {
    kRead,   // level-triggered: listeners, channels, pipes
    kWrite,  // level-triggered
    kEdge,   // edge-triggered, both ways and closing: the data path
  };
  FdWatch() = default;
  ~FdWatch() { stop(); }
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  void start(EventLoop& loop, int fd, Interest interest, Callback callback, void* argument);
  void stop();
  bool is_running() const { return loop_ != nullptr; }

 private:
  static void on_event(int fd, short what, void* self);
  EventLoop* loop_ = nullptr;
  Callback callback_ = nullptr;
  void* argument_ = nullptr;
  struct event event_ {};
};

/// Calls back in the loop, outside of signal context, when a signal arrives.
class SignalWatch {
 public:
  using Callback = void (*)(void* argument, int signal_number);
  SignalWatch() = default;
  ~SignalWatch() { stop(); }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  void start(EventLoop& loop, int signal_number, Callback callback, void* argument);
  void stop();

 private:
  static void on_event(int fd, short what, void* self);
  EventLoop* loop_ = nullptr;
  Callback callback_ = nullptr;
  void* argument_ = nullptr;
  struct event event_ {};
};

/// Work for the end of the turn in which it was put off; put off again, it runs in the next turn.
class Deferred {
 public:
  using Callback = void (*)(void* argument);
  Deferred(Callback callback, void* argument) : callback_(callback), argument_(argument) {}
  ~Deferred() { cancel(); }
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
  void schedule(EventLoop& loop);
  void cancel();
  bool is_scheduled() const { return link_ != nullptr; }

 private:
  friend class EventLoop;
  Deferred* next_ = nullptr;
  Deferred** link_ = nullptr;
  Callback callback_;
  void* argument_;
};

/// Told when a turn has something to do, and when that is done.
class TurnObserver {
 public:
  virtual void on_turn_begin() = 0;
  /// `took`: from the turn's begin on, without the waiting before it.
  virtual void on_turn_end(base::Duration took) = 0;

 protected:
  ~TurnObserver() = default;
};

class EventLoop {
 public:
  static base::Result<std::unique_ptr<EventLoop>> make();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Runs turns until stop().
  void run();
  /// Runs one turn: waits for something to happen, at most until the next timer, and deals with it.
  void run_once();
  void stop() { is_stopped_ = true; }
  bool is_stopped() const { return is_stopped_; }
  TimerWheel& timers() { return timers_; }
  /// Every turn from now on is told to `observer`, until it is forgotten.
  void observe_turns(TurnObserver* observer) { observers_.push_back(observer); }
  void forget_observer(TurnObserver* observer) { std::erase(observers_, observer); }
  /// Must be called in a child after fork(), before anything else on this loop.
  void after_fork();

 private:
  friend class FdWatch;
  friend class SignalWatch;
  friend class Deferred;
  EventLoop() = default;
  void begin_turn() {
    if (!is_turn_begun_) {
      is_turn_begun_ = true;
      base::Clock::refresh();
      turn_began_ = base::Clock::steady();
      for (TurnObserver* observer : observers_) observer->on_turn_begin();
    }
  }
  void run_deferred();

  event_base* base_ = nullptr;
  bool is_stopped_ = false;
  bool is_turn_begun_ = false;
  TimerWheel timers_;
  std::vector<TurnObserver*> observers_;
  Deferred* deferred_ = nullptr;
  struct event wakeup_ {};
  base::SteadyTime wakeup_at_ = base::SteadyTime::max();
  base::SteadyTime turn_began_{};
};

}  // namespace moongate::net
