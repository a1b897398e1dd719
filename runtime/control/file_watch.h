// SPDX-License-Identifier: Apache-2.0
// Tells when configuration or plugins may have changed. Watches folders, not files: editors write a new file
// and rename it over the old one, and Kubernetes swaps a link (`..data`) that the path leads through; a watch
// on the file itself would sleep through both. So a path stands for every folder on it that holds a link, and
// for the one where it ends. What really changed is for the loader to find out.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "net/event_loop.h"
#include "snapshot/descriptor.h"

namespace moongate::control {

/// Watches files and folders through inotify.
///
/// Shape:   one kernel watch per folder, at most 4,000; events are gathered until 50 ms have been quiet, or
/// for half a second. Fails:   a folder that is not there is tried again every second, and coming to be is a
/// change; without inotify, changes need `moongate reload`.
class FileWatch {
 public:
  FileWatch(net::EventLoop& loop, std::function<void()> on_change);

  /// Replaces what is watched. In `folders` every Lua, YAML and JSON file counts, and every folder. What is
  /// new among it counts as a change, since it may have changed between being read and being watched; but not
  /// if `read`, of all that is new and from before it was read, says that nothing has.
  void set(const std::vector<std::string>& files, const std::vector<std::string>& folders,
           const base::FileStamps* read = nullptr);
  /// Everything is about to be read: what has changed until now need not be told any more.
  void settle();

 private:
  struct Folder {
    std::set<std::string> names;  // that matter here
    bool is_whole = false;        // sources of any name matter
  };
  static void on_readable(void* self, net::Readiness ready);
  static void on_quiet(void* self);
  static void on_retry(void* self);
  std::string add_path(const std::string& path);
  bool apply();
  void note_event(int watch, uint32_t mask, const std::string& name);
  static bool is_relevant(const Folder& folder, const std::string& name, uint32_t mask);
  void arm();

  net::EventLoop& loop_;
  std::function<void()> on_change_;
  snapshot::Descriptor inotify_;
  net::FdWatch watch_;
  net::Timer quiet_;
  net::Timer retry_;
  base::SteadyTime first_event_{};
  bool is_set_ = false;
  std::unordered_map<std::string, Folder> folders_;
  std::unordered_map<int, std::string> paths_;    // by kernel watch
  std::unordered_map<std::string, int> watches_;  // by folder
};

}  // namespace moongate::control
