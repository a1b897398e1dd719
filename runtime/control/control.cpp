// SPDX-License-Identifier: Apache-2.0
// How control comes up. Where it goes from here: jobs.cpp (changes), workers.cpp (who serves what),
// status.cpp (answers).
#include "control/control.h"

#include <unistd.h>

#include <csignal>

#include "base/log.h"
#include "control/load_notes.h"
#include "control/times.h"
#include "snapshot/sealed_file.h"
#include "tls/ticket_keys.h"

namespace moongate::control {

using base::Clock;
using base::Result;

namespace {

constexpr auto kBeat = std::chrono::milliseconds(250);
constexpr size_t kHistoryMax = 100;                   // changes
constexpr auto kLookAfter = std::chrono::seconds(5);  // at the sources, when the workers do not serve by then

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
               add_job({std::nullopt, "file change", false, {}, {}});
             }),
      live_(start_.lua_root, start_.make_validator, checker_),
      catalog_(start_.lua_root, start_.make_validator),
      audit_(start_.directory),
      later_([](void* self) { static_cast<Control*>(self)->go_on_later(); }, this),
      hold_([](void* self) { static_cast<Control*>(self)->end_hold(); }, this),
      health_(loop, start_.health),
      expiry_([](void* self) { static_cast<Control*>(self)->expire_resources(); }, this),
      save_later_([](void* self) { static_cast<Control*>(self)->save_snapshot(base::Durability::kBuffered); },
                  this),
      look_later_([](void* self) { static_cast<Control*>(self)->look_at_sources(); }, this),
      commands_(loop, [this](const std::string& command, const base::Value& request,
                             const CommandServer::Answer& answer) { on_command(command, request, answer); }),
      pages_(loop),
      stapling_(loop, start.directory, [this] { on_staples(); }),
      acme_(loop, start.directory,
            {[this] { issued_later_.schedule(loop_); }, [this] { challenges_later_.schedule(loop_); }}),
      supervisor_(start.supervisor_fd),
      beat_(
          [](void* self) {
            auto* control = static_cast<Control*>(self);
            control->start_.processes->control().beat();
            control->keep_ticket_keys();
            const uint64_t now_s = metrics::Registry::date_of(Clock::steady());
            if (control->start_.metrics->is_sweep_due(now_s))
              control->start_.metrics->give_back(now_s, control->export_options().expire_s);
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
  ::signal(SIGXFSZ, SIG_IGN);  // a file at its limit is an error of that write and not the end of the process
  is_catching_up_ = start_.is_restart;
  if (auto taken = take_first_snapshot(); !taken) return taken;
  if (!start_.start_error.empty() && !start_.is_restart) {
    is_last_good_ = true;
    last_error_ = {{start_.start_error}, wall_ms()};
  }
  const bool has_seen_sources = take_load_notes();
  if (!has_seen_sources) files_.set(start_.config_paths, first_settings_.plugin_paths);
  add_pages();
  if (start_.command_fd >= 0) commands_.start(start_.command_fd);
  if (start_.metrics_fd >= 0) pages_.start(start_.metrics_fd);
  if (auto opened = open_admin(); !opened) return opened;
  if (supervisor_.is_open()) {
    const auto on_readable = [](void* self, net::Readiness) {
      static_cast<Control*>(self)->on_supervisor_messages();
    };
    supervisor_watch_.start(loop_, supervisor_.get(), net::FdWatch::Interest::kRead, on_readable, this);
    const auto on_terminate = [](void* self, int) {
      auto* control = static_cast<Control*>(self);
      if (control->save_later_.is_running()) control->save_snapshot(base::Durability::kSynced);
      control->loop_.stop();
    };
    terminate_.start(loop_, SIGTERM, on_terminate, this);
    start_.processes->control().state.store(shm::ProcessState::kServing);
    beat_.start(loop_.timers(), kBeat);
  } else {
    const auto on_hangup = [](void* self, int) {
      static_cast<Control*>(self)->add_job({std::nullopt, "reload", true, {}, {}});
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
  // At a start the workers come first: to load many routes takes seconds. If they cannot serve what there is,
  // a change of the sources may be what they need.
  if (start_.is_restart)
    look_at_sources();
  else if (!has_seen_sources)
    look_later_.start(loop_.timers(), kLookAfter);
  if (shared_) shared_->start();
  return {};
}

/// The file must not let anybody open tickets of a period that is over.
void Control::keep_ticket_keys() {
  if (auto kept = tls::TicketKeys::of_process().keep(Clock::wall()); !kept)
    MG_LOG(kError) << "the ticket keys are not kept for the next start: " << kept.error().detail;
}

AdminApi::Callbacks Control::admin_callbacks() {
  AdminApi::Callbacks callbacks;
  callbacks.served = [this]() -> const snapshot::BlobView& { return current_.view; };
  callbacks.write = [this](AdminWrite write) { add_write(std::move(write)); };
  callbacks.reload = [this](const std::function<void(std::vector<std::string>)>& done) {
    const auto on_done = [done](const base::Value& answer) {
      std::vector<std::string> errors;
      if (const base::Value* list = answer.find("errors"); list != nullptr && list->is_array()) {
        for (const base::Value& error : list->items()) errors.push_back(error.as_string());
      }
      done(std::move(errors));
    };
    add_job({std::nullopt, "reload", true, {on_done}, {}});
  };
  callbacks.ask_schemas = [this](const std::vector<std::string>& question) {
    keep_scripts(Scripts::kSchemas);
    auto answer = catalog_.ask(current_.view, question);
    end_scripts();
    Clock::refresh();
    return answer;
  };
  callbacks.encrypted_fields = [this] { return encrypted_fields(); };
  callbacks.validate_all = [this](const base::Value& body) { return validate_all(body); };
  add_instance_callbacks(&callbacks);
  return callbacks;
}

Result<void> Control::open_admin() {
  admin_.emplace(loop_, *resources_, admin_callbacks());
  audit_.open();
  if (!shared_) expire_resources();
  if (start_.control_api_fd >= 0) {
    control_api_.emplace(loop_, *resources_, admin_callbacks(), health_,
                         [this] { keep_scripts(Scripts::kNone); });
    if (auto started = control_api_->start(start_.control_api_fd, start_.control_api_address); !started)
      return started;
  }
  if (start_.admin_fd < 0) return {};
  Result<std::string> key = AdminAccess::read_or_make_key(start_.directory);
  if (!key) return key.error();
  admin_key_ = key.take();
  set_admin_access();
  admin_->start(start_.admin_fd);
  return {};
}

const config::EncryptedFields* Control::encrypted_fields() {
  if (fields_ && fields_of_ == current_.about.hash) return &*fields_;
  keep_scripts(Scripts::kSchemas);
  const auto answer = catalog_.ask(current_.view, {"encrypted_fields"});
  end_scripts();
  Clock::refresh();
  if (!answer) {
    MG_LOG(kError) << "which fields are encrypted is not known: " << answer.error().detail;
    return nullptr;
  }
  fields_ = config::EncryptedFields::from_json(answer->second);
  fields_of_ = current_.about.hash;
  return &*fields_;
}

/// From the settings that serve now.
void Control::set_admin_access() {
  const Result<config::Settings> settings =
      config::settings_from_json(current_.view.body_of(snapshot::RecordKind::kSettings, "{}"));
  if (!settings) return;
  admin_->set_version(settings->admin.api_version);
  if (auto set = admin_->access().set(settings->admin, start_.admin_address, admin_key_); !set)
    MG_LOG(kError) << "moongate.admin: " << set.error().detail;
}

/// The sources may have changed while nobody watched: between the load at the start and now, or while control
/// was dead. And only a load tells which files there are to watch. A rollback stays one until they change.
void Control::look_at_sources() {
  look_later_.stop();
  const bool is_rollback = current_.about.reason.rfind("rollback", 0) == 0;
  if (!is_rollback) return add_job({std::nullopt, "file change", false, {}, {}});
  keep_scripts(Scripts::kNone);
  const Loaded loaded = load_configuration(load_options());
  Clock::refresh();
  watch_sources(loaded);
  if (loaded.ok()) note_sources(loaded);
  end_catching_up();
}

/// What the load at the start saw is as good as a look of our own, if all of it still is as it was when it is
/// watched. A shared store may bring what is judged with the files, and a control that died may have missed
/// changes: they look.
bool Control::take_load_notes() {
  if (start_.load_notes.empty() || start_.is_restart || shared_) return false;
  Result<LoadNotes> notes = read_notes(start_.load_notes, &known_);
  start_.load_notes = {};
  if (!notes) return false;
  files_.set(notes->files, notes->folders);
  if (!base::are_unchanged(notes->stamps)) return false;
  for (const std::string& warning : notes->warnings) MG_LOG(kWarn) << warning;
  good_files_ = std::move(notes->files);
  good_folders_ = std::move(notes->folders);
  source_hash_ = notes->file_hash;
  source_code_ = std::move(notes->code);
  return true;
}

/// The one the instance was started with; after a death, the one that was current then.
Result<void> Control::take_first_snapshot() {
  snapshot::Descriptor memfd(start_.first_snapshot_fd);
  Result<snapshot::MappedFile> first = snapshot::map_memfd(memfd.get());
  if (!first) return first.error();
  std::string blob(first->bytes());
  const Result<snapshot::BlobView> view = snapshot::BlobView::read(blob);
  if (!view) return view.error();
  Result<config::Settings> settings =
      config::settings_from_json(view->body_of(snapshot::RecordKind::kSettings, "{}"));
  if (!settings) return settings.error();
  first_settings_ = settings.take();
  if (auto opened = open_store(); !opened) return opened;
  const uint64_t first_number = view->number();
  if (start_.is_restart && store_->current() > first_number) {
    if (Result<std::string> stored = store_->load(store_->current())) {
      blob = stored.take();
      memfd.reset();
    }
  }
  if (auto set = set_current(std::move(blob), std::move(memfd)); !set) return set;
  current_.is_stored = start_.is_restart;
  next_number_ = std::max({store_->last_number(), current_.about.number, resources_->last_snapshot()}) + 1;
  return {};
}

Result<void> Control::set_current(std::string blob, snapshot::Descriptor memfd) {
  // What we wrote ourselves a moment ago need not be checked again.
  const bool is_ours = memfd.is_open();
  if (!is_ours) {
    Result<snapshot::Descriptor> made = snapshot::write_sealed_memfd(blob);
    if (!made) return made.error();
    memfd = made.take();
  }
  // The view looks at the bytes where they will stay: a text this long does not move when its owner does.
  Result<snapshot::BlobView> view = is_ours ? snapshot::BlobView::read(blob) : snapshot::BlobView::open(blob);
  if (!view) return view.error();
  current_.about = {view->number(), view->hash(), view->made_at_ms(), std::string(view->reason())};
  if (served_.empty() || served_.back().number < current_.about.number) served_.push_back(current_.about);
  if (served_.size() > kHistoryMax) served_.pop_front();
  current_.quarantined.clear();
  for (const snapshot::Record& record : view->records_of(snapshot::RecordKind::kQuarantined)) {
    current_.quarantined.push_back(std::string(record.id) + ": " + std::string(record.body));
  }
  if (Result<config::Settings> settings =
          config::settings_from_json(view->body_of(snapshot::RecordKind::kSettings, "{}"))) {
    stapling_.set_snapshot(*view, settings->dns);
    acme_.set_snapshot(*view, *settings);
    health_.set_snapshot(*view, *settings);
    current_.data_encryption = settings->data_encryption;
    config::Keyring::of_process().set(current_.data_encryption);
  }
  current_.memfd = std::move(memfd);
  current_.view = view.take();
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
