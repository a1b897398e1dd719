// SPDX-License-Identifier: Apache-2.0
#include "control/resource_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/little_endian.h"
#include "base/log.h"
#include "snapshot/hash.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;

namespace {

constexpr std::string_view kMagic = "MGR1";
constexpr size_t kFrameHeaderSize = 16;
constexpr size_t kPayloadMaxBytes = size_t{64} << 20;
constexpr size_t kFileMaxBytes = size_t{1} << 30;
constexpr size_t kFrameBytes = size_t{16} << 20;  // more than one write of the Admin API has
constexpr size_t kChangesPerFrame = 500;
constexpr uint64_t kLogMinBytes = uint64_t{1} << 20;

Value number(uint64_t value) { return Value::number(static_cast<double>(value)); }

uint64_t count_in(const Value& value, std::string_view key) {
  const double number = value.get_number(key, 0);
  return number > 0 && number < 9e15 ? static_cast<uint64_t>(number) : 0;
}

std::optional<Kind> find_kind(std::string_view name) {
  for (size_t i = 0; i < config::kKindCount; i++) {
    if (config::kind_name(static_cast<Kind>(i)) == name) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

void append_frame(std::string& out, std::string_view payload) {
  out += kMagic;
  base::put_number(out, payload.size(), 4);
  base::put_number(out, snapshot::hash64(payload, payload.size()), 8);
  out += payload;
}

/// The payload of the frame at `at`, or nothing when there is no whole one.
std::optional<std::string_view> read_frame(std::string_view bytes, size_t at) {
  if (bytes.size() - at < kFrameHeaderSize || bytes.substr(at, kMagic.size()) != kMagic) return std::nullopt;
  const uint64_t size = base::get_number(bytes, at + 4, 4);
  if (size > kPayloadMaxBytes || size > bytes.size() - at - kFrameHeaderSize) return std::nullopt;
  const std::string_view payload = bytes.substr(at + kFrameHeaderSize, size);
  if (snapshot::hash64(payload, size) != base::get_number(bytes, at + 8, 8)) return std::nullopt;
  return payload;
}

/// Whether a whole frame begins behind `at`: then what stands at `at` is damage and no write that broke off.
bool has_frame_behind(std::string_view bytes, size_t at) {
  for (size_t next = bytes.find(kMagic, at + 1); next != bytes.npos; next = bytes.find(kMagic, next + 1)) {
    if (read_frame(bytes, next)) return true;
  }
  return false;
}

Value describe(const StoredChange& change) {
  Value item = Value::object();
  item.set("kind", Value::string(std::string(config::kind_name(change.key.first))));
  item.set("id", Value::string(change.key.second));
  if (!change.value) return item;
  item.set("value", Value::string(change.value->json));
  item.set("created", number(change.value->created_index));
  item.set("modified", number(change.value->modified_index));
  if (change.value->expires_at_ms != 0) item.set("expires_ms", number(change.value->expires_at_ms));
  if (!change.value->fault.empty()) item.set("fault", Value::string(change.value->fault));
  if (!change.value->stand_in.empty()) item.set("stand_in", Value::string(change.value->stand_in));
  return item;
}

Value make_payload(uint64_t revision, uint64_t snapshot) {
  Value payload = Value::object();
  payload.set("revision", number(revision));
  payload.set("snapshot", number(snapshot));
  payload.set("changes", Value::array());
  return payload;
}

/// Changes as frames that a reader takes: a new one begins after `changes_max` or kFrameBytes of them.
class FrameWriter {
 public:
  FrameWriter(Value payload, size_t changes_max) : payload_(std::move(payload)), changes_max_(changes_max) {}

  void add(const StoredChange& change) {
    std::vector<Value>& changes = payload_.find("changes")->items();
    changes.push_back(describe(change));
    if (change.value) size_ += change.value->json.size() + change.value->stand_in.size();
    if (changes.size() >= changes_max_ || size_ >= kFrameBytes) flush();
  }
  /// At least one frame, which tells the revision.
  std::string take() {
    if (frames_.empty() || !payload_.find("changes")->items().empty()) flush();
    return std::move(frames_);
  }

 private:
  void flush() {
    append_frame(frames_, base::to_json(payload_));
    payload_.find("changes")->items().clear();
    size_ = 0;
  }

  Value payload_;
  size_t changes_max_;
  size_t size_ = 0;
  std::string frames_;
};

Result<void> write_all(int fd, std::string_view bytes, uint64_t at, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return base::io_error(path);
    bytes.remove_prefix(static_cast<size_t>(count));
    at += static_cast<uint64_t>(count);
  }
  return {};
}

}  // namespace

Result<ResourceStore> ResourceStore::open(const std::string& directory, const std::string& name) {
  ResourceStore store(directory + "/" + name);
  if (::mkdir(store.folder_.c_str(), 0700) != 0 && errno != EEXIST) return base::io_error(store.folder_);
  if (auto read = store.read_base(); !read) return read.error();
  if (auto read = store.read_log(); !read) return read.error();
  return store;
}

Result<ResourceStore::Map> ResourceStore::peek(const std::string& directory, const std::string& name) {
  ResourceStore store(directory + "/" + name);
  std::string log;
  // The log first: what is moved into the base meanwhile is found there.
  if (::access((store.folder_ + "/log").c_str(), F_OK) == 0) {
    Result<std::string> bytes = base::read_file(store.folder_ + "/log", kFileMaxBytes);
    if (!bytes) return bytes.error();
    log = bytes.take();
  }
  if (auto read = store.read_base(); !read) return read.error();
  if (auto taken = store.take_log(log); !taken) return taken.error();
  return std::move(store.resources_);
}

const StoredResource* ResourceStore::find(const ResourceKey& key) const {
  const auto found = resources_.find(key);
  return found == resources_.end() ? nullptr : &found->second;
}

Result<void> ResourceStore::read_base() {
  const std::string path = folder_ + "/base";
  if (::access(path.c_str(), F_OK) != 0) return {};
  const Result<std::string> bytes = base::read_file(path, kFileMaxBytes);
  if (!bytes) return bytes.error();
  base_size_ = bytes->size();
  for (size_t at = 0; at < bytes->size();) {
    const auto payload = read_frame(*bytes, at);
    if (!payload) {
      return base::invalid(path + ": damaged at byte " + std::to_string(at) +
                           "; bring back a copy of the folder, or remove it and make the resources again");
    }
    if (auto taken = take_frame(*payload, path); !taken) return taken;
    at += kFrameHeaderSize + payload->size();
  }
  return {};
}

Result<void> ResourceStore::read_log() {
  const std::string path = folder_ + "/log";
  log_ = snapshot::Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!log_.is_open()) return base::io_error(path);
  const Result<std::string> bytes = base::read_file(path, kFileMaxBytes);
  if (!bytes) return bytes.error();
  const Result<size_t> taken = take_log(*bytes);
  if (!taken) return taken.error();
  log_size_ = *taken;
  if (log_size_ < bytes->size()) {
    MG_LOG(kWarn) << path << ": a write that broke off, " << bytes->size() - log_size_
                  << " bytes, is cut off";
    if (::ftruncate(log_.get(), static_cast<off_t>(log_size_)) != 0 || ::fsync(log_.get()) != 0)
      return base::io_error(path);
  }
  return base::sync_folder(folder_);
}

