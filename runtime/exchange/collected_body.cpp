// SPDX-License-Identifier: Apache-2.0
#include "exchange/collected_body.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace moongate::exchange {

using base::Error;
using base::ErrorKind;
using base::Result;

namespace {

// Not every file system makes files without names.
int open_nameless(const std::string& directory) {
  int fd = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
  std::string path = directory + "/body-XXXXXX";
  fd = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd >= 0) ::unlink(path.c_str());
  return fd;
}

Error no_room(std::string detail) { return {ErrorKind::kLimit, base::Side::kSelf, false, std::move(detail)}; }

}  // namespace

Result<void> CollectedBody::append(std::string_view bytes, BodyFiles& files) {
  bool stays = memory_.size() + bytes.size() <= files.memory_max_bytes || files.directory.empty();
  if (fd_ < 0 && stays) {
    memory_.append(bytes);
    return {};
  }
  if (fd_ >= 0) return write(bytes, files);
  if (auto opened = open(files); !opened) return opened;
  if (auto moved = write(memory_.view(), files); !moved) return moved;
  memory_.clear();
  return write(bytes, files);
}

Result<void> CollectedBody::open(BodyFiles& files) {
  fd_ = open_nameless(files.directory);
  if (fd_ < 0) return base::io_error("a file for a request's body cannot be made in " + files.directory);
  files_ = &files;
  return {};
}

Result<void> CollectedBody::write(std::string_view bytes, BodyFiles& files) {
  if (files.disk_bytes + bytes.size() > files.disk_max_bytes)
    return no_room("request bodies on disk take all that client.body_disk_max_mb allows");
  while (!bytes.empty()) {
    ssize_t size = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(file_bytes_));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
      return no_room("the disk below " + files.directory + " is full");
    if (size < 0) return base::io_error("a request's body cannot be written to a file in " + files.directory);
    file_bytes_ += static_cast<uint64_t>(size);
    files.disk_bytes += static_cast<uint64_t>(size);
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  return {};
}

void CollectedBody::replace(std::string_view bytes) {
  std::string copy(bytes);  // may be a view of what goes
  clear();
  memory_.append(copy);
}

void CollectedBody::clear() {
  memory_.clear();
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
  files_->disk_bytes -= file_bytes_;
  file_bytes_ = 0;
}

std::string CollectedBody::path() const { return "/proc/self/fd/" + std::to_string(fd_); }

Result<std::string_view> CollectedBody::read(uint64_t offset, char* buffer, size_t size) const {
  ssize_t count = -1;
  do {
    count = ::pread(fd_, buffer, size, static_cast<off_t>(offset));
  } while (count < 0 && errno == EINTR);
  if (count > 0) return std::string_view(buffer, static_cast<size_t>(count));
  if (count < 0) return base::io_error("a request's body cannot be read from its file");
  return base::invalid("a request's body is shorter in its file than it was");
}

}  // namespace moongate::exchange
