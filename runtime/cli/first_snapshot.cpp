// SPDX-License-Identifier: Apache-2.0
#include "cli/first_snapshot.h"

#include <poll.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>

#include "base/log.h"
#include "cli/lua_validator.h"
#include "control/load_notes.h"
#include "control/loader.h"
#include "snapshot/blob.h"
#include "snapshot/channel.h"
#include "snapshot/sealed_file.h"
#include "snapshot/store.h"
#include "supervisor/child.h"

namespace moongate::cli {

using base::Result;
using snapshot::Message;
using snapshot::MessageType;

namespace {

/// The configuration's snapshot with its number. Content that was current when the last instance ended keeps
/// its number, so that restarts do not push what one may want to roll back to out of the store.
Result<std::string> give_number(const control::Loaded& loaded, const snapshot::Store& store) {
  uint64_t number = store.last_number() + 1;
  for (const snapshot::StoredSnapshot& stored : store.list()) {
    if (stored.number == store.current() && stored.hash == loaded.hash) number = stored.number;
  }
  return control::number_blob(loaded.blob, number, "start");
}

Result<Message> receive(int fd) {
  pollfd watched{fd, POLLIN, 0};
  while (::poll(&watched, 1, -1) < 0 && errno == EINTR) continue;
  Result<std::optional<Message>> message = snapshot::receive_message(fd);
  if (!message) return message.error();
  if (!message->has_value()) return base::invalid("nothing came");
  return std::move(**message);
}

/// In the child: after kReady, what the load has seen.
bool send_notes(int fd, const control::LoadNotes& seen, const control::KnownGood& known) {
  Result<snapshot::Descriptor> memfd = snapshot::write_sealed_memfd(control::write_notes(seen, known));
  if (!memfd) return false;
  Message notes;
  notes.type = MessageType::kHello;
  notes.descriptor = memfd.take();
  return snapshot::send_message(fd, notes).ok();
}

/// Nothing when there are none: then control looks itself.
std::string receive_notes(int fd) {
  const Result<Message> message = receive(fd);
  if (!message || !message->descriptor.is_open()) return "";
  const Result<snapshot::MappedFile> mapped = snapshot::map_memfd(message->descriptor.get());
  return mapped ? std::string(mapped->bytes()) : "";
}

/// In the child: what the parent is told.
Message load(control::LoadOptions options, const std::string& directory, control::Loaded* out) {
  Message message;
  message.type = MessageType::kRefused;
  Result<snapshot::Store> store = snapshot::Store::open(directory);
  if (!store) {
    message.text = store.error().detail;
    return message;
  }
  std::optional<control::ResourceStore> resources;
  options.find_stored = [&](const config::Settings& settings) -> Result<const control::ResourceStore::Map*> {
    auto opened = control::ResourceStore::open(directory, control::store_folder(settings.etcd));
    if (!opened) return opened.error();
    resources.emplace(opened.take());
    return &resources->all();
  };
  // What was acknowledged is served; what cannot be any more, quarantined.
  options.is_tolerated = [](const std::string&) { return true; };
  *out = control::load_configuration(options);
  const control::Loaded& loaded = *out;
  for (const std::string& warning : loaded.warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  for (const std::string& error : loaded.errors) {
    std::fprintf(stderr, "%s\n", error.c_str());
    message.text += (message.text.empty() ? "" : "\n") + error;
  }
  Result<std::string> blob = loaded.ok() ? give_number(loaded, *store) : store->load_current();
  if (!blob) {
    if (loaded.ok()) message.text = blob.error().detail;
    return message;
  }
  Result<snapshot::Descriptor> memfd = snapshot::write_sealed_memfd(*blob);
  if (!memfd) {
    message.text = memfd.error().detail;
    return message;
  }
  message.type = MessageType::kReady;
  message.descriptor = memfd.take();
  return message;
}

}  // namespace

Result<FirstSnapshot> make_first_snapshot(const std::vector<std::string>& config_paths,
                                          const std::string& directory, const std::string& lua_root) {
  Result<snapshot::ChannelPair> pair = snapshot::make_channel();
  if (!pair) return pair.error();
  Result<int> child = supervisor::fork_child("start", [&] {
    pair->first.reset();
    const control::ValidatorFactory factory = lua_validator_factory(lua_root);
    // The parent waits, and the kernel is faster at freeing it.
    control::Loaded* const loaded = std::make_unique<control::Loaded>().release();
    control::KnownGood known;
    const Message message = load({config_paths, lua_root, &factory, &known}, directory, loaded);
    if (auto sent = snapshot::send_message(pair->second.get(), message); !sent) return 1;
    const bool has_notes = message.type == MessageType::kReady && loaded->ok();
    return !has_notes || send_notes(pair->second.get(), *loaded, known) ? 0 : 1;
  });
  if (!child) return child.error();
  pair->second.reset();
  Result<Message> message = receive(pair->first.get());
  std::string notes;
  if (message && message->type == MessageType::kReady && message->text.empty())
    notes = receive_notes(pair->first.get());
  int status = 0;
  while (::waitpid(*child, &status, 0) < 0 && errno == EINTR) continue;
  if (!message)
    return base::invalid("the process that checked the configuration " + supervisor::describe_end(status));
  if (message->type != MessageType::kReady) return base::invalid(message->text);
  const Result<snapshot::MappedFile> mapped = snapshot::map_memfd(message->descriptor.get());
  if (!mapped) return mapped.error();
  const Result<snapshot::BlobView> view = snapshot::BlobView::read(mapped->bytes());
  if (!view) return view.error();
  Result<config::Settings> settings =
      config::settings_from_json(view->body_of(snapshot::RecordKind::kSettings, "{}"));
  if (!settings) return settings.error();
  return FirstSnapshot{std::move(message->descriptor), settings.take(), std::move(message->text),
                       std::move(notes)};
}

}  // namespace moongate::cli
