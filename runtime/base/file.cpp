// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace moongate::base {

namespace {

struct OpenFile {
  explicit OpenFile(int opened) : fd(opened) {}
  ~OpenFile() {
    if (fd >= 0) ::close(fd);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  const int fd;
};

}  // namespace

std::string file_stamp(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return "";
  std::string stamp;
  for (const uint64_t part :
       {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
        static_cast<uint64_t>(status.st_size), static_cast<uint64_t>(status.st_mtim.tv_sec),
        static_cast<uint64_t>(status.st_mtim.tv_nsec), static_cast<uint64_t>(status.st_ctim.tv_sec),
        static_cast<uint64_t>(status.st_ctim.tv_nsec)})
    stamp += std::to_string(part) + ":";
  return stamp;
}

bool are_unchanged(const FileStamps& stamps) {
  return std::all_of(stamps.begin(), stamps.end(),
                     [](const auto& entry) { return file_stamp(entry.first) == entry.second; });
}

Result<void> sync_folder(const std::string& folder) {
  const OpenFile opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.fd < 0 || ::fsync(opened.fd) != 0) return io_error(folder);
  return {};
}

Result<void> write_file(const std::string& path, std::string_view bytes, Durability durability) {
  const std::string temporary = path + ".new";
  const OpenFile file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.fd < 0) return io_error(temporary);
  while (!bytes.empty()) {
    const ssize_t count = ::write(file.fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return io_error(temporary);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  if (durability == Durability::kSynced && ::fsync(file.fd) != 0) return io_error(temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return io_error(path);
  if (durability == Durability::kBuffered) return {};
  return sync_folder(std::filesystem::path(path).parent_path().string());
}

Result<std::string> read_file(const std::string& path, size_t size_max_bytes) {
  const OpenFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) return io_error(path);
  struct stat status {};
  if (::fstat(file.fd, &status) != 0 || !S_ISREG(status.st_mode))
    return invalid(path + ": not a regular file");
  if (static_cast<size_t>(status.st_size) > size_max_bytes)
    return invalid(path + ": larger than " + std::to_string(size_max_bytes) + " bytes");
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t count = ::read(file.fd, bytes.data() + at, bytes.size() - at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error(path);
    if (count == 0) break;
    at += static_cast<size_t>(count);
  }
  bytes.resize(at);
  return bytes;
}

}  // namespace moongate::base
