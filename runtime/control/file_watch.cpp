// SPDX-License-Identifier: Apache-2.0
#include "control/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>

#include "base/log.h"

namespace moongate::control {

namespace fs = std::filesystem;

namespace {

constexpr auto kQuiet = std::chrono::milliseconds(50);
constexpr auto kGatherMax = std::chrono::milliseconds(500);
constexpr auto kRetry = std::chrono::seconds(1);
constexpr size_t kFoldersMax = 4000;
constexpr int kLinksMax = 40;  // as the kernel follows
constexpr uint32_t kMask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE |
                           IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

bool is_source_name(const std::string& name) {
  const std::string extension = fs::path(name).extension().string();
  return extension == ".lua" || extension == ".yaml" || extension == ".yml" || extension == ".json";
}

/// A new file's writer will close it, which is an event of its own; a new link and a new folder are complete.
bool is_being_written(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1;
}

}  // namespace

FileWatch::FileWatch(net::EventLoop& loop, std::function<void()> on_change)
    : loop_(loop),
      on_change_(std::move(on_change)),
      inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      quiet_(on_quiet, this),
      retry_(on_retry, this) {
  if (!inotify_.is_open()) {
    MG_LOG(kError) << base::io_error("files are not watched; use `moongate reload` after a change").detail;
    return;
  }
  watch_.start(loop_, inotify_.get(), net::FdWatch::Interest::kRead, on_readable, this);
}

void FileWatch::set(const std::vector<std::string>& files, const std::vector<std::string>& folders,
                    const base::FileStamps* read) {
  if (!inotify_.is_open()) return;
  folders_.clear();
  for (const std::string& path : files) add_path(path);
  for (const std::string& path : folders) folders_[add_path(path.empty() ? "." : path)].is_whole = true;
  if (folders_.size() > kFoldersMax)
    MG_LOG(kError) << "more than 4000 folders with configuration and plugins; not all are watched";
  const bool is_more = apply();
  if (is_more && is_set_ && (read == nullptr || !base::are_unchanged(*read))) arm();
  is_set_ = true;
}

/// Follows the path as the kernel would. Notes the name in each folder where a link stands, and the last one;
/// what it leads to.
std::string FileWatch::add_path(const std::string& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  std::deque<fs::path> left(whole.begin(), whole.end());
  fs::path at = "/";
  for (int links = 0; !left.empty();) {
    const fs::path name = left.front();
    left.pop_front();
    if (name.empty() || name == "." || name == "/") continue;
    if (name == "..") {
      at = at.parent_path();
      continue;
    }
    const fs::path next = at / name;
    const bool is_link = fs::is_symlink(next, error) && links++ < kLinksMax;
    if (is_link || left.empty()) folders_[at.string()].names.insert(name.string());
    if (!is_link) {
      at = next;
      continue;
    }
    const fs::path target = fs::read_symlink(next, error);
    left.insert(left.begin(), target.begin(), target.end());
    if (target.is_absolute()) at = "/";
  }
  return at.string();
}

/// True when something is watched that was not.
bool FileWatch::apply() {
  for (auto at = watches_.begin(); at != watches_.end();) {
    if (folders_.count(at->first) > 0) {
      ++at;
      continue;
    }
    ::inotify_rm_watch(inotify_.get(), at->second);
    paths_.erase(at->second);
    at = watches_.erase(at);
  }
  bool is_missing = false;
  bool is_more = false;
  for (const auto& [path, folder] : folders_) {
    if (watches_.count(path) > 0 || watches_.size() >= kFoldersMax) continue;
    const int watch = ::inotify_add_watch(inotify_.get(), path.c_str(), kMask);
    if (watch < 0) {
      is_missing = true;
      continue;
    }
    // Two paths to one folder (a bind mount) share a kernel watch; its events then count for the first of
    // them.
    if (const auto twin = paths_.find(watch); twin != paths_.end()) {
      Folder& first = folders_[twin->second];
      first.names.insert(folder.names.begin(), folder.names.end());
      first.is_whole = first.is_whole || folder.is_whole;
      continue;
    }
    paths_[watch] = path;
    watches_[path] = watch;
    is_more = true;
  }
  if (is_missing) retry_.start(loop_.timers(), kRetry);
  return is_more;
}

void FileWatch::on_retry(void* self) {
  auto* watch = static_cast<FileWatch*>(self);
  if (watch->apply()) watch->arm();
}

void FileWatch::on_readable(void* self, net::Readiness) {
  auto* watch = static_cast<FileWatch*>(self);
  alignas(inotify_event) char buffer[8192];
  ssize_t size = 0;
  while ((size = ::read(watch->inotify_.get(), buffer, sizeof buffer)) > 0) {
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      const std::string name(event->name, event->len > 0 ? ::strnlen(event->name, event->len) : 0);
      watch->note_event(event->wd, event->mask, name);
      at += static_cast<ssize_t>(sizeof *event + event->len);
    }
  }
}

void FileWatch::settle() {
  if (!inotify_.is_open()) return;
  on_readable(this, {});
  quiet_.stop();
}

void FileWatch::note_event(int watch, uint32_t mask, const std::string& name) {
  if ((mask & IN_Q_OVERFLOW) != 0) return arm();
  const auto found = paths_.find(watch);
  if (found == paths_.end()) return;
  if ((mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
    if ((mask & IN_MOVE_SELF) != 0) ::inotify_rm_watch(inotify_.get(), watch);
    watches_.erase(found->second);
    paths_.erase(found);
    retry_.start(loop_.timers(), kRetry);
    return arm();
  }
  const auto folder = folders_.find(found->second);
  if (folder == folders_.end() || !is_relevant(folder->second, name, mask)) return;
  // Half a file may well be a valid configuration with less in it.
  if ((mask & IN_CREATE) != 0 && is_being_written(found->second + "/" + name)) return;
  arm();
}

bool FileWatch::is_relevant(const Folder& folder, const std::string& name, uint32_t mask) {
  if (folder.names.count(name) > 0) return true;
  if (!folder.is_whole) return false;
  if ((mask & IN_ISDIR) != 0) return name.empty() || name.front() != '.' || name == "..data";
  return is_source_name(name) || name == "..data";
}

void FileWatch::arm() {
  const base::SteadyTime now = base::Clock::steady();
  if (!quiet_.is_running()) first_event_ = now;
  const base::Duration left = base::Duration(kGatherMax) - (now - first_event_);
  quiet_.start(loop_.timers(), std::max(base::Duration(0), std::min(base::Duration(kQuiet), left)));
}

void FileWatch::on_quiet(void* self) { static_cast<FileWatch*>(self)->on_change_(); }

}  // namespace moongate::control