/// How many bytes hold whole frames; behind them is at most a write that broke off.
Result<size_t> ResourceStore::take_log(std::string_view bytes) {
  const std::string path = folder_ + "/log";
  const uint64_t base_revision = revision_;
  size_t at = 0;
  while (at < bytes.size()) {
    const auto payload = read_frame(bytes, at);
    if (!payload) break;
    const Result<Value> parsed = base::parse_json(*payload);
    // A base that was written and a log that could not be emptied any more: the base has it already.
    const bool is_in_base = parsed && count_in(*parsed, "revision") <= base_revision;
    if (!is_in_base) {
      if (auto taken = take_frame(*payload, path); !taken) return taken.error();
    }
    at += kFrameHeaderSize + payload->size();
  }
  if (at < bytes.size() && has_frame_behind(bytes, at)) {
    return base::invalid(path + ": damaged at byte " + std::to_string(at) +
                         ", with changes behind it that were acknowledged; bring back a copy of the file, or "
                         "cut it off there to lose them");
  }
  return at;
}

Result<void> ResourceStore::take_frame(std::string_view payload, const std::string& path) {
  const Result<Value> parsed = base::parse_json(payload);
  const Value* changes = parsed ? parsed->find("changes") : nullptr;
  if (changes == nullptr || !changes->is_array())
    return base::invalid(path + ": a frame that is none of ours; was it written by a newer version?");
  for (const Value& item : changes->items()) {
    const std::optional<Kind> kind = find_kind(item.get_string("kind"));
    if (!kind) {
      return base::invalid(path + ": a resource of the unknown kind `" +
                           std::string(item.get_string("kind")) + "`; was it written by a newer version?");
    }
    StoredChange change{{*kind, std::string(item.get_string("id"))}, std::nullopt};
    if (item.find("value") != nullptr) {
      change.value = StoredResource{std::string(item.get_string("value")),
                                    count_in(item, "created"),
                                    count_in(item, "modified"),
                                    count_in(item, "expires_ms"),
                                    std::string(item.get_string("fault")),
                                    std::string(item.get_string("stand_in"))};
    }
    apply(change);
  }
  revision_ = std::max(revision_, count_in(*parsed, "revision"));
  last_snapshot_ = std::max(last_snapshot_, count_in(*parsed, "snapshot"));
  return {};
}

