// SPDX-License-Identifier: Apache-2.0
// Changes of snapshots: one job after the other, each read, numbered, prepared by all workers, and switched
// to or refused.
#include <algorithm>

#include "base/log.h"
#include "control/control.h"
#include "control/references.h"
#include "control/times.h"
#include "metrics/labels.h"
#include "metrics/registry.h"
#include "snapshot/sealed_file.h"

namespace moongate::control {

using base::Result;
using base::Value;
using snapshot::MessageType;
using State = SwitchRound::State;

namespace {

constexpr int kPrepareSeconds = 10;
constexpr size_t kJobsMax = 64;
constexpr auto kSaveDelay = std::chrono::milliseconds(200);

void count_change(const metrics::Registry& registry, std::string_view result) {
  metrics::Labels labels;
  labels.add("result", result);
  registry.counter(metrics::Family::kConfigReloads, labels.text())->add();
}

void add_texts(Value& answer, std::string key, const std::vector<std::string>& texts) {
  Value& list = answer.set(std::move(key), Value::array());
  for (const std::string& text : texts) list.items().push_back(Value::string(text));
}

}  // namespace

void Control::add_job(Job job) {
  // Wishes to read the sources that have not begun are one: they would read the same.
  if (!job.rollback_to) {
    for (size_t i = is_job_begun_ ? 1 : 0; i < jobs_.size(); i++) {
      if (jobs_[i].rollback_to || jobs_[i].is_sync || !jobs_[i].writes.empty()) continue;
      if (job.is_forced) jobs_[i].reason = job.reason;
      jobs_[i].is_forced = jobs_[i].is_forced || job.is_forced;
      for (auto& answer : job.answers) jobs_[i].answers.push_back(std::move(answer));
      return;
    }
  }
  if (jobs_.size() >= kJobsMax) {
    for (const auto& answer : job.answers)
      answer(refusal({"too many changes are waiting already; try again later"}));
    return;
  }
  jobs_.push_back(std::move(job));
  if (!is_job_begun_) next_job_.schedule(loop_);
}

void Control::start_next_job() {
  if (is_job_begun_ || jobs_.empty()) return;
  is_job_begun_ = true;
  Job& job = jobs_.front();
  if (!job.writes.empty())
    run_writes(job);
  else if (job.is_sync)
    run_sync(job);
  else if (job.rollback_to)
    run_rollback(job);
  else
    run_reload(job);
}

void Control::run_reload(Job& job) {
  // What changed before now is in what is read now.
  files_.settle();
  keep_scripts(Scripts::kNone);
  LoadOptions options = load_options();
  const ResourceStore::Map stored = job.is_again ? stored_with_held() : ResourceStore::Map();
  if (job.is_again) options.stored = &stored;
  Loaded loaded = load_configuration(options);
  base::Clock::refresh();
  watch_sources(loaded);
  if (!loaded.ok()) return refuse_job(std::move(loaded.errors));
  const bool is_same =
      loaded.hash == current_.about.hash || (!job.is_forced && source_hash_ && is_as_read(loaded));
  note_sources(loaded);
  for (const std::string& warning : loaded.warnings) MG_LOG(kWarn) << warning;
  if (is_same) {
    last_error_ = {};
    is_last_good_ = false;
    if (job.is_forced)
      MG_LOG(kNotice) << job.reason << ": nothing changed, snapshot " << current_.about.number
                      << " serves on";
    Value answer = Value::object();
    answer.set("ok", Value::boolean(true));
    answer.set("changed", Value::boolean(false));
    answer.set("snapshot", Value::number(static_cast<double>(current_.about.number)));
    add_texts(answer, "warnings", loaded.warnings);
    return finish_job(answer);
  }
  Result<std::string> blob = number_blob(loaded.blob, next_number_++, job.reason);
  if (!blob) return refuse_job({blob.error().detail});
  if (!job.is_again) live_.releases().forget_all();
  start_round(blob.take());
}

/// Workers have said whose code fails. What uses it and is in quarantine in `view` stays there, and is not
/// held against the files; whether that is anything.
bool Control::hold_blamed(const snapshot::BlobView& view, const snapshot::PluginFaults& faults) {
  bool is_any = false;
  for (const snapshot::Record& record : view.records_of(snapshot::RecordKind::kQuarantined)) {
    const auto key = parse_resource_name(record.id);
    const StoredResource* stored = key ? resources_->find(*key) : nullptr;
    if (stored == nullptr || !stored->fault.empty()) continue;
    is_any = live_.releases().hold(*key, stored->json, faults) || is_any;
  }
  return is_any;
}

/// What the Admin API has made, with what workers have said of it.
ResourceStore::Map Control::stored_with_held() {
  ResourceStore::Map stored = resources_->all();
  for (const auto& [key, fault] : live_.releases().held()) {
    const auto found = stored.find(key);
    if (found != stored.end() && found->second.fault.empty()) found->second.fault = fault;
  }
  return stored;
}

/// Whether the files and their code are what they were when they were read last. Code that has come and gone
/// with what the Admin API makes is no change of theirs.
bool Control::is_as_read(const Loaded& loaded) const {
  if (loaded.file_hash != *source_hash_) return false;
  for (const auto& [path, code] : loaded.code) {
    const auto known = source_code_.find(path);
    const bool is_known = known != source_code_.end();
    if (is_known ? known->second.hash != code.hash : code.is_of_files || !serves_code(path, code.hash))
      return false;
  }
  return std::all_of(source_code_.begin(), source_code_.end(), [&](const auto& known) {
    return !known.second.is_of_files || loaded.code.count(known.first) > 0;
  });
}

bool Control::serves_code(const std::string& path, uint64_t hash) const {
  for (const auto kind : {snapshot::RecordKind::kPluginSource, snapshot::RecordKind::kLibrarySource}) {
    for (const snapshot::Record& record : current_.view.records_of(kind)) {
      if (record.place == path && record.hash == hash) return true;
    }
  }
  return false;
}

void Control::note_sources(const Loaded& loaded) {
  source_hash_ = loaded.file_hash;
  source_code_ = loaded.code;
}

LoadOptions Control::load_options() {
  LoadOptions options{start_.config_paths, start_.lua_root, &start_.make_validator, &known_};
  options.checker = &checker_;
  options.stored = &resources_->all();
  // A change of the files must not spoil what the API has made; what is spoilt already does not hold it up.
  options.is_tolerated = [this](const std::string& name) {
    return current_.view.find(snapshot::RecordKind::kQuarantined, name) != nullptr;
  };
  return options;
}

/// What the last good load read is watched on beside what a failed one got to see: the mistake may be mended
/// in either.
void Control::watch_sources(const Loaded& loaded) {
  if (loaded.ok()) {
    good_files_ = loaded.files;
    good_folders_ = loaded.folders;
  }
  std::vector<std::string> files = loaded.files;
  std::vector<std::string> folders = loaded.folders;
  files.insert(files.end(), good_files_.begin(), good_files_.end());
  folders.insert(folders.end(), good_folders_.begin(), good_folders_.end());
  files_.set(files, folders, loaded.ok() ? &loaded.stamps : nullptr);
}

/// A plugin that came with a write of the API is watched from then on.
void Control::watch_good_sources() {
  const std::vector<std::string>& added = live_.added_folders();
  if (added.empty()) return;
  good_folders_.insert(good_folders_.end(), added.begin(), added.end());
  files_.set(good_files_, good_folders_, &live_.added_stamps());
}

void Control::run_rollback(Job& job) {
  if (save_later_.is_running()) save_snapshot(base::Durability::kBuffered);
  uint64_t wanted = *job.rollback_to;
  if (wanted == 0) {
    const snapshot::StoredSnapshot* previous = store_->find_previous();
    if (previous == nullptr)
      return refuse_job({"there is no snapshot before the current one with other content"});
    wanted = previous->number;
  }
  const Result<std::string> stored = store_->load(wanted);
  if (!stored) return refuse_job({stored.error().detail});
  if (const Result<snapshot::BlobView> view = snapshot::BlobView::open(*stored)) {
    pending_.changes = changes_to(*view);
    pending_.revision = resources_->revision() + pending_.changes.size();
  }
  Result<std::string> blob =
      number_blob(*stored, next_number_++, job.reason + " to " + std::to_string(wanted));
  if (!blob) return refuse_job({blob.error().detail});
  live_.releases().forget_all();
  start_round(blob.take());
}

void Control::start_round(std::string blob) {
  Result<snapshot::Descriptor> memfd = snapshot::write_sealed_memfd(blob);
  if (!memfd) return refuse_job({memfd.error().detail});
  round_memfd_ = memfd.take();
  round_blob_ = std::move(blob);
  // Those that have not said hello get what is current when they do.
  std::vector<uint32_t> members;
  for (const auto& [index, link] : links_.all()) {
    if (link->is_open() && link->has_greeted && !is_holding_workers_) members.push_back(index);
  }
  const uint64_t number = next_number_ - 1;
  blamed_.clear();
  round_.emplace(number, members);
  round_state_seen_ = State::kPreparing;
  restart_deadline();
  for (const uint32_t index : members) {
    WorkerLink* link = links_.find(index);
    if (links_.send(*link, MessageType::kPrepare, number, round_memfd_.get())) link->preparing = number;
  }
  on_round_progress();
}

/// Code that served until now may be broken by what is new beside it: whoever uses the old is not to blame.
void Control::find_new_code() {
  new_code_.clear();
  const Result<snapshot::BlobView> tried = snapshot::BlobView::read(round_blob_);
  if (!tried) return;
  for (const snapshot::Record& record : tried->records_of(snapshot::RecordKind::kPluginSource)) {
    const snapshot::Record* served = current_.view.find(record.kind, record.id);
    if (served == nullptr || served->hash != record.hash) new_code_.emplace(record.id, "is new");
  }
}

/// What workers have said of it; of all code when none is new.
snapshot::PluginFaults Control::blamed_new_code() const {
  snapshot::PluginFaults blamed = blamed_;
  if (!new_code_.empty())
    std::erase_if(blamed, [&](const auto& fault) { return new_code_.count(fault.first) == 0; });
  return blamed;
}

void Control::restart_deadline() {
  round_deadline_.start(loop_.timers(), std::chrono::seconds(kPrepareSeconds));
}

void Control::on_round_deadline(void* self) {
  auto* control = static_cast<Control*>(self);
  if (!control->round_) return;
  control->round_->on_deadline(kPrepareSeconds);
  control->on_round_progress();
}

/// Acts on what the round has become; sending may break links and so move it on.
void Control::on_round_progress() {
  while (round_ && round_->state() != round_state_seen_) {
    round_state_seen_ = round_->state();
    if (round_state_seen_ == State::kReady) {
      round_deadline_.stop();
      const auto stored = store_pending();
      if (!stored) return;  // on_shared_write() goes on
      if (!*stored)
        round_->fail(stored->error().detail);
      else
        round_->begin_switch();
    } else if (round_state_seen_ == State::kSwitching) {
      restart_deadline();
      const std::set<uint32_t> members = round_->members();
      for (const uint32_t index : members) {
        if (WorkerLink* link = links_.find(index)) links_.send(*link, MessageType::kSwitch, round_->number());
      }
    } else if (round_state_seen_ == State::kDone) {
      return commit_round();
    } else if (round_state_seen_ == State::kRefused) {
      const std::set<uint32_t> members = round_->members();
      for (const uint32_t index : members) {
        WorkerLink* link = links_.find(index);
        if (link == nullptr) continue;
        link->preparing = 0;
        links_.send(*link, MessageType::kAbandon, round_->number());
      }
      const std::string reason = round_->reason();
      Job& job = jobs_.front();
      const bool is_invalid = round_->is_invalid();
      round_deadline_.stop();
      round_.reset();
      find_new_code();
      if (job.is_sync) return refuse_sync(is_invalid, reason);
      if (!job.writes.empty() && pending_.is_conflict) return hold_writes();
      if (!job.writes.empty()) return refuse_writes(is_invalid ? 400 : 503, reason);
      source_hash_ = snapshot::Hash128{};  // the same content may be fine at the next try
      if (!is_invalid || job.rollback_to || !hold_blamed(current_.view, blamed_)) return refuse_job({reason});
      job.is_again = true;
      is_job_begun_ = false;
      return next_job_.schedule(loop_);
    }
  }
}

void Control::commit_round() {
  const std::string oddity = round_->reason();
  round_deadline_.stop();
  round_.reset();
  // Before what served until now is let go of.
  if (jobs_.front().rollback_to) audit_rollback();
  if (auto set = set_current(std::move(round_blob_), std::move(round_memfd_)); !set)
    return refuse_job({set.error().detail});
  const bool is_of_writes = pending_.batch != nullptr || pending_.is_news;
  if (!is_of_writes)
    save_snapshot(base::Durability::kSynced);
  else if (!save_later_.is_running())  // a stream of writes must not put it off for ever
    save_later_.start(loop_.timers(), kSaveDelay);
  current_.is_stored = true;
  last_error_ = {};
  is_last_good_ = false;
  count_change(*start_.metrics, "applied");
  start_.metrics->gauge(metrics::Family::kConfigReloadTime, "")
      ->set(static_cast<int64_t>(current_.about.made_at_ms));
  const snapshot::StoredSnapshot& about = current_.about;
  if (is_of_writes) {
    live_.releases().note_taken();
    MG_LOG(kInfo) << "snapshot " << about.number << " serves (" << about.reason << ")";
    for (auto& [index, link] : links_.all()) bring_up_to_date(*link);
    watch_good_sources();
    if (pending_.is_news) return end_sync();
    return end_writes();
  }
  set_admin_access();
  MG_LOG(kNotice) << "snapshot " << about.number << " serves (" << about.reason << ", " << about.hash.text()
                  << ")";
  Value answer = Value::object();
  answer.set("ok", Value::boolean(true));
  answer.set("changed", Value::boolean(true));
  answer.set("snapshot", Value::number(static_cast<double>(about.number)));
  std::vector<std::string> warnings;
  if (const auto settings =
          config::settings_from_json(current_.view.body_of(snapshot::RecordKind::kSettings, "{}")))
    warnings = warn_about_settings(*settings);
  if (!oddity.empty()) warnings.push_back(oddity);
  for (const std::string& warning : warnings) MG_LOG(kWarn) << warning;
  add_texts(answer, "warnings", warnings);
  for (auto& [index, link] : links_.all()) bring_up_to_date(*link);
  finish_job(answer);
}

void Control::audit_rollback() {
  Result<snapshot::BlobView> to = snapshot::BlobView::open(round_blob_);
  if (to) audit_.write_rollback(jobs_.front().caller, current_.view, *to, wall_ms());
}

/// What the processes were started with cannot change under them.
std::vector<std::string> Control::warn_about_settings(const config::Settings& settings) const {
  std::vector<std::string> warnings;
  const auto compare = [&](bool is_same, const char* name) {
    if (!is_same)
      warnings.push_back(std::string("moongate.") + name + " changed; it takes effect at the next start");
  };
  compare(settings.listen == first_settings_.listen, "listen");
  compare(settings.workers == first_settings_.workers, "workers");
  compare(settings.metrics.listen == first_settings_.metrics.listen, "metrics.listen");
  compare(settings.metrics.path == first_settings_.metrics.path, "metrics.path");
  compare(settings.metrics.prefix == first_settings_.metrics.prefix, "metrics.prefix");
  compare(settings.metrics.series_max == first_settings_.metrics.series_max, "metrics.series_max");
  compare(settings.metrics.latency_buckets_ms == first_settings_.metrics.latency_buckets_ms,
          "metrics.latency_buckets");
  compare(settings.admin.listen == first_settings_.admin.listen, "admin.listen");
  compare(settings.control.listen == first_settings_.control.listen, "control.listen");
  compare(settings.script.watchdog_ms == first_settings_.script.watchdog_ms, "script.watchdog_ms");
  compare(settings.shared_memory.limiter_mb == first_settings_.shared_memory.limiter_mb,
          "shared_memory.limiter_mb");
  compare(settings.etcd == first_settings_.etcd, "etcd");
  compare(settings.tls.ticket_key_file == first_settings_.tls.ticket_key_file, "tls.ticket_key_file");
  compare(settings.shared_memory.dicts == first_settings_.shared_memory.dicts, "shared_memory.dicts");
  return warnings;
}

/// Keeps what is served for rollbacks, and for starts whose files are broken.
void Control::save_snapshot(base::Durability durability) {
  save_later_.stop();
  if (auto saved = store_->save(current_.view, durability); !saved)
    MG_LOG(kError) << "the snapshot is not kept on disk: " << saved.error().detail;
}

void Control::end_catching_up() {
  if (!is_catching_up_) return;
  is_catching_up_ = false;
  for (auto& [index, link] : links_.all()) bring_up_to_date(*link);
}

/// The job that runs has ended, and the next may begin.
Control::Job Control::take_job() {
  pending_ = {};
  is_job_begun_ = false;
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

/// The same for one that came to nothing: of its writes those are left that somebody waits for, or that are
/// our own.
Control::Job Control::take_back_job() {
  live_.forget();
  Job job = take_job();
  std::erase_if(job.writes, [](const AdminWrite& write) { return !write.answer && !write.is_expiry; });
  return job;
}

void Control::compact_store() {
  if (auto compacted = resources_->compact_if_due(); !compacted)
    MG_LOG(kError) << "the log of the resource store grows on: " << compacted.error().detail;
}

void Control::finish_job(const Value& answer) {
  // What was looked at and does not serve may have brought another keyring along.
  config::Keyring::of_process().set(current_.data_encryption);
  const Job job = take_job();
  end_catching_up();
  for (const auto& give : job.answers) give(answer);
  recheck_.begin_of_refused();
  queue_shared_news();
  if (!jobs_.empty()) next_job_.schedule(loop_);
}

void Control::refuse_job(std::vector<std::string> errors) {
  if (!jobs_.front().writes.empty()) return refuse_writes(503, errors.front());
  if (jobs_.front().is_sync) return refuse_sync(false, errors.front());
  const std::string& reason = jobs_.front().reason;
  for (const std::string& error : errors)
    MG_LOG(kError) << reason << " refused, snapshot " << current_.about.number << " serves on: " << error;
  count_change(*start_.metrics, "refused");
  last_error_ = {errors, wall_ms()};
  finish_job(refusal(errors));
}

}  // namespace moongate::control
