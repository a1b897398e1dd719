// SPDX-License-Identifier: Apache-2.0
#include "supervisor/pid_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace moongate::supervisor {

using base::Result;

namespace {

std::string path_in(const std::string& directory) { return directory + "/moongate.pid"; }

/// Who holds the lock; 0 when nobody does.
int holder_of(int fd) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return 0;
  return lock.l_pid;
}

}  // namespace

Result<PidFile> PidFile::lock(const std::string& directory) {
  PidFile file;
  file.path_ = path_in(directory);
  file.file_ = snapshot::Descriptor(::open(file.path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file.file_.is_open()) return base::io_error(file.path_);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(file.file_.get(), F_SETLK, &lock) != 0) {
    if (errno != EAGAIN && errno != EACCES) return base::io_error(file.path_);
    return base::Error{base::ErrorKind::kConflict, base::Side::kSelf, false,
                       "moongate is already running in " + directory + " (pid " +
                           std::to_string(holder_of(file.file_.get())) +
                           "); stop it first, or give this one a folder of its own with -p DIR"};
  }
  const std::string text = std::to_string(::getpid()) + "\n";
  const bool is_written =
      ::ftruncate(file.file_.get(), 0) == 0 &&
      ::pwrite(file.file_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  if (!is_written) return base::io_error(file.path_);
  return file;
}

void PidFile::remove() { ::unlink(path_.c_str()); }

int running_pid(const std::string& directory) {
  const snapshot::Descriptor file(::open(path_in(directory).c_str(), O_RDWR | O_CLOEXEC));
  return file.is_open() ? holder_of(file.get()) : 0;
}

}  // namespace moongate::supervisor