void ResourceStore::apply(const StoredChange& change) {
  if (change.value)
    resources_[change.key] = *change.value;
  else
    resources_.erase(change.key);
}

Result<void> ResourceStore::append(const std::vector<StoredChange>& changes, uint64_t revision,
                                   uint64_t snapshot) {
  const std::string path = folder_ + "/log";
  if (is_broken_) {
    return base::Error{base::ErrorKind::kIo, base::Side::kSelf, false,
                       path + ": a write failed; restart the gateway once the disk is well"};
  }
  FrameWriter frames(make_payload(revision, snapshot), changes.size());
  for (const StoredChange& change : changes) frames.add(change);
  const std::string frame = frames.take();
  Result<void> written = write_all(log_.get(), frame, log_size_, path);
  if (written && ::fdatasync(log_.get()) != 0) written = base::io_error(path);
  if (!written) {
    // What a failed sync leaves on the disk nobody knows, so nothing is written behind it.
    is_broken_ = ::ftruncate(log_.get(), static_cast<off_t>(log_size_)) != 0 || ::fdatasync(log_.get()) != 0;
    return written;
  }
  log_size_ += frame.size();
  take(changes);
  revision_ = std::max(revision_, revision);
  last_snapshot_ = std::max(last_snapshot_, snapshot);
  return {};
}

void ResourceStore::take(const std::vector<StoredChange>& changes) {
  for (const StoredChange& change : changes) apply(change);
}

Result<void> ResourceStore::compact_if_due() {
  if (is_broken_ || log_size_ < std::max(kLogMinBytes, 2 * base_size_)) return {};
  if (auto written = write_base(); !written) return written;
  // Should the log stay, its changes are passed over: the base has their revisions.
  if (::ftruncate(log_.get(), 0) != 0) return base::io_error(folder_ + "/log");
  log_size_ = 0;
  return {};
}

Result<void> ResourceStore::write_base() {
  FrameWriter frames(make_payload(revision_, last_snapshot_), kChangesPerFrame);
  for (const auto& [key, value] : resources_) frames.add({key, value});
  const std::string bytes = frames.take();
  if (auto written = base::write_file(folder_ + "/base", bytes, base::Durability::kSynced); !written)
    return written;
  base_size_ = bytes.size();
  return {};
}

}  // namespace moongate::control
