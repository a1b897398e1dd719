// SPDX-License-Identifier: Apache-2.0
// Who serves what: each worker that comes up is brought to the current snapshot, whatever happens to the
// others.
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/log.h"
#include "control/control.h"
#include "control/times.h"
#include "snapshot/sealed_file.h"

namespace moongate::control {

using base::Result;
using snapshot::Message;
using snapshot::MessageType;

void Control::on_worker_message(WorkerLink& link, Message message) {
  if (message.type == MessageType::kHello) return on_hello(link, message);
  if (!link.has_greeted) return;  // meant for the control process before this one
  const bool is_of_round =
      round_ && round_->number() == message.number && round_->members().count(link.index) > 0;
  switch (message.type) {
    case MessageType::kReady:
      link.preparing = 0;
      if (is_of_round) {
        round_->on_ready(link.index);
        on_round_progress();
      } else if (message.number == current_.about.number) {
        links_.send(link, MessageType::kSwitch, message.number);
      }
      break;
    case MessageType::kRefused:
      link.preparing = 0;
      on_refused(link, message, is_of_round);
      break;
    case MessageType::kSwitched:
      link.serving = message.number;
      if (is_of_round) {
        round_->on_switched(link.index);
        on_round_progress();
      } else {
        bring_up_to_date(link);
      }
      note_serving();
      break;
    case MessageType::kChallengesTaken:
      link.challenges = message.number;
      look_for_offered();
      break;
    default:
      MG_LOG(kError) << "worker " << link.index << " sent a message that is not for control";
      break;
  }
}

void Control::on_hello(WorkerLink& link, const Message& message) {
  link.serving = message.number;
  next_number_ = std::max(next_number_, message.number + 1);
  if (link.has_greeted) return;  // at its start it says so by itself and once more because we asked
  link.has_greeted = true;
  bring_staples(link);
  bring_issued(link);
  bring_challenges(link);
  bring_up_to_date(link);
  note_serving();
}

/// Sends the current snapshot to a worker that has another one and takes no part in a round.
void Control::bring_up_to_date(WorkerLink& link) {
  const uint64_t number = current_.about.number;
  if (!link.has_greeted || !link.is_open() || link.serving == number || link.preparing == number) return;
  if (is_holding_workers_) return;
  if (round_ && round_->members().count(link.index) > 0) return;
  if (is_catching_up_ && link.serving > number) return;
  if (links_.send(link, MessageType::kPrepare, number, current_.memfd.get())) link.preparing = number;
}

/// Before the snapshot, so that no handshake goes without.
void Control::bring_staples(WorkerLink& link) {
  if (!staples_memfd_.is_open() || !link.has_greeted || !link.is_open()) return;
  links_.send(link, MessageType::kStaples, 0, staples_memfd_.get());
}

void Control::on_staples() {
  Result<snapshot::Descriptor> made = snapshot::write_sealed_memfd(stapling_.packed());
  if (!made) {
    MG_LOG(kError) << "OCSP answers cannot be handed to the workers: " << made.error().detail;
    return;
  }
  staples_memfd_ = made.take();
  for (auto& [index, link] : links_.all()) bring_staples(*link);
}

/// Before the snapshot too: its names are known then, and have their certificates.
void Control::bring_issued(WorkerLink& link) {
  if (!issued_memfd_.is_open() || !link.has_greeted || !link.is_open()) return;
  links_.send(link, MessageType::kIssued, 0, issued_memfd_.get());
}

void Control::on_issued() {
  Result<snapshot::Descriptor> made = snapshot::write_sealed_memfd(acme_.packed());
  if (!made) {
    MG_LOG(kError) << "issued certificates cannot be handed to the workers: " << made.error().detail;
    acme_.note_unheard();
    return;
  }
  issued_memfd_ = made.take();
  for (auto& [index, link] : links_.all()) bring_issued(*link);
}

void Control::bring_challenges(WorkerLink& link) {
  if (acme_.challenge_number() == 0 || !link.has_greeted || !link.is_open()) return;
  links_.send(link, MessageType::kChallenges, acme_.challenge_number(), -1, acme_.challenges());
}

void Control::on_challenges() {
  for (auto& [index, link] : links_.all()) bring_challenges(*link);
  look_for_offered();
}

/// The authority may ask whichever worker the kernel gives its connection to: all have to know the answer.
/// One that has not greeted yet gets it before its snapshot.
void Control::look_for_offered() {
  const uint64_t number = acme_.challenge_number();
  size_t open = 0;
  for (const auto& [index, link] : links_.all()) {
    if (!link->is_open()) continue;
    if (link->challenges != number) return;
    open++;
  }
  if (open > 0) acme_.note_offered();
}

void Control::on_refused(WorkerLink& link, const Message& message, bool is_of_round) {
  snapshot::Refusal refusal = snapshot::Refusal::from_text(message.text);
  for (auto& [plugin, fault] : refusal.plugins) fault = "worker " + std::to_string(link.index) + ": " + fault;
  if (is_of_round) {
    for (const auto& [plugin, fault] : refusal.plugins) blamed_[plugin] = fault;
    round_->on_refused(link.index, refusal.reason);
    return on_round_progress();
  }
  if (message.number != current_.about.number) return;
  MG_LOG(kError) << "worker " << link.index << " refuses snapshot " << message.number
                 << ", which others may serve: " << refusal.reason;
  const bool is_served = std::any_of(links_.all().begin(), links_.all().end(),
                                     [](const auto& other) { return other.second->serving != 0; });
  if (is_served || is_serving_ || leave_in_quarantine(refusal.plugins)) return;
  fall_back(refusal.reason);
}

/// The first snapshot does not serve for what was in quarantine in the one before: it stays there, and the
/// rest of the sources serves.
bool Control::leave_in_quarantine(const snapshot::PluginFaults& faults) {
  const auto& list = store_->list();
  const auto before = std::find_if(list.rbegin(), list.rend(), [&](const snapshot::StoredSnapshot& one) {
    return one.hash != current_.about.hash && one.number < current_.about.number;
  });
  if (before == list.rend()) return false;
  const Result<std::string> stored = store_->load(before->number);
  if (!stored) return false;
  const Result<snapshot::BlobView> view = snapshot::BlobView::open(*stored);
  if (!view || !hold_blamed(*view, faults)) return false;
  const ResourceStore::Map resources = stored_with_held();
  LoadOptions options = load_options();
  options.stored = &resources;
  // What was odd at the start is as odd now.
  options.is_tolerated = [](const std::string&) { return true; };
  keep_scripts(Scripts::kNone);
  const Loaded loaded = load_configuration(options);
  base::Clock::refresh();
  if (!loaded.ok()) return false;
  Result<std::string> blob = number_blob(loaded.blob, next_number_++, current_.about.reason);
  if (!blob || !set_current(blob.take())) return false;
  for (auto& [index, link] : links_.all()) bring_up_to_date(*link);
  return true;
}

/// The first snapshot does not serve: the newest one in the store that is another may.
void Control::fall_back(const std::string& reason) {
  const snapshot::Hash128 bad = current_.about.hash;
  const auto& list = store_->list();
  for (auto at = list.rbegin(); at != list.rend(); ++at) {
    if (at->hash == bad || at->number >= current_.about.number) continue;
    Result<std::string> stored = store_->load(at->number);
    if (!stored) continue;
    MG_LOG(kCrit) << "snapshot " << current_.about.number << " cannot be served, the last good one ("
                  << at->number << ") is: " << reason;
    last_error_ = {{reason}, wall_ms()};
    if (auto set = set_current(stored.take()); !set) continue;
    is_last_good_ = true;
    for (auto& [index, link] : links_.all()) bring_up_to_date(*link);
    return;
  }
  tell_supervisor(MessageType::kStartFailed, 0, reason);
}

void Control::on_worker_gone(WorkerLink& link) {
  look_for_offered();
  if (!round_) return;
  round_->on_gone(link.index);
  on_round_progress();
}

/// The first time that all serve, the start is done; and what serves is worth keeping.
void Control::note_serving() {
  const uint64_t number = current_.about.number;
  const auto is_current = [&](const auto& entry) { return entry.second->serving == number; };
  const auto count = std::count_if(links_.all().begin(), links_.all().end(), is_current);
  if (count == 0) return;
  if (!current_.is_stored) {
    current_.is_stored = true;
    if (auto saved = store_->save(current_.blob); !saved)
      MG_LOG(kError) << "the snapshot is not kept on disk: " << saved.error().detail;
  }
  if (is_serving_ || static_cast<uint32_t>(count) < std::max<uint32_t>(start_.worker_count, 1)) return;
  is_serving_ = true;
  acme_.start();
  MG_LOG(kNotice) << "snapshot " << number << " serves (" << current_.about.reason << ", "
                  << current_.about.hash.text() << ")";
  tell_supervisor(MessageType::kServing);
  if (look_later_.is_running()) look_at_sources();
}

void Control::on_supervisor_messages() {
  while (supervisor_.is_open()) {
    Result<std::optional<Message>> message = snapshot::receive_message(supervisor_.get());
    if (!message) {
      supervisor_watch_.stop();
      loop_.stop();  // without a supervisor there is nothing left to control
      return;
    }
    if (!message->has_value()) return;
    on_supervisor_message(std::move(**message));
  }
}

void Control::on_supervisor_message(Message message) {
  switch (message.type) {
    case MessageType::kWorkerStarted:
      links_.add(std::move(message));
      break;
    case MessageType::kWorkerGone:
      links_.note_end(message.worker, message.text);
      break;
    case MessageType::kReload:
      add_job({std::nullopt, "reload", true, {}, {}});
      break;
    case MessageType::kReopenLogs:
      reopen_logs();
      break;
    default:
      MG_LOG(kError) << "the supervisor sent a message that is not for control";
      break;
  }
}

/// In a single process there is no supervisor, and its part falls to signals that the worker on the same loop
/// handles.
void Control::tell_supervisor(MessageType type, uint64_t number, std::string text) {
  if (!supervisor_.is_open()) {
    if (type == MessageType::kServing && start_.ready_fd >= 0) {
      if (::write(start_.ready_fd, "+", 1) != 1)
        MG_LOG(kWarn) << "nobody waits any more for the start to be done";
      ::close(start_.ready_fd);
    }
    if (type == MessageType::kStop) ::raise(number != 0 ? SIGTERM : SIGQUIT);
    if (type == MessageType::kReopenAllLogs) ::raise(SIGUSR1);
    if (type == MessageType::kStartFailed) {
      MG_LOG(kEmerg) << "no snapshot can be served: " << text;
      ::raise(SIGTERM);
    }
    return;
  }
  Message message;
  message.type = type;
  message.number = number;
  message.text = std::move(text);
  if (auto sent = snapshot::send_message(supervisor_.get(), message); !sent)
    MG_LOG(kError) << "the supervisor cannot be reached: " << sent.error().detail;
}

void Control::reopen_logs() {
  audit_.open();
  if (auto opened = base::reopen_log(); !opened) MG_LOG(kError) << opened.error().detail;
}

}  // namespace moongate::control
