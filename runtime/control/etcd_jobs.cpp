// SPDX-License-Identifier: Apache-2.0
// The store that gateways share, as control sees it: what the Admin API writes becomes a transaction of
// etcd's between "all workers are ready" and "switch". What others write is sync_jobs.cpp's.
//
//   write ─► admin batch ─► PREPARE ... READY ─► transaction ─► kept on disk ─► SWITCH ... SWITCHED ─► answer
//                │ conflict: held until news have come, judged again ◄──┘
#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "control/control.h"
#include "control/references.h"
#include "control/times.h"
#include "metrics/labels.h"

namespace moongate::control {

using base::Result;
using base::Value;

namespace {

constexpr size_t kOperationsMax = 100;  // etcd takes 128 in a transaction unless it is told otherwise
constexpr size_t kTransactionMaxBytes = size_t{1} << 20;
constexpr auto kHeldFor = std::chrono::milliseconds(20);
constexpr auto kGiveUpAfter = std::chrono::seconds(5);

std::string unreachable_text(const std::string& fault) {
  return "has no healthy etcd endpoint available: " + fault;
}

void add_once(std::vector<EtcdCompare>& compares, EtcdCompare compare) {
  if (std::find(compares.begin(), compares.end(), compare) == compares.end())
    compares.push_back(std::move(compare));
}

/// The same for gateways that have the same of the same store.
std::string hash_of(const ResourceStore& store) {
  snapshot::Hasher hasher;
  for (const auto& [key, stored] : store.all()) {
    hasher.add(resource_name(key));
    hasher.add(stored.json);
    hasher.add(stored.modified_index);
  }
  return hasher.finish().text();
}

}  // namespace

/// Which store there is, the settings of the start say.
Result<void> Control::open_store() {
  Result<ResourceStore> resources = ResourceStore::open(start_.directory, store_folder(first_settings_.etcd));
  if (!resources) return resources.error();
  resources_.emplace(resources.take());
  return first_settings_.etcd.is_used() ? open_shared_store() : Result<void>();
}

Result<void> Control::open_shared_store() {
  auto made = EtcdStore::make(loop_, first_settings_.etcd, first_settings_.dns,
                              {[this] { on_shared_news(); }, [this] { on_shared_state(); }});
  if (!made) return made.error();
  shared_ = made.take();
  if (resources_->revision() == 0) {
    is_holding_workers_ = true;
    hold_.start(loop_.timers(), first_settings_.etcd.timeout);
  }
  return {};
}

void Control::on_shared_state() {
  if (shared_->is_reachable())
    MG_LOG(kNotice) << "etcd at " << shared_->endpoint() << " answers; what is below " << shared_->prefix()
                    << " is served from revision " << shared_->revision() << " on";
  else
    MG_LOG(kError) << "etcd is away, " << resources_->all().size()
                   << " resources serve on as they were: " << shared_->fault();
}

// ---------------------------------------------------------------- what the Admin API writes

/// Why nothing can be written now; empty when it can, or may in a moment.
std::string Control::refuse_shared_writes() const {
  const Job& job = jobs_.front();
  if (!shared_->is_reachable()) return unreachable_text(shared_->fault());
  if (!job.give_up_at || base::Clock::steady() < *job.give_up_at) return "";
  return shared_->is_watching() ? "value changed before overwritten"
                                : unreachable_text("it has not answered yet");
}

/// They are judged again when what etcd has is known here.
void Control::hold_writes() {
  Job job = take_back_job();
  if (!job.give_up_at) job.give_up_at = base::Clock::steady() + kGiveUpAfter;
  held_.push_back(std::move(job));
  if (!later_.is_running()) later_.start(loop_.timers(), kHeldFor);
  if (!jobs_.empty()) next_job_.schedule(loop_);
}

void Control::go_on_later() {
  if (!news_.empty() || recheck_.is_due()) on_shared_news();
  for (Job& job : held_) jobs_.push_back(std::move(job));
  held_.clear();
  if (!is_job_begun_ && !jobs_.empty()) next_job_.schedule(loop_);
}

std::vector<EtcdTransaction> Control::make_transactions() {
  // Were one transaction made and the next not, nothing would refer to what is not there.
  std::stable_sort(pending_.changes.begin(), pending_.changes.end(), comes_before);
  std::vector<EtcdTransaction> all(1);
  size_t bytes = 0;
  for (const StoredChange& change : pending_.changes) {
    const size_t size = change.value ? change.value->json.size() : 0;
    const size_t count = std::max(all.back().operations.size(), all.back().compares.size());
    if (!all.back().operations.empty() && (count >= kOperationsMax || bytes + size > kTransactionMaxBytes)) {
      all.emplace_back();
      bytes = 0;
    }
    bytes += size;
    add_change(change, &all.back());
  }
  // That nobody has come to refer to what goes is asked before the first is made; the store answers for ours.
  for (const EtcdTransaction& transaction : all) {
    for (const EtcdCompare& compare : std::vector(transaction.compares)) {
      if (compare.kind == EtcdCompare::Kind::kNothingNewer) add_once(all.front().compares, compare);
    }
  }
  pending_.counts.clear();
  for (const EtcdTransaction& transaction : all) pending_.counts.push_back(transaction.operations.size());
  return all;
}

/// The change, if what it was made from is still what etcd has: the resource itself, those it refers to, and
/// for a deletion that nobody has come to refer to it.
void Control::add_change(const StoredChange& change, EtcdTransaction* transaction) const {
  using Compare = EtcdCompare::Kind;
  const std::string& prefix = shared_->prefix();
  const std::string key = etcd_key(prefix, change.key);
  const StoredResource* present = resources_->find(change.key);
  if (present == nullptr)
    add_once(transaction->compares, {Compare::kAbsent, key, 0});
  else
    add_once(transaction->compares, {Compare::kUnchanged, key, present->modified_index});
  EtcdOperation operation{key, std::nullopt};
  if (!change.value) {
    const bool is_referred_to = !reference_field(change.key.first).empty();
    if (is_referred_to && pending_.batch && !is_forced(change.key))
      add_once(transaction->compares, {Compare::kNothingNewer, prefix + "/", synced_revision()});
    transaction->operations.push_back(std::move(operation));
    return;
  }
  operation.value = change.value->json;
  const uint64_t now = wall_ms();
  if (const uint64_t end = change.value->expires_at_ms; end != 0)
    operation.ttl_s = (std::max(end, now + 1) - now + 999) / 1000;
  transaction->operations.push_back(std::move(operation));
  const Result<Value> body = base::parse_json(change.value->json);
  if (!body) return;
  for (const ResourceKey& referred : references_of(change.key, *body)) {
    const bool is_changed = std::any_of(pending_.changes.begin(), pending_.changes.end(),
                                        [&](const StoredChange& other) { return other.key == referred; });
    if (!is_changed && resources_->find(referred) != nullptr)
      add_once(transaction->compares, {Compare::kPresent, etcd_key(prefix, referred), 0});
  }
}

/// Whether somebody deletes it whoever refers to it.
bool Control::is_forced(const ResourceKey& key) const {
  const auto& effects = pending_.batch->effects();
  return std::any_of(effects.begin(), effects.end(), [&](const AdminEffect& effect) {
    return effect.write->is_forced && std::any_of(effect.changes.begin(), effect.changes.end(),
                                                  [&](const auto& change) { return change.key == key; });
  });
}

void Control::on_shared_write(const SharedOutcome& outcome) {
  Result<void> stored = take_shared_outcome(outcome);
  if (stored) note_stored();
  if (round_) {
    if (stored)
      round_->begin_switch();
    else
      round_->fail(stored.error().detail);
    return on_round_progress();
  }
  if (pending_.is_conflict) return hold_writes();
  return stored ? end_writes() : refuse_writes(503, stored.error().detail);
}

Result<void> Control::take_shared_outcome(const SharedOutcome& outcome) {
  using Outcome = SharedOutcome::Kind;
  const auto refuse = [](std::string reason) {
    return base::Error{base::ErrorKind::kUnreachable, base::Side::kUpstream, false, std::move(reason)};
  };
  const bool is_partly_made = outcome.kind != Outcome::kMade && !outcome.revisions.empty();
  if (is_partly_made)
    return refuse("etcd took a part of the changes and not all: read them again before you repeat it" +
                  (outcome.reason.empty() ? "" : ": " + outcome.reason));
  if (outcome.kind == Outcome::kConflict) {
    pending_.is_conflict = true;
    return refuse("value changed before overwritten");
  }
  if (outcome.kind == Outcome::kRefused) return refuse(outcome.reason);
  if (outcome.kind == Outcome::kUnknown)
    return refuse(
        "etcd did not say whether it made the change; it may be made or not, read it again before "
        "you repeat it: " +
        outcome.reason);
  std::map<ResourceKey, uint64_t> revisions;
  size_t at = 0;
  for (size_t i = 0; i < pending_.counts.size(); i++) {
    for (size_t n = pending_.counts[i]; n > 0; n--, at++) {
      StoredChange& change = pending_.changes[at];
      const uint64_t revision = outcome.revisions[i];
      revisions[change.key] = revision;
      own_changes_[change.key] = revision;
      if (!change.value) continue;
      const StoredResource* present = resources_->find(change.key);
      change.value->created_index = present == nullptr ? revision : present->created_index;
      change.value->modified_index = revision;
      change.value->expires_at_ms = 0;  // etcd sees to it
    }
  }
  keep_news(pending_.changes);
  if (pending_.batch) pending_.batch->set_revisions(revisions);
  pending_.changes.clear();
  return {};
}

// ---------------------------------------------------------------- what is told about it

Value Control::describe_store() const {
  const auto number = [](uint64_t value) { return Value::number(static_cast<double>(value)); };
  Value value = Value::object();
  value.set("kind", Value::string(shared_ ? "etcd" : "own"));
  value.set("resources", number(resources_->all().size()));
  value.set("hash", Value::string(hash_of(*resources_)));
  if (!shared_) {
    value.set("revision", number(resources_->revision()));
    return value;
  }
  value.set("revision", number(synced_revision()));
  value.set("endpoint", Value::string(shared_->endpoint()));
  value.set("prefix", Value::string(shared_->prefix()));
  const char* state = !shared_->is_reachable() ? "away" : shared_->is_watching() ? "connected" : "connecting";
  value.set("state", Value::string(state));
  value.set("fault", shared_->fault().empty() ? Value::null() : Value::string(shared_->fault()));
  return value;
}

/// As APISIX tells of its store.
void Control::sample_store(std::vector<metrics::Sample>& samples) const {
  if (!shared_) return;
  const double is_up = shared_->is_reachable() && shared_->is_watching() ? 1 : 0;
  samples.push_back({metrics::Family::kEtcdReachable, "", is_up});
  std::map<std::string, uint64_t> newest;
  uint64_t newest_of_all = 0;
  for (const auto& [key, stored] : resources_->all()) {
    uint64_t& index = newest[std::string(config::kind_list_name(key.first))];
    index = std::max(index, stored.modified_index);
    newest_of_all = std::max(newest_of_all, stored.modified_index);
  }
  newest["max_modify_index"] = newest_of_all;
  newest["x_etcd_index"] = shared_->revision();
  for (const auto& [name, index] : newest) {
    metrics::Labels labels;
    labels.add("key", name);
    samples.push_back(
        {metrics::Family::kEtcdModifyIndexes, std::string(labels.text()), static_cast<double>(index)});
  }
}

}  // namespace moongate::control
