// SPDX-License-Identifier: Apache-2.0
// What control answers: commands on its socket, pages on the metrics address.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "control/control.h"
#include "control/metrics_page.h"
#include "control/metrics_summary.h"
#include "control/snapshot_diff.h"
#include "control/times.h"

namespace moongate::control {

using base::Value;
using snapshot::MessageType;

namespace {

Value number(uint64_t value) { return Value::number(static_cast<double>(value)); }

Value texts(const std::vector<std::string>& list) {
  Value value = Value::array();
  for (const std::string& text : list) value.items().push_back(Value::string(text));
  return value;
}

Value describe(const snapshot::StoredSnapshot& about) {
  Value value = Value::object();
  value.set("number", number(about.number));
  value.set("hash", Value::string(about.hash.text()));
  value.set("time", Value::string(time_text(about.made_at_ms)));
  value.set("reason", Value::string(about.reason));
  return value;
}

base::Error not_kept(std::string detail) {
  return {base::ErrorKind::kNotFound, base::Side::kClient, false, std::move(detail)};
}

Value accepted() {
  Value value = Value::object();
  value.set("ok", Value::boolean(true));
  return value;
}

}  // namespace

void Control::on_command(const std::string& command, const Value& request,
                         const CommandServer::Answer& answer) {
  // Who asks what serves may look for it on disk next.
  if (save_later_.is_running()) save_snapshot(base::Durability::kBuffered);
  if (command == "status") return answer(status());
  if (command == "snapshots") return answer(list_snapshots());
  if (command == "history") return answer(list_history());
  if (command == "apply") return apply_file(request, answer);
  if (command == "reload") return add_job({std::nullopt, "reload", true, {answer}, {}});
  if (command == "stop") {
    answer(accepted());
    return tell_supervisor(MessageType::kStop, request.get_bool("now", false) ? 1 : 0);
  }
  if (command == "reopen") {
    answer(accepted());
    return tell_supervisor(MessageType::kReopenAllLogs);
  }
  if (command == "rollback") {
    const double wanted = request.get_number("number", 0);
    if (!(wanted >= 0) || wanted != std::floor(wanted) || wanted > 9e15)
      return answer(refusal({"`number` is not the number of a snapshot"}));
    return add_job({.rollback_to = static_cast<uint64_t>(wanted),
                    .reason = "rollback",
                    .is_forced = true,
                    .answers = {answer},
                    .caller = {"rollback", ""}});
  }
  answer(refusal({"unknown command `" + command +
                  "`; known are apply, reload, rollback, snapshots, status, stop and reopen"}));
}

Value Control::status() const {
  const auto uptime =
      std::chrono::duration_cast<std::chrono::seconds>(base::Clock::wall() - start_.started_at).count();
  Value value = Value::object();
  value.set("ok", Value::boolean(true));
  value.set("version", Value::string(start_.version));
  value.set("uptime_s", Value::number(static_cast<double>(uptime)));
  value.set("pid", number(static_cast<uint64_t>(supervisor_.is_open() ? ::getppid() : ::getpid())));
  value.set("control_pid", number(static_cast<uint64_t>(::getpid())));
  value.set("directory", Value::string(start_.directory));
  Value& workers = value.set("workers", Value::array());
  for (uint32_t i = 0; i < std::max<uint32_t>(start_.worker_count, 1); i++)
    workers.items().push_back(describe_worker(i));
  value.set("snapshot", describe(current_.about));
  value.set("is_last_good", Value::boolean(is_last_good_));
  if (last_error_.texts.empty()) {
    value.set("last_error", Value::null());
  } else {
    Value& error = value.set("last_error", Value::object());
    error.set("time", Value::string(time_text(last_error_.at_ms)));
    error.set("errors", texts(last_error_.texts));
  }
  Value& listen = value.set("listen", Value::object());
  listen.set("proxy", texts(start_.addresses));
  listen.set("metrics",
             start_.metrics_address.empty() ? Value::null() : Value::string(start_.metrics_address));
  listen.set("admin", start_.admin_address.empty() ? Value::null() : Value::string(start_.admin_address));
  value.set("store", describe_store());
  value.set("quarantined", texts(current_.quarantined));
  value.set("quarantined_plugins", texts(quarantined_plugins(*start_.processes)));
  value.set("health", health_.summarize());
  value.set("acme", acme_.describe());
  return value;
}

Value Control::describe_worker(uint32_t index) const {
  const shm::ProcessSlot& slot = start_.processes->slot(index);
  const auto found = links_.all().find(index);
  const WorkerLink* link = found == links_.all().end() ? nullptr : found->second.get();
  Value value = Value::object();
  value.set("index", number(index));
  value.set("pid", number(link == nullptr ? 0 : static_cast<uint64_t>(link->pid)));
  value.set("state", Value::string(std::string(shm::process_state_name(slot.state.load()))));
  value.set("snapshot", number(link == nullptr ? 0 : link->serving));
  value.set("restarts", number(slot.restart_count.load()));
  value.set("connections", Value::number(static_cast<double>(slot.active_count.load())));
  value.set("requests", number(slot.request_count.load()));
  value.set("last_death",
            link == nullptr || link->last_end.empty() ? Value::null() : Value::string(link->last_end));
  return value;
}

Value Control::list_snapshots() const {
  Value value = accepted();
  value.set("current", number(current_.about.number));
  Value& list = value.set("snapshots", Value::array());
  for (const snapshot::StoredSnapshot& stored : store_->list()) list.items().push_back(describe(stored));
  return value;
}

/// Those that are kept, and between them those that served too short a time to be: each change has its place.
Value Control::list_history() const {
  std::map<uint64_t, Value> all;
  const auto add = [&all](const snapshot::StoredSnapshot& about, bool is_kept) {
    Value& one = all[about.number] = describe(about);
    one.set("is_kept", Value::boolean(is_kept));
  };
  for (const snapshot::StoredSnapshot& served : served_) add(served, false);
  for (const snapshot::StoredSnapshot& stored : store_->list()) add(stored, true);
  Value value = accepted();
  value.set("current", number(current_.about.number));
  Value& list = value.set("snapshots", Value::array());
  for (auto& [at, one] : all) list.items().push_back(std::move(one));
  return value;
}

/// What a snapshot changed in the one before it, of those that are kept.
base::Result<Value> Control::compare_snapshot(uint64_t wanted) const {
  const std::vector<snapshot::StoredSnapshot>& all = store_->list();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.number == wanted; });
  const std::string name = "snapshot " + std::to_string(wanted);
  if (found == all.end()) return not_kept(name + " is not kept; the last 16 are");
  if (found == all.begin()) return not_kept(name + " is the oldest that is kept: there is none before it");
  const base::Result<std::string> after = store_->load(wanted);
  if (!after) return after.error();
  const base::Result<std::string> before = store_->load(std::prev(found)->number);
  if (!before) return before.error();
  const base::Result<snapshot::BlobView> new_view = snapshot::BlobView::open(*after);
  if (!new_view) return new_view.error();
  const base::Result<snapshot::BlobView> old_view = snapshot::BlobView::open(*before);
  if (!old_view) return old_view.error();
  Value value = describe_differences(compare(content_of(*old_view, true), content_of(*new_view, true)));
  value.set("number", number(wanted));
  value.set("before", number(std::prev(found)->number));
  return value;
}

