// SPDX-License-Identifier: Apache-2.0
#include "snapshot/sealed_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "snapshot/blob.h"

namespace moongate::snapshot {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace

base::Result<Descriptor> write_sealed_memfd(std::string_view bytes) {
  Descriptor file(::memfd_create("moongate-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.is_open()) return base::io_error("memory for a snapshot");
  if (!write_all(file.get(), bytes))
    return base::io_error("memory for a snapshot of " + std::to_string(bytes.size()) + " bytes");
  if (::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) return base::io_error("sealing a snapshot");
  return file;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

void MappedFile::unmap() {
  if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

base::Result<MappedFile> map_memfd(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals)
    return base::invalid("a snapshot came in a file that is not sealed");
  struct stat status {};
  if (::fstat(fd, &status) != 0) return base::io_error("a snapshot's size");
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0 || size > kBlobSizeMaxBytes)
    return base::invalid("a snapshot of " + std::to_string(size) + " bytes");
  void* at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return base::io_error("mapping a snapshot");
  MappedFile file;
  file.bytes_ = {static_cast<const char*>(at), size};
  return file;
}

}  // namespace moongate::snapshot
