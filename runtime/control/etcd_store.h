// SPDX-License-Identifier: Apache-2.0
// The store that several gateways share: reads all that etcd has below the prefix, is told of what changes,
// and writes. What becomes of it here is etcd_jobs.cpp's; what is kept for a start without etcd,
// resource_store.h's.
//
//   kReading ──all pages──► kWatching ──a message──► news
//      ▲   ▲                   │  └─ every 5 s: does it answer?
//      │   └── compacted ──────┤
//      │                       ▼ error, silence, no answer
//      └── nothing read yet ── kAway ── backoff, next member ──► kWatching, from where it broke off
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "control/etcd_client.h"
#include "control/etcd_wire.h"

namespace moongate::control {

/// What became of one resource, and when.
struct SharedChange {
  std::optional<StoredResource> value;  // nothing: it is gone
  uint64_t revision = 0;
};

/// What etcd has told since it was asked last.
struct SharedNews {
  bool is_whole = false;  // what is not among the changes is not there
  std::map<ResourceKey, SharedChange> changes;
  uint64_t revision = 0;  // up to which nothing is missing
};

/// How a write ended.
struct SharedOutcome {
  enum class Kind : uint8_t {
    kMade,
    kConflict,  // something is otherwise than here: after the next news it may be tried again
    kRefused,   // nothing was done
    kUnknown,   // it may be done or not
  };
  Kind kind = Kind::kMade;
  std::string reason;
  std::vector<uint64_t> revisions;  // of the transactions that were made, in their order
};

/// Keeps in step with one prefix of one etcd.
///
/// Shape:   one watch, a probe every five seconds, one write at a time; at most 200,000 resources of 256 MB.
/// Owner:   control.
/// Runs in: control's loop; never waits.
/// Fails:   never for good: an etcd that is away is tried again after 0.1 to 5 seconds.
class EtcdStore {
 public:
  struct Callbacks {
    std::function<void()> on_news;
    std::function<void()> on_state;  // is_reachable() is another
  };
  static base::Result<std::unique_ptr<EtcdStore>> make(net::EventLoop& loop,
                                                       const config::EtcdSettings& settings,
                                                       const config::DnsSettings& dns, Callbacks callbacks);

  void start() { connect(); }
  SharedNews take_news();
  bool has_news() const { return news_.is_whole || !news_.changes.empty(); }
  /// All was read, and changes are told of.
  bool is_watching() const { return state_ == State::kWatching; }
  /// False once it failed, until it answers again.
  bool is_reachable() const { return !is_away_; }
  /// Why it is away; empty when it is not.
  const std::string& fault() const { return fault_; }
  const std::string& endpoint() const { return client_->endpoint(); }
  const std::string& prefix() const { return settings_.prefix; }
  /// What was written below the prefix up to here is told.
  uint64_t watched_revision() const { return watched_revision_; }
  /// Of the whole etcd, as told last.
  uint64_t revision() const { return revision_; }

  /// One after the other, each as a whole or not at all. One write at a time.
  void write(std::vector<EtcdTransaction> transactions, std::function<void(SharedOutcome)> done);

 private:
  enum class State : uint8_t { kReading, kWatching, kAway };

  EtcdStore(net::EventLoop& loop, config::EtcdSettings settings, Callbacks callbacks);
  void connect();
  void read_all();
  void read_page();
  void take_page(base::Result<std::string> answer);
  void take_page_error(const base::Error& error);
  bool add_read(const EtcdEntry& entry);
  void watch();
  bool take_message(std::string_view message);
  void add_news(const EtcdNews& news);
  bool is_of_another_cluster(const std::string& id);
  void on_watching();
  void probe();
  void lose(const std::string& reason);
  void go_on_writing();
  bool ask_for_lease();
  void end_write(SharedOutcome::Kind kind, std::string reason);
  EtcdClient::Question question(const char* path, std::string body) const;
  static SharedChange change_of(const EtcdEntry& entry);

  net::EventLoop& loop_;
  config::EtcdSettings settings_;
  Callbacks callbacks_;
  std::unique_ptr<EtcdClient> client_;
  State state_ = State::kReading;
  bool is_away_ = false;
  std::string fault_;
  uint32_t failures_ = 0;  // in a row
  net::Timer retry_;
  net::Timer probe_timer_;
  EtcdClient::Id session_ = 0;  // the page or the watch that is asked for
  EtcdClient::Id probe_ = 0;
  std::minstd_rand random_;

  // of a read under way
  SharedNews read_;
  size_t read_bytes_ = 0;
  std::string next_key_;
  size_t page_limit_;
  bool is_reading_keys_only_ = false;

  uint64_t watched_revision_ = 0;   // what is told up to here is in the news; 0: nothing was read yet
  uint64_t fragment_revision_ = 0;  // of a message that has not come whole yet
  uint64_t revision_ = 0;
  EtcdMessageCutter cutter_;
  std::string watch_fault_;
  bool is_history_lost_ = false;  // what the watch was to begin with is not there any more
  bool has_watched_ = false;
  std::string cluster_id_;
  SharedNews news_;

  struct Write {
    std::vector<EtcdTransaction> transactions;
    std::function<void(SharedOutcome)> done;
    SharedOutcome outcome;
  };
  std::unique_ptr<Write> write_;
};

}  // namespace moongate::control
