// SPDX-License-Identifier: Apache-2.0
// One change of snapshots: all workers switch, or none. Pure; told what happens, it says where things stand.
//
//   kPreparing ──all ready──► kReady ──begin_switch()──► kSwitching ──all switched──► kDone
//        └──one refuses, or does not answer in time──► kRefused ◄── fail()
//
// A worker that dies leaves the round: its replacement is given what is current then. When all die while they
// prepare, the snapshot is to blame, and refused.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace moongate::control {

class SwitchRound {
 public:
  enum class State : uint8_t { kPreparing, kReady, kSwitching, kDone, kRefused };

  SwitchRound(uint64_t number, const std::vector<uint32_t>& workers)
      : number_(number), members_(workers.begin(), workers.end()), waiting_(members_) {
    if (waiting_.empty()) state_ = State::kReady;
  }

  uint64_t number() const { return number_; }
  State state() const { return state_; }
  /// Why it was refused; with kDone, what is odd about it, or nothing.
  const std::string& reason() const { return reason_; }
  /// Who takes part.
  const std::set<uint32_t>& members() const { return members_; }

  void on_ready(uint32_t worker) {
    if (state_ != State::kPreparing || waiting_.erase(worker) == 0) return;
    ready_.insert(worker);
    advance();
  }
  void on_refused(uint32_t worker, const std::string& reason) {
    if (state_ != State::kPreparing || members_.count(worker) == 0) return;
    fail_as_invalid("worker " + std::to_string(worker) + ": " + reason);
  }
  void on_switched(uint32_t worker) {
    if (state_ != State::kSwitching) return;
    waiting_.erase(worker);
    advance();
  }
  void on_gone(uint32_t worker) {
    if (members_.erase(worker) == 0) return;
    waiting_.erase(worker);
    ready_.erase(worker);
    if (state_ == State::kPreparing && members_.empty())
      return fail_as_invalid("every worker died while preparing it");
    advance();
  }
  /// All are ready, and what they are ready for has been made to last.
  void begin_switch() {
    if (state_ != State::kReady) return;
    state_ = State::kSwitching;
    waiting_ = ready_;
    advance();
  }
  /// All are ready, and it cannot be made to last: nobody has been told to switch yet.
  void fail(std::string reason) { refuse(std::move(reason)); }
  /// Whether it was refused for what it holds, and not for how things are.
  bool is_invalid() const { return is_invalid_; }
  /// The time for this state is over.
  void on_deadline(int seconds) {
    if (waiting_.empty()) return;
    const std::string who = "worker " + std::to_string(*waiting_.begin()) + " did not answer within " +
                            std::to_string(seconds) + " s";
    if (state_ == State::kPreparing) return refuse(who);
    if (state_ != State::kSwitching) return;
    // The others serve it already; the one that hangs is the supervisor's to kill, and its replacement gets
    // it too.
    reason_ = who;
    state_ = State::kDone;
  }

 private:
  void fail_as_invalid(std::string reason) {
    is_invalid_ = true;
    refuse(std::move(reason));
  }
  void refuse(std::string reason) {
    reason_ = std::move(reason);
    state_ = State::kRefused;
  }
  void advance() {
    if (!waiting_.empty()) return;
    if (state_ == State::kPreparing) {
      state_ = State::kReady;
    } else if (state_ == State::kSwitching) {
      state_ = State::kDone;
    }
  }

  uint64_t number_;
  State state_ = State::kPreparing;
  std::set<uint32_t> members_;
  std::set<uint32_t> waiting_;
  std::set<uint32_t> ready_;
  std::string reason_;
  bool is_invalid_ = false;
};

}  // namespace moongate::control