void Control::add_instance_callbacks(AdminApi::Callbacks* callbacks) {
  callbacks->status = [this] { return status(); };
  callbacks->metrics = [this] { return summarize_metrics(*start_.metrics); };
  callbacks->snapshots = [this] { return list_snapshots(); };
  callbacks->compare_snapshot = [this](uint64_t wanted) { return compare_snapshot(wanted); };
  callbacks->rollback = [this](uint64_t wanted, const AdminCaller& caller, CommandServer::Answer done) {
    add_job({.rollback_to = wanted,
             .reason = "rollback by " + caller.name,
             .is_forced = true,
             .answers = {std::move(done)},
             .caller = caller});
  };
}

metrics::ExportOptions Control::export_options() const {
  metrics::ExportOptions options;
  options.prefix = first_settings_.metrics.prefix;
  options.now_s = metrics::Registry::date_of(base::Clock::steady());
  const auto settings =
      config::settings_from_json(current_.view.body_of(snapshot::RecordKind::kSettings, "{}"));
  if (!settings) return options;
  using config::TrafficMetric;
  using metrics::Family;
  for (const auto& [metric, family] : {std::pair(TrafficMetric::kHttpStatus, Family::kHttpStatus),
                                       std::pair(TrafficMetric::kHttpStatus, Family::kRequests),
                                       std::pair(TrafficMetric::kHttpLatency, Family::kHttpLatency),
                                       std::pair(TrafficMetric::kHttpLatency, Family::kRequestDuration),
                                       std::pair(TrafficMetric::kBandwidth, Family::kBandwidth)}) {
    const auto expire = settings->metrics.of(metric).expire.count();
    options.expire_s.emplace_back(family, static_cast<uint64_t>(expire));
  }
  return options;
}

void Control::add_pages() {
  const auto make_metrics = [this] {
    const uint32_t workers = std::max<uint32_t>(start_.worker_count, 1);
    std::vector<metrics::Sample> samples = sample_processes(*start_.processes, workers, start_.version);
    sample_store(samples);
    health_.sample(samples);
    return Page{200, std::string(metrics::kContentType),
                metrics::export_text(*start_.metrics, samples, export_options())};
  };
  pages_.add("/metrics", make_metrics);
  pages_.add(first_settings_.metrics.path, make_metrics);
  pages_.add("/healthz", [this] {
    if (is_serving_) return Page{200, "text/plain; charset=utf-8", "ok\n"};
    return Page{503, "text/plain; charset=utf-8", "starting\n"};
  });
}

}  // namespace moongate::control
