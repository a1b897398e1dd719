// SPDX-License-Identifier: Apache-2.0
// How control comes up. Where it goes from here: jobs.cpp (changes), workers.cpp (who serves what),
// status.cpp (answers).
#include "control/control.h"

#include <unistd.h>

#include <csignal>

#include "base/log.h"
#include "snapshot/sealed_file.h"
#include "tls/ticket_keys.h"

namespace moongate::control {

using base::Clock;
using base::Result;

namespace {

constexpr auto kBeat = std::chrono::milliseconds(250);

}  // namespace

Control::Control(net::EventLoop& loop, const ControlStart& start)
    : loop_(loop),
      start_(start),
      links_(loop, {[this](WorkerLink& link, snapshot::Message message) {
                      on_worker_message(link, std::move(message));
                    },
                    [this](WorkerLink& link) { on_worker_gone(link); }}),
      round_deadline_(on_round_deadline, this),
      next_job_([](void* self) { static_cast<Control*>(self)->start_next_job(); }, this),
      files_(loop,
             [this] {
               add_job({std::nullopt, "file change", false, {}});
             }),
      commands_(loop, [this](const std::string& command, const base::Value& request,
                             const CommandServer::Answer& answer) { on_command(command, request, answer); }),
      pages_(loop),
      stapling_(loop, start.directory, [this] { on_staples(); }),
      supervisor_(start.supervisor_fd),
      beat_(
          [](void* self) {
            auto* control = static_cast<Control*>(self);
            control->start_.processes->control().beat();
            control->keep_ticket_keys();
            control->beat_.start(control->loop_.timers(), kBeat);
          },
          this) {}

Result<std::unique_ptr<Control>> Control::make(net::EventLoop& loop, const ControlStart& start) {
  std::unique_ptr<Control> control(new Control(loop, start));
  if (auto opened = control->open(); !opened) return opened.error();
  return control;
}

Result<void> Control::open() {
  Clock::refresh();
  Result<snapshot::Store> store = snapshot::Store::open(start_.directory);
  if (!store) return store.error();
  store_.emplace(store.take());
  if (auto taken = take_first_snapshot(); !taken) return taken;
  if (!start_.start_error.empty() && !start_.is_restart) {
    is_last_good_ = true;
    last_error_ = {
        {start_.start_error},
        static_cast<uint64_t>(
            std::chrono::duration_cast<std::chrono::milliseconds>(Clock::wall().time_since_epoch()).count())};
  }
  files_.set(start_.config_paths, first_settings_.plugin_paths);
  add_pages();
  if (start_.command_fd >= 0) commands_.start(start_.command_fd);
  if (start_.metrics_fd >= 0) pages_.start(start_.metrics_fd);
  if (!first_settings_.admin.listen.empty())
    MG_LOG(kNotice) << "the Admin API is not in this version; " << first_settings_.admin.listen
                    << " is not listened on";
  if (supervisor_.is_open()) {
    const auto on_readable = [](void* self, net::Readiness) {
      static_cast<Control*>(self)->on_supervisor_messages();
    };
    supervisor_watch_.start(loop_, supervisor_.get(), net::FdWatch::Interest::kRead, on_readable, this);
    terminate_.start(
        loop_, SIGTERM, [](void* self, int) { static_cast<Control*>(self)->loop_.stop(); }, this);
    start_.processes->control().state.store(shm::ProcessState::kServing);
    beat_.start(loop_.timers(), kBeat);
  } else {
    const auto on_hangup = [](void* self, int) {
      static_cast<Control*>(self)->add_job({std::nullopt, "reload", true, {}});
    };
    hangup_.start(loop_, SIGHUP, on_hangup, this);
    reopen_.start(
        loop_, SIGUSR1, [](void* self, int) { static_cast<Control*>(self)->reopen_logs(); }, this);
    snapshot::Message started;
    started.type = snapshot::MessageType::kWorkerStarted;
    started.pid = ::getpid();
    started.descriptor = snapshot::Descriptor(start_.worker_fd);
    links_.add(std::move(started));
  }
  look_at_sources();
  return {};
}

/// The file must not let anybody open tickets of a period that is over.
void Control::keep_ticket_keys() {
  if (auto kept = tls::TicketKeys::of_process().keep(Clock::wall()); !kept)
    MG_LOG(kError) << "the ticket keys are not kept for the next start: " << kept.error().detail;
}

/// The sources may have changed while nobody watched: between the load at the start and now, or while control
/// was dead. And only a load tells which files there are to watch. A rollback stays one until they change.
void Control::look_at_sources() {
  const bool is_rollback = current_.about.reason.rfind("rollback", 0) == 0;
  if (!is_rollback) return add_job({std::nullopt, "file change", false, {}});
  const Loaded loaded = load_configuration({start_.config_paths, start_.lua_root, &start_.make_validator});
  Clock::refresh();
  watch_sources(loaded);
  if (loaded.ok()) source_hash_ = loaded.hash;
}

/// The one the instance was started with; after a death, the one that was current then.
Result<void> Control::take_first_snapshot() {
  Result<snapshot::MappedFile> first = snapshot::map_memfd(start_.first_snapshot_fd);
  if (!first) return first.error();
  std::string blob(first->bytes());
  const snapshot::Descriptor closed(start_.first_snapshot_fd);
  const Result<snapshot::BlobView> view = snapshot::BlobView::open(blob);
  if (!view) return view.error();
  Result<config::Settings> settings =
      config::settings_from_json(view->body_of(snapshot::RecordKind::kSettings, "{}"));
  if (!settings) return settings.error();
  first_settings_ = settings.take();
  const uint64_t first_number = view->number();
  if (start_.is_restart && store_->current() > first_number) {
    if (Result<std::string> stored = store_->load(store_->current())) blob = stored.take();
  }
  if (auto set = set_current(std::move(blob)); !set) return set;
  current_.is_stored = start_.is_restart;
  source_hash_ = current_.about.hash;
  next_number_ = std::max(store_->last_number(), current_.about.number) + 1;
  return {};
}

Result<void> Control::set_current(std::string blob, snapshot::Descriptor memfd) {
  if (!memfd.is_open()) {
    Result<snapshot::Descriptor> made = snapshot::write_sealed_memfd(blob);
    if (!made) return made.error();
    memfd = made.take();
  }
  const Result<snapshot::BlobView> view = snapshot::BlobView::open(blob);
  if (!view) return view.error();
  current_.about = {view->number(), view->hash(), view->made_at_ms(), std::string(view->reason())};
  current_.quarantined.clear();
  for (const snapshot::Record& record : view->records_of(snapshot::RecordKind::kQuarantined)) {
    current_.quarantined.push_back(std::string(record.id) + ": " + std::string(record.body));
  }
  if (Result<config::Settings> settings =
          config::settings_from_json(view->body_of(snapshot::RecordKind::kSettings, "{}")))
    stapling_.set_snapshot(*view, settings->dns);
  current_.memfd = std::move(memfd);
  current_.blob = std::move(blob);
  current_.is_stored = false;
  return {};
}

int run(const ControlStart& start) {
  Result<std::unique_ptr<net::EventLoop>> loop = net::EventLoop::make();
  if (!loop) {
    MG_LOG(kEmerg) << loop.error().detail;
    return 1;
  }
  Result<std::unique_ptr<Control>> control = Control::make(**loop, start);
  if (!control) {
    MG_LOG(kEmerg) << "control cannot start: " << control.error().detail;
    return 1;
  }
  (*loop)->run();
  return 0;
}

Result<std::shared_ptr<void>> start_on(net::EventLoop& loop, const ControlStart& start) {
  Result<std::unique_ptr<Control>> control = Control::make(loop, start);
  if (!control) return control.error();
  return std::shared_ptr<void>(std::shared_ptr<Control>(control.take()));
}

}  // namespace moongate::control
