// SPDX-License-Identifier: Apache-2.0
// What others write to the store that gateways share: news become changes of snapshots, one after the other.
//
//   watch ─► news ─► a few: sync batch; many: a load of all ─► PREPARE ... READY ─► kept on disk ─► SWITCH
//                         │ a resource is wrong: quarantined, a stand-in serves
#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "control/control.h"
#include "control/plugin_sources.h"
#include "control/references.h"
#include "control/times.h"

namespace moongate::control {

using base::Result;
using config::Kind;

namespace {

constexpr size_t kNewsMax = 100;  // more are judged by a load of everything
constexpr auto kJudgedFor = std::chrono::milliseconds(100);
constexpr auto kSyncRetry = std::chrono::seconds(1);

bool is_same(const StoredResource& a, const StoredResource& b) {
  return a.modified_index == b.modified_index && a.created_index == b.created_index && a.json == b.json;
}

FindJson json_in(const ResourceStore::Map& resources) {
  return [&resources](const ResourceKey& key) {
    const auto found = resources.find(key);
    return found == resources.end() ? std::string() : found->second.json;
  };
}

}  // namespace

void Control::on_shared_news() {
  const auto is_waiting = [&](const Job& job) {
    return job.is_sync && job.news.empty() && !(is_job_begun_ && &job == &jobs_.front());
  };
  if (std::any_of(jobs_.begin(), jobs_.end(), is_waiting)) return;
  Job job;
  job.reason = "etcd";
  job.is_sync = true;
  jobs_.push_back(std::move(job));
  if (!is_job_begun_) next_job_.schedule(loop_);
}

/// After a change of something else: what was wrong may be right now.
void Control::queue_shared_news() {
  if (!shared_) return;
  begin_recheck();
  if (shared_->has_news() || !news_.empty() || recheck_.is_due()) on_shared_news();
}

void Control::begin_recheck() {
  recheck_.begin();
  if (current_.quarantined.empty()) recheck_.end();
}

void Control::take_shared_news() {
  if (!shared_->has_news()) return;
  const SharedNews news = shared_->take_news();
  is_synced_ = false;
  if (news.is_whole) {
    for (const auto& [key, stored] : resources_->all()) {
      if (news.changes.count(key) == 0) note_shared_change(key, {std::nullopt, news.revision});
    }
  }
  for (const auto& [key, change] : news.changes) note_shared_change(key, change);
  std::erase_if(own_changes_, [&](const auto& own) { return own.second <= news.revision; });
  std::stable_sort(news_.begin(), news_.end(), comes_before);
}

void Control::note_shared_change(const ResourceKey& key, const SharedChange& change) {
  // A transaction of our own is known here before the watch has told of what was before it.
  recheck_.refused.erase(key);
  const auto own = own_changes_.find(key);
  if (own != own_changes_.end() && own->second >= change.revision) return;
  const StoredResource* present = resources_->find(key);
  const bool is_known =
      change.value ? present != nullptr && is_same(*present, *change.value) : present == nullptr;
  if (is_known) return;
  const bool is_too_much = change.value && present == nullptr &&
                           resources_->all().size() + news_.size() >= ResourceStore::kResourcesMax;
  if (is_too_much)
    MG_LOG(kError) << resource_name(key) << " is left out: there are " << ResourceStore::kResourcesMax
                   << " resources already";
  else
    news_.push_back({key, change.value});
}

void Control::run_sync(Job& job) {
  const bool is_retry = !job.news.empty();
  if (!is_retry && news_.empty()) take_shared_news();
  if (!is_retry && news_.size() > kNewsMax && run_whole_sync(job)) return;
  if (!is_retry) job.news.swap(news_);
  if (!job.news.empty()) begin_recheck();
  if (current_.quarantined.empty()) recheck_.end();
  if (job.news.empty() && !recheck_.is_due()) return end_sync();
  recheck_.begin_job();
  keep_scripts(Scripts::kChanges);
  if (auto begun = live_.begin(current_.view, resources_->all()); !begun) {
    end_scripts();
    return refuse_sync(false, begun.error().detail);
  }
  SyncBatch batch(*resources_, live_);
  judge_news(job, is_retry, &batch);
  pending_.changes = batch.changes();
  pending_.is_news = true;
  if (pending_.changes.empty()) {
    end_scripts();
    live_.forget();
    return end_sync();
  }
  job.reason = sync_reason();
  Result<std::string> blob = live_.finish({next_number_, wall_ms(), job.reason});
  end_scripts();
  if (!blob) return refuse_sync(false, blob.error().detail);
  const Result<snapshot::BlobView> made = snapshot::BlobView::begin(*blob);
  if (made && made->hash() == current_.about.hash) {
    keep_news(pending_.changes);
    return end_sync();
  }
  next_number_++;
  start_round(blob.take());
}

/// As many as a moment allows; the others wait for the next change of snapshots.
void Control::judge_news(Job& job, bool is_retry, SyncBatch* batch) {
  const auto until = base::Clock::steady_now() + kJudgedFor;
  size_t count = 0;
  while (count < job.news.size() && (is_retry || count == 0 || base::Clock::steady_now() < until))
    batch->add(job.news[count++]);
  const auto rest = job.news.begin() + static_cast<std::ptrdiff_t>(count);
  news_.insert(news_.begin(), std::make_move_iterator(rest), std::make_move_iterator(job.news.end()));
  job.news.erase(rest, job.news.end());
  // What is tried again after a refusal is to be blamed for nothing but itself.
  if (!is_retry) judge_again(batch);
  base::Clock::refresh();
}

/// Some of what is in quarantine; the rest in jobs to come. Whatever is right again may be what others lack,
/// so that they are all judged once more.
void Control::judge_again(SyncBatch* batch) {
  recheck_.job_count = std::exchange(recheck_.count, Recheck::kCountMax);
  recheck_.job_next = batch->recheck(recheck_);
  recheck_.go_on(recheck_.job_next);
  if (batch->has_mended()) recheck_.begin();
}

/// What was right again is not served after all. Fewer at a time tell which of them a worker refuses; that
/// one stays as it was until something changes again.
void Control::take_back_recheck(bool is_invalid) {
  recheck_.passes = recheck_.job_passes;
  recheck_.is_of_refused = recheck_.is_job_of_refused;
  if (is_invalid && recheck_.job_count == 1) return recheck_.go_on(recheck_.job_next);
  recheck_.from = recheck_.job_from;
  if (is_invalid) recheck_.count = std::max<size_t>(1, recheck_.job_count / 2);
}

/// Each refusal puts one at least aside. More of them than there are would keep every other change waiting.
void Control::bound_recheck(const Job& job) {
  if (++recheck_.refusals <= current_.quarantined.size() + job.news.size() + 1) return;
  MG_LOG(kError) << "what is in quarantine is not judged again before the next change: workers have refused "
                 << recheck_.refusals << " snapshots in a row";
  recheck_.end();
  recheck_.refusals = 0;
}

std::string Control::sync_reason() const {
  std::string reason = rollback_words() + "etcd: " + resource_name(pending_.changes.front().key);
  if (pending_.changes.size() > 1) reason += " and " + std::to_string(pending_.changes.size() - 1) + " more";
  return reason;
}

/// Many at once: a load of everything judges ten thousand resources in the time that a hundred take one by
/// one. False where that is not possible: the files were rolled back, are wrong, or are to be loaded anyway.
bool Control::run_whole_sync(Job& job) {
  if (!rollback_words().empty()) return false;
  recheck_.begin_job();
  ResourceStore::Map wanted = wanted_resources();
  LoadOptions options = load_options();
  options.stored = &wanted;
  options.is_tolerated = [](const std::string&) { return true; };
  keep_scripts(Scripts::kNone);
  Loaded loaded;
  std::map<ResourceKey, size_t> tries;
  do {
    loaded = load_configuration(options);
    base::Clock::refresh();
    if (!loaded.ok()) return false;
  } while (close_wrong(loaded, &wanted, &tries));
  if (!source_hash_ || loaded.file_hash != *source_hash_) return false;
  pending_.is_news = true;
  for (const auto& [key, value] : wanted) {
    const StoredResource* present = resources_->find(key);
    if (present == nullptr || *present != value) pending_.changes.push_back({key, value});
  }
  for (const auto& [key, value] : resources_->all()) {
    if (wanted.count(key) == 0) pending_.changes.push_back({key, std::nullopt});
  }
  job.news.assign(news_.begin(), news_.end());
  news_.clear();
  recheck_.begin();
  if (pending_.changes.empty() || loaded.hash == current_.about.hash) {
    keep_news(pending_.changes);
    end_sync();
    return true;
  }
  job.reason = sync_reason();
  live_.releases().begin();  // nothing comes out beside what is loaded
  Result<std::string> blob = number_blob(loaded.blob, next_number_++, job.reason);
  if (!blob)
    refuse_sync(false, blob.error().detail);
  else
    start_round(blob.take());
  return true;
}

/// What was there and what is news; what was wrong may be right now.
ResourceStore::Map Control::wanted_resources() const {
  ResourceStore::Map wanted = resources_->all();
  for (auto& [key, value] : wanted) {
    const bool is_refused = value.fault.starts_with(kRefusedByWorker) && !recheck_.is_of_refused;
    if (value.json.empty() || is_refused) continue;
    // One that was mended meanwhile has no fault any more.
    const auto refused = recheck_.refused.find(key);
    if (!value.fault.empty() && refused != recheck_.refused.end()) {
      value.fault = refused->second;
      continue;
    }
    value.fault.clear();
    value.stand_in.clear();
  }
  for (const StoredChange& change : news_) {
    if (!change.value) {
      wanted.erase(change.key);
      continue;
    }
    StoredResource& value = wanted[change.key] = *change.value;
    const snapshot::Record* record =
        current_.view.find(snapshot::record_kind(change.key.first), change.key.second);
    if (value.fault.empty()) continue;
    const std::string before(record == nullptr ? "" : record->body);
    for (std::string& candidate : stand_ins(change.key, value.json, before, json_in(wanted))) {
      if (value.stand_in.empty()) value.stand_in = std::move(candidate);
    }
  }
  return wanted;
}

/// Gives what a load found to be wrong its next stand-in; true when there was any.
bool Control::close_wrong(const Loaded& loaded, ResourceStore::Map* wanted,
                          std::map<ResourceKey, size_t>* tries) const {
  const Result<snapshot::BlobView> view = snapshot::BlobView::open(loaded.blob);
  if (!view) return false;
  for (const snapshot::Record& record : view->records_of(snapshot::RecordKind::kQuarantined)) {
    const auto key = parse_resource_name(record.id);
    const auto found = key ? wanted->find(*key) : wanted->end();
    if (found != wanted->end() && found->second.fault.empty()) found->second.fault = record.body;
  }
  bool is_any = false;
  for (const std::string& name : loaded.wrong) {
    const auto key = parse_resource_name(name);
    const auto found = key ? wanted->find(*key) : wanted->end();
    const bool is_given_up =
        found == wanted->end() || (tries->count(*key) > 0 && found->second.stand_in.empty());
    if (is_given_up) continue;
    is_any = true;
    const snapshot::Record* record = current_.view.find(snapshot::record_kind(key->first), key->second);
    const auto candidates = stand_ins(*key, found->second.json,
                                      record == nullptr ? "" : std::string(record->body), json_in(*wanted));
    size_t& next = (*tries)[*key];
    while (next < candidates.size() && candidates[next].empty()) next++;
    found->second.stand_in = next < candidates.size() ? candidates[next++] : "";
  }
  return is_any;
}

/// etcd has them; the disk has them for a start without it, and one that is full stops nothing.
void Control::keep_news(const std::vector<StoredChange>& changes) {
  for (const StoredChange& change : changes) {
    const StoredResource* before = resources_->find(change.key);
    const bool is_new = change.value && !change.value->fault.empty() &&
                        (before == nullptr || before->fault != change.value->fault);
    if (is_new) MG_LOG(kError) << resource_name(change.key) << " is quarantined: " << change.value->fault;
  }
  const uint64_t snapshot = round_ ? round_->number() : current_.about.number;
  const auto kept = resources_->append(changes, resources_->revision() + 1, snapshot);
  if (kept) return;
  MG_LOG(kError) << "what etcd has is not kept for a start without it: " << kept.error().detail;
  resources_->take(changes);
}

void Control::end_sync() {
  take_job();
  recheck_.end_job();
  compact_store();
  const bool is_more = !news_.empty() || std::any_of(jobs_.begin(), jobs_.end(),
                                                     [](const Job& job) { return !job.news.empty(); });
  is_synced_ = !is_more;
  synced_revision_ = synced_revision();
  if (synced_revision_ != 0) end_hold();
  if (!news_.empty() || shared_->has_news() || recheck_.is_due()) on_shared_news();
  if (!jobs_.empty()) next_job_.schedule(loop_);
}

/// Workers have said whose code fails: all that is new and uses it is at fault, in one go. Whether that is
/// anything, so that the job is to be tried again.
bool Control::blame_plugins(const std::vector<StoredChange>& changes, Job* job) {
  const snapshot::PluginFaults blamed = blamed_new_code();
  bool is_any = live_.releases().blame(blamed);
  const auto fault_of = [&](const StoredChange& change) {
    const bool is_right = change.value && change.value->fault.empty();
    std::string fault = is_right ? find_plugin_fault(change.key, change.value->json, blamed) : "";
    return fault.empty() ? fault : std::string(kRefusedByWorker) + fault;
  };
  std::set<ResourceKey> news;
  for (StoredChange& change : job->news) {
    news.insert(change.key);
    const std::string fault = fault_of(change);
    if (fault.empty()) continue;
    change.value->fault = fault;
    is_any = true;
  }
  for (const StoredChange& change : changes) {
    const std::string fault = fault_of(change);
    if (fault.empty() || news.count(change.key) > 0) continue;
    recheck_.refused[change.key] = fault;
    is_any = true;
  }
  if (is_any && job->news.size() > kNewsMax) {
    news_.insert(news_.begin(), job->news.begin(), job->news.end());
    job->news.clear();
  }
  return is_any;
}

/// What was judged again alone, and alone is to blame: its fault is what the worker says, not what it was.
void Control::blame_rechecked(const std::vector<StoredChange>& changes, const std::string& reason) {
  if (recheck_.job_count != 1 || changes.size() != 1 || !changes.front().value) return;
  const StoredResource* present = resources_->find(changes.front().key);
  const std::string fault = std::string(kRefusedByWorker) + reason;
  // Once: workers may put the same refusal in other words each time.
  if (present == nullptr || present->fault.starts_with(kRefusedByWorker)) return;
  if (!changes.front().value->fault.empty()) return;
  Job job;
  job.reason = "etcd";
  job.is_sync = true;
  job.news = changes;
  job.news.front().value->fault = fault;
  jobs_.push_front(std::move(job));
}

/// A worker does not take the snapshot: who of several is to blame, and is not named, is found by halving
/// them.
void Control::refuse_sync(bool is_invalid, const std::string& reason) {
  const std::vector<StoredChange> changes = std::move(pending_.changes);
  const bool has_rechecked = recheck_.job_count > 0;
  Job job = take_back_job();
  const auto try_again_later = [&] {
    news_.insert(news_.begin(), job.news.begin(), job.news.end());
    later_.start(loop_.timers(), kSyncRetry);
  };
  if (is_invalid && (blame_plugins(changes, &job) || live_.releases().doubt(reason))) {
    take_back_recheck(false);
    bound_recheck(job);
    jobs_.push_front(std::move(job));
  } else if (!is_invalid || job.news.empty()) {
    MG_LOG(kError) << "what etcd has changed is not served yet, snapshot " << current_.about.number
                   << " serves on: " << reason;
    take_back_recheck(is_invalid);
    try_again_later();
    if (is_invalid) blame_rechecked(changes, reason);
  } else if (has_rechecked) {
    // What was judged again beside the news may be to blame: they are tried alone.
    take_back_recheck(false);
    jobs_.push_front(std::move(job));
  } else if (job.news.size() > 1) {
    Job second = job;
    const auto middle = static_cast<std::ptrdiff_t>(job.news.size() / 2);
    job.news.erase(job.news.begin() + middle, job.news.end());
    second.news.erase(second.news.begin(), second.news.begin() + middle);
    jobs_.push_front(std::move(second));
    jobs_.push_front(std::move(job));
  } else if (auto& value = job.news.front().value; value && value->fault.empty()) {
    value->fault = std::string(kRefusedByWorker) + reason;
    jobs_.push_front(std::move(job));
  } else {
    MG_LOG(kError) << resource_name(job.news.front().key)
                   << " is as it was here and is tried again: " << reason;
    try_again_later();
  }
  if (!jobs_.empty()) next_job_.schedule(loop_);
}

/// Up to which nothing that etcd has is missing here, whoever wrote it.
uint64_t Control::synced_revision() const {
  return is_synced_ && !shared_->has_news() ? shared_->watched_revision() : synced_revision_;
}

/// All that etcd has is there, or it took too long.
void Control::end_hold() {
  if (!std::exchange(is_holding_workers_, false)) return;
  if (!hold_.is_running())
    MG_LOG(kError) << "nothing was ever read from etcd; what the files have is served alone"
                   << (shared_->fault().empty() ? "" : ": ") << shared_->fault();
  hold_.stop();
  for (auto& [index, link] : links_.all()) bring_up_to_date(*link);
}

}  // namespace moongate::control
