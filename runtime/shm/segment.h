// SPDX-License-Identifier: Apache-2.0
// The memory that all processes of one instance share: one anonymous mapping, made by the supervisor before
// it forks, cut into named areas. Sizes follow from the settings, so nothing here ever grows. What lives in
// an area is up to its owner: process_table.h, shared_dict.h, limit/tables.h, metrics/registry.h.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace moongate::shm {

/// One shared mapping and the list of its areas.
///
/// Shape:   areas one after the other, in the order they were asked for, zeroed at first.
/// Owner:   the process that made it and, after a fork, its children; each unmaps its own view at the end.
/// Runs in: areas are laid out before the fork; afterwards the object is only read.
/// Fails:   `make` when the system has no memory; `area` gives null when the mapping is used up.
class Segment {
 public:
  struct Area {
    std::string name;
    size_t offset_bytes = 0;
    size_t size_bytes = 0;
  };

  static base::Result<Segment> make(size_t size_bytes);
  Segment(Segment&& other) noexcept;
  Segment& operator=(Segment&& other) noexcept;
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment();

  /// Reserves the next `size_bytes`; `alignment` is a power of two up to 4096. Names are unique: a second
  /// request for one gives null, and so does one that does not fit.
  [[nodiscard]] void* area(std::string_view name, size_t size_bytes, size_t alignment = 64);
  /// The start of the area of that name, or null.
  void* find(std::string_view name) const;

  const std::vector<Area>& areas() const { return areas_; }
  size_t size_bytes() const { return size_; }
  size_t used_bytes() const { return used_; }

 private:
  Segment(char* base, size_t size) : base_(base), size_(size) {}
  void unmap();

  char* base_ = nullptr;
  size_t size_ = 0;
  size_t used_ = 0;
  std::vector<Area> areas_;
};

}  // namespace moongate::shm
