// SPDX-License-Identifier: Apache-2.0
// Writes of the Admin API as jobs of control: those that wait become one change of snapshots, each with its
// own verdict.
//
//   write ─► batch ─► PREPARE ... READY ─► store, synced ─► SWITCH ... SWITCHED ─► answers, audit log
//              │ wrong: answered at once            │ cannot be stored: nobody switches
#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/log.h"
#include "config/merge.h"
#include "config/source.h"
#include "control/control.h"
#include "control/plugin_sources.h"
#include "control/references.h"
#include "control/times.h"

namespace moongate::control {

using base::Result;
using base::Value;

namespace {

constexpr size_t kWritesMax = 256;       // in one change of snapshots
constexpr size_t kSharedWritesMax = 30;  // of these; they are to be one transaction of etcd's
constexpr size_t kWaitingMax = 1024;
constexpr size_t kWaitingMaxBytes = size_t{32} << 20;
constexpr auto kExpiryPeriod = std::chrono::milliseconds(500);

bool is_alone(const AdminWrite& write) { return write.verb == AdminWrite::Verb::kReplaceAll; }

}  // namespace

void Control::add_write(AdminWrite write) {
  size_t count = 0;
  size_t bytes = write.size_bytes;
  for (const Job& job : jobs_) {
    count += job.writes.size();
    for (const AdminWrite& waiting : job.writes) bytes += waiting.size_bytes;
  }
  if (count >= kWaitingMax || bytes > kWaitingMaxBytes)
    return write.give(admin_error(503, "too many changes are waiting already; try again later"));
  // A job that has not begun takes more; one that is under way does not.
  if (jobs_.size() > (is_job_begun_ ? 1 : 0)) {
    Job& last = jobs_.back();
    const size_t writes_max = shared_ ? kSharedWritesMax : kWritesMax;
    const bool takes_more = !last.writes.empty() && last.writes.size() < writes_max && !last.is_single &&
                            !is_alone(write) && !is_alone(last.writes.front());
    if (takes_more) {
      last.writes.push_back(std::move(write));
      return;
    }
  }
  Job job;
  job.reason = "Admin API";
  job.writes.push_back(std::move(write));
  jobs_.push_back(std::move(job));
  if (!is_job_begun_) next_job_.schedule(loop_);
}

/// Of all Lua states in a process one has the CPU budget, the first; and what the natives act on is the last.
/// So there is never more than one that lives on from question to question, and none while files are read.
void Control::keep_scripts(Scripts kept) {
  if (kept != Scripts::kChanges) live_.forget_validator();
  if (kept != Scripts::kSchemas) catalog_.forget();
}

/// In a single process the worker's state must be the only one when it runs.
void Control::end_scripts() {
  if (!supervisor_.is_open()) keep_scripts(Scripts::kNone);
}

/// What is written after a rollback does not end it.
std::string Control::rollback_words() const {
  const std::string& reason = current_.about.reason;
  return reason.starts_with("rollback") ? reason.substr(0, reason.find(',')) + ", " : "";
}

void Control::run_writes(Job& job) {
  if (shared_) {
    if (const std::string refusal = refuse_shared_writes(); !refusal.empty())
      return refuse_writes(503, refusal);
    if (!shared_->is_watching()) return hold_writes();
  }
  keep_scripts(Scripts::kChanges);
  if (auto begun = live_.begin(current_.view, resources_->all()); !begun) {
    end_scripts();
    return refuse_writes(503, begun.error().detail);
  }
  base::Clock::refresh();
  const uint64_t revision = shared_ ? shared_->revision() : resources_->revision();
  pending_.batch = std::make_unique<AdminBatch>(*resources_, live_, wall_ms(), revision);
  for (AdminWrite& write : job.writes) {
    auto refusal = pending_.batch->add(write);
    if (!refusal) continue;
    if (is_alone(write)) live_.forget();
    write.give(std::move(*refusal));
    write.answer = nullptr;
  }
  base::Clock::refresh();
  if (pending_.batch->effects().empty()) {
    end_scripts();
    return end_writes();
  }
  pending_.changes = pending_.batch->stored_changes();
  pending_.revision = pending_.batch->revision();
  const AdminEffect& first = pending_.batch->effects().front();
  std::string reason = rollback_words() + first.write->actor;
  if (!first.changes.empty()) reason += ": " + resource_name(first.changes.front().key);
  if (pending_.batch->effects().size() > 1)
    reason += " and " + std::to_string(pending_.batch->effects().size() - 1) + " more";
  Result<std::string> blob = live_.finish({next_number_, wall_ms(), reason});
  end_scripts();
  if (!blob) return refuse_writes(503, blob.error().detail);
  const Result<snapshot::BlobView> made = snapshot::BlobView::begin(*blob);
  if (made && made->hash() == current_.about.hash) {
    // Nothing that a worker would see has changed: only times and revisions.
    const auto stored = store_pending();
    if (!stored) return;  // on_shared_write() goes on
    return *stored ? end_writes() : refuse_writes(503, stored->error().detail);
  }
  next_number_++;
  job.reason = reason;
  start_round(blob.take());
}

/// What all workers are ready for, and nobody serves yet, is made to last. Nothing while etcd is asked to.
std::optional<Result<void>> Control::store_pending() {
  if (pending_.changes.empty()) return Result<void>();
  if (pending_.is_news) {
    keep_news(pending_.changes);
    return Result<void>();
  }
  if (shared_) {
    shared_->write(make_transactions(), [this](const SharedOutcome& outcome) { on_shared_write(outcome); });
    return std::nullopt;
  }
  auto stored = resources_->append(pending_.changes, pending_.revision,
                                   round_ ? round_->number() : current_.about.number);
  pending_.changes.clear();
  if (stored) note_stored();
  return stored;
}

/// Whoever does not wait for the workers has their answer.
void Control::note_stored() {
  if (!pending_.batch) return;
  for (const AdminEffect& effect : pending_.batch->effects()) {
    if (!effect.write->is_waiting) effect.write->give(effect.response);
  }
}

/// All are made and served.
void Control::end_writes() {
  const std::unique_ptr<AdminBatch> batch = std::move(pending_.batch);
  const Job job = take_job();  // first: an answer may bring the next write
  if (batch) {
    for (const AdminEffect& effect : batch->effects()) {
      audit_.write(effect, current_.about.number, wall_ms());
      const bool is_waiting = effect.write->is_waiting || effect.changes.empty();
      if (is_waiting) effect.write->give(effect.response);
    }
  }
  compact_store();
  queue_shared_news();
  if (!jobs_.empty()) next_job_.schedule(loop_);
}

/// A worker does not take the change. Who of several is to blame, and is not named, is found by trying them
/// one by one.
void Control::refuse_writes(uint16_t status, const std::string& reason) {
  const bool is_again = status == 400 && set_blamed_aside(reason);
  Job job = take_back_job();
  if (is_again) {
    if (!job.writes.empty()) jobs_.push_front(std::move(job));
  } else if (job.writes.size() > 1 && status == 400) {
    try_apart(std::move(job));
  } else {
    MG_LOG(kError) << "a change by the Admin API is refused, snapshot " << current_.about.number
                   << " serves on: " << reason;
    for (const AdminWrite& write : job.writes) write.give(admin_error(status, reason));
  }
  if (!jobs_.empty()) next_job_.schedule(loop_);
}

/// In their order, those that bring code one by one and the others in between together; all one by one when
/// none brings any.
void Control::try_apart(Job job) {
  const bool is_any_suspect = std::any_of(job.writes.begin(), job.writes.end(),
                                          [](const AdminWrite& write) { return write.brings_code; });
  std::vector<Job> apart;
  for (AdminWrite& write : job.writes) {
    const bool joins =
        is_any_suspect && !write.brings_code && !apart.empty() && !apart.back().writes.front().brings_code;
    if (!joins) {
      Job& next = apart.emplace_back();
      next.reason = job.reason;
      next.is_single = true;
    }
    apart.back().writes.push_back(std::move(write));
  }
  jobs_.insert(jobs_.begin(), std::make_move_iterator(apart.begin()), std::make_move_iterator(apart.end()));
}

/// Refuses the writes whose plugins the worker has named, and keeps out what only came out of quarantine
/// beside them. Whether the rest is to be tried again.
bool Control::set_blamed_aside(const std::string& reason) {
  const snapshot::PluginFaults blamed = blamed_new_code();
  bool is_any = live_.releases().blame(blamed);
  for (const AdminEffect& effect : pending_.batch->effects()) {
    std::string fault;
    bool brings_code = false;
    for (const AdminEffect::Change& change : effect.changes) {
      if (change.after.empty()) continue;
      if (fault.empty()) fault = find_plugin_fault(change.key, change.after, blamed);
      brings_code = brings_code || !find_plugin_fault(change.key, change.after, new_code_).empty();
    }
    for (AdminWrite& write : jobs_.front().writes) {
      if (&write != effect.write) continue;
      write.brings_code = brings_code;
      // What control does by itself stays in the job: set aside, it would be tried again without end.
      if (fault.empty() || !write.answer) continue;
      MG_LOG(kError) << "a change by the Admin API is refused: " << fault;
      write.give(admin_error(400, fault));
      write.answer = nullptr;
      is_any = true;
    }
  }
  return is_any || live_.releases().doubt(reason);
}

/// `moongate apply`: the lists of a file, as one write.
void Control::apply_file(const Value& request, const CommandServer::Answer& answer) {
  Result<config::Source> source = config::Source::load({std::string(request.get_string("path"))}, {});
  if (!source) return answer(refusal({source.error().detail}));
  AdminWrite write;
  write.verb = AdminWrite::Verb::kReplaceAll;
  write.body = source->take_root();
  write.keeps_others = !request.get_bool("prune", false);
  write.is_waiting = request.get_bool("wait", false);
  write.actor = "apply";
  write.answer = [answer](const HttpResponse& response) {
    if (response.status < 300) {
      Value done = Value::object();
      done.set("ok", Value::boolean(true));
      return answer(done);
    }
    const Result<Value> body = base::parse_json(response.body);
    answer(refusal({body ? std::string(body->get_string("error_msg")) : response.body}));
  };
  add_write(std::move(write));
}

/// Objects made with `?ttl=` go when their time is over.
void Control::expire_resources() {
  const uint64_t now = wall_ms();
  for (const auto& [key, stored] : resources_->all()) {
    if (stored.expires_at_ms == 0 || stored.expires_at_ms > now) continue;
    const bool is_waiting = std::any_of(jobs_.begin(), jobs_.end(), [&, &key = key](const Job& job) {
      return std::any_of(job.writes.begin(), job.writes.end(), [&](const AdminWrite& write) {
        return write.is_expiry && write.target.id == key.second && write.target.resource->kind == key.first;
      });
    });
    if (is_waiting) continue;
    AdminWrite write;
    write.verb = AdminWrite::Verb::kDelete;
    write.target.resource = &admin_resource(key.first);
    write.target.id = key.second;
    if (config::find_owned(key.first) != nullptr) write.target.parent = config::owner_id(key.second);
    write.is_forced = write.is_expiry = true;
    write.actor = "ttl";
    add_write(std::move(write));
  }
  expiry_.start(loop_.timers(), kExpiryPeriod);
}

/// A snapshot of the past brings back what the API had made then.
std::vector<StoredChange> Control::changes_to(const snapshot::BlobView& past) const {
  std::vector<StoredChange> changes;
  uint64_t revision = resources_->revision();
  std::set<ResourceKey> there;
  // Of what could not be served, then or now, a snapshot has a stand-in or nothing: no word about the store.
  const auto is_quarantined = [&](const ResourceKey& key) {
    const StoredResource* present = resources_->find(key);
    return (present != nullptr && !present->fault.empty()) ||
           past.find(snapshot::RecordKind::kQuarantined, resource_name(key)) != nullptr;
  };
  for (const snapshot::Record& record : past.records()) {
    const config::Kind* kind = snapshot::resource_kind(record.kind);
    if (kind == nullptr || record.place != kStoredPlace) continue;
    const ResourceKey key{*kind, std::string(record.id)};
    there.insert(key);
    if (is_quarantined(key)) continue;
    const StoredResource* present = resources_->find(key);
    const Result<config::Resource> now = present == nullptr ? Result<config::Resource>(base::invalid("gone"))
                                                            : make_resource(key, present->json);
    Result<Value> value = base::parse_json(record.body);
    if (!value) continue;
    config::unmark(&*value);
    if (now && now->body == *value) continue;
    Value stored = value_of_file(key, value.take());
    if (key.first != config::Kind::kPluginMetadata) {
      const uint64_t whole = wall_ms() / 1000;
      const auto seconds = static_cast<double>(whole);
      stored.set("create_time", Value::number(seconds));
      stored.set("update_time", Value::number(seconds));
    }
    revision++;
    const uint64_t created = present == nullptr ? revision : present->created_index;
    changes.push_back({key, StoredResource{base::to_json(stored), created, revision, 0}});
  }
  for (const auto& [key, stored] : resources_->all()) {
    if (there.count(key) == 0 && !is_quarantined(key)) changes.push_back({key, std::nullopt});
  }
  return changes;
}

HttpResponse Control::validate_all(const Value& body) {
  Value errors = Value::array();
  keep_scripts(Scripts::kChanges);
  if (auto begun = live_.begin(current_.view, resources_->all()); !begun)
    return admin_error(503, begun.error().detail);
  for (const auto& [name, list] : body.members()) {
    const AdminResource* resource = find_admin_resource(name);
    if (resource == nullptr || !list.is_array()) continue;
    std::set<std::string> ids;
    for (size_t i = 0; i < list.items().size(); i++) {
      const Value& item = list.items()[i];
      const std::string id = config::id_of(item);
      const auto key = parse_resource_name(std::string(name).append("/").append(id));
      const bool is_new = ids.insert(id).second;
      std::vector<std::string> warnings;
      const Result<void> put = is_new ? live_.put(*key, base::to_json(value_of_file(*key, item)), &warnings)
                                      : Result<void>(base::invalid(describe_duplicate(*key, name)));
      if (put) continue;
      Value error = Value::object();
      error.set("resource_type", Value::string(name));
      error.set("resource_id", Value::string(id));
      error.set("index", Value::number(static_cast<double>(i)));
      error.set("error", Value::string(put.error().detail));
      errors.items().push_back(std::move(error));
    }
  }
  live_.forget();
  end_scripts();
  if (errors.items().empty()) return {200, "application/json", "{}\n", {}};
  Value answer = Value::object();
  answer.set("error_msg", Value::string("Configuration validation failed"));
  answer.set("errors", std::move(errors));
  return {400, "application/json", base::to_json(answer) + "\n", {}};
}

}  // namespace moongate::control
