// SPDX-License-Identifier: Apache-2.0
// Certificates for `ssls` with `acme: true`: which ones the snapshot asks for, when each is due, and who
// serves what meanwhile. How one is ordered is acme_client.h's business; where they are kept, acme_store.h's;
// how the workers get them, tls/issued.h's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "control/acme_client.h"
#include "control/acme_store.h"
#include "snapshot/blob.h"

namespace moongate::control {

/// Shape:   one entry for each list of names that a resource asks a certificate for; one order at a time.
/// Runs in: control's loop.
/// Fails:   never: an authority that is away or refuses is asked again, and the best there is is served
/// meanwhile, also beyond its end. The calendar may be wrong and be set at any time: it is asked anew each
/// minute, no pause counts by it, and nothing is given up for it.
class Acme {
 public:
  struct Callbacks {
    std::function<void()> on_certificates;  // others are to be served: packed()
    std::function<void()> on_challenges;    // others are to be answered: challenges()
  };
  Acme(net::EventLoop& loop, const std::string& directory, Callbacks callbacks);

  /// What the snapshot in `view` asks for, from now on.
  void set_snapshot(const snapshot::BlobView& view, const config::Settings& settings);
  /// Workers serve, so that an authority may ask them.
  void start();
  /// What to hand to the workers, see tls::Issued.
  const std::string& packed() const { return packed_; }
  /// It could not be handed on: it is to be handed out again.
  void note_unheard() { packed_.clear(); }
  /// What workers are to answer, see proxy::AcmeChallenges, and the number of that; 0 before there was any.
  const std::string& challenges() const { return challenges_; }
  uint64_t challenge_number() const { return challenge_number_; }
  /// All workers answer them.
  void note_offered();
  /// For status pages: names, what serves them and until when, the next try, what went wrong.
  base::Value describe() const;

 private:
  using Names = std::vector<std::string>;
  struct Entry {
    std::string where;              // "ssls/1"
    base::SteadyTime not_before{};  // is another ordered, whatever the calendar says
    uint32_t failures = 0;          // in a row
    std::string last_error;
  };
  /// What the names of an entry are served with.
  struct Service {
    Names without;                        // those that have no certificate
    std::optional<base::WallTime> until;  // the first end of the others'
    bool is_former = false;               // some of the others have one that was not made for all names
    bool is_early = false;                // or that does not hold yet
  };
  using Entries = std::map<Names, Entry>;

  Entries read_entries(const snapshot::BlobView& view) const;
  base::WallTime find_due(const Names& names) const;
  base::Duration find_wait(const Names& names, const Entry& entry) const;
  void look();
  void hand_out();
  Service find_service(const Names& names) const;
  std::string describe_service(const Names& names) const;
  void go_on();
  void begin(const Names& names);
  base::Result<void> make_resolver();
  base::Result<AcmeClient::Options> make_options(const Names& names);
  void take(AcmeOutcome outcome);
  base::Result<void> take_chain(const std::string& chain);
  void note_failure(const std::string& what, base::Duration retry_after);
  void offer(std::string lines);
  void end_order();

  net::EventLoop& loop_;
  Callbacks callbacks_;
  AcmeStore store_;
  bool is_loaded_ = false;
  bool is_started_ = false;
  config::AcmeSettings settings_;
  net::ResolverOptions dns_;
  std::unique_ptr<net::Resolver> resolver_;               // from the first order on
  std::vector<std::pair<std::string, uint64_t>> prints_;  // of the resources that were read: id and hash
  Entries entries_;
  base::SteadyTime authority_not_before_{};  // is it asked for anything: it has said so
  std::string packed_;                       // as handed out last; empty before
  std::unique_ptr<AcmeClient> client_;
  Names ordered_;            // what client_ is for
  std::string ordered_key_;  // PEM
  bool is_offering_ = false;
  std::string challenges_;
  uint64_t challenge_number_ = 0;
  net::Timer timer_;
  net::Deferred others_;
  std::minstd_rand random_;
};

}  // namespace moongate::control
