// SPDX-License-Identifier: Apache-2.0
#include "shm/segment.h"

#include <sys/mman.h>

#include <utility>

#include "base/assert.h"

namespace moongate::shm {

namespace {

constexpr size_t kPageBytes = 4096;

size_t round_up(size_t size, size_t step) { return (size + step - 1) / step * step; }

}  // namespace

base::Result<Segment> Segment::make(size_t size_bytes) {
  if (size_bytes == 0) return base::invalid("shared memory: the size is zero; at least one area is needed");
  size_t size = round_up(size_bytes, kPageBytes);
  if (size < size_bytes)
    return base::invalid("shared memory: the size does not fit this machine's address space");
  // Pages are taken when first touched: a limiter of 64 MB that sees ten clients costs a few pages.
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return base::io_error("shared memory: cannot map " + std::to_string(size) + " bytes");
  return Segment(static_cast<char*>(at), size);
}

Segment::Segment(Segment&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      used_(std::exchange(other.used_, 0)),
      areas_(std::move(other.areas_)) {}

Segment& Segment::operator=(Segment&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  base_ = std::exchange(other.base_, nullptr);
  size_ = std::exchange(other.size_, 0);
  used_ = std::exchange(other.used_, 0);
  areas_ = std::move(other.areas_);
  return *this;
}

Segment::~Segment() { unmap(); }

void Segment::unmap() {
  if (base_ != nullptr) munmap(base_, size_);
  base_ = nullptr;
}

void* Segment::area(std::string_view name, size_t size_bytes, size_t alignment) {
  MG_ASSERT(alignment > 0 && (alignment & (alignment - 1)) == 0 && alignment <= kPageBytes);
  if (find(name) != nullptr) return nullptr;
  size_t offset = round_up(used_, alignment);
  if (offset > size_ || size_bytes > size_ - offset) return nullptr;
  areas_.push_back(Area{std::string(name), offset, size_bytes});
  used_ = offset + size_bytes;
  return base_ + offset;
}

void* Segment::find(std::string_view name) const {
  for (const Area& area : areas_) {
    if (area.name == name) return base_ + area.offset_bytes;
  }
  return nullptr;
}

}  // namespace moongate::shm
