// SPDX-License-Identifier: Apache-2.0
// Keeps the OCSP answers that workers staple (tls/stapling.h): asks each certificate's responder, or reads a
// file that somebody else keeps up to date, checks what comes, and asks again long before it runs out.
// Answers are kept in DIR/ocsp too, so that a start does not depend on responders.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "config/resources.h"
#include "config/settings.h"
#include "control/http_question.h"
#include "snapshot/blob.h"
#include "tls/stapling.h"

namespace moongate::control {

/// Shape:   one entry for each certificate of the snapshot whose resource asks for stapling; at most
/// kAskedMax are asked for at a time.
/// Runs in: control's loop. `on_change` is called when other answers are to be stapled.
/// Fails:   never: a responder that is away is asked again, and its last answer stays while it holds.
class Stapling {
 public:
  static constexpr size_t kAskedMax = 8;
  Stapling(net::EventLoop& loop, const std::string& directory, std::function<void()> on_change);

  /// What the snapshot in `view` asks for, from now on.
  void set_snapshot(const snapshot::BlobView& view, const config::DnsSettings& dns);
  /// What to hand to the workers; empty when nobody ever asked for stapling.
  std::string packed() const;

 private:
  struct Entry {
    std::string where;  // "ssls/1"
    config::OcspStapling conf;
    tls::StapleSubject subject;
    bool is_needed = false;  // the certificate says that clients refuse it without
    tls::Staple staple;      // with an empty response: there is none
    base::WallTime due{};    // when it is asked for next
    uint32_t failures = 0;   // in a row
    std::unique_ptr<HttpQuestion> asked;
  };
  using Entries = std::map<std::string, Entry>;

  void add(const snapshot::Record& record, Entries* entries);
  void load(Entry& entry);
  void drop_files() const;
  void go_on();
  void ask(Entry& entry);
  void take(Entry& entry, const base::Result<std::string>& answer);
  void note_failure(Entry& entry, const base::Error& error);
  base::Duration vary(base::Duration period);
  std::string path_of(const std::string& key) const;

  net::EventLoop& loop_;
  std::string folder_;
  std::function<void()> on_change_;
  std::unique_ptr<net::Resolver> resolver_;
  std::vector<std::pair<std::string, uint64_t>> prints_;  // of the resources that were read: id and hash
  Entries entries_;                                       // by the subject's key
  net::Timer timer_;
  std::minstd_rand random_;
};

}  // namespace moongate::control
