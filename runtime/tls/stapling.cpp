// SPDX-License-Identifier: Apache-2.0
#include "tls/stapling.h"

#include <cstring>

namespace moongate::tls {

namespace {

constexpr size_t kKeyBytes = 32;

// In front of each packed response; the processes of an instance are one program.
struct Entry {
  unsigned char key[kKeyBytes];
  int64_t until_ns;
  uint64_t size;
};

}  // namespace

Staples& Staples::of_process() {
  static Staples staples;
  return staples;
}

std::string Staples::pack(const std::vector<Staple>& staples) {
  const uint64_t count = staples.size();
  std::string packed(reinterpret_cast<const char*>(&count), sizeof count);
  for (const Staple& staple : staples) {
    MG_ASSERT(staple.key.size() == kKeyBytes);
    Entry entry{{}, staple.until.time_since_epoch().count(), staple.response.size()};
    std::memcpy(entry.key, staple.key.data(), kKeyBytes);
    packed.append(reinterpret_cast<const char*>(&entry), sizeof entry).append(staple.response);
  }
  return packed;
}

base::Result<void> Staples::replace(std::string_view packed) {
  std::unordered_map<std::string, Staple> staples;
  uint64_t count = 0;
  if (packed.size() < sizeof count) return base::invalid("stapled answers: the beginning is missing");
  std::memcpy(&count, packed.data(), sizeof count);
  packed.remove_prefix(sizeof count);
  for (; count > 0; count--) {
    Entry entry{};
    if (packed.size() < sizeof entry) return base::invalid("stapled answers: the end is missing");
    std::memcpy(&entry, packed.data(), sizeof entry);
    packed.remove_prefix(sizeof entry);
    if (entry.size > kStapleSizeMaxBytes || entry.size > packed.size())
      return base::invalid("stapled answers: one is larger than there is room for");
    Staple staple;
    staple.key.assign(reinterpret_cast<const char*>(entry.key), kKeyBytes);
    staple.response = packed.substr(0, entry.size);
    staple.until = base::WallTime(base::Duration(entry.until_ns));
    packed.remove_prefix(entry.size);
    std::string key = staple.key;
    staples.insert_or_assign(std::move(key), std::move(staple));
  }
  staples_ = std::move(staples);
  return {};
}

const std::string* Staples::find(std::string_view key, base::WallTime now) const {
  if (staples_.empty()) return nullptr;
  const auto found = staples_.find(std::string(key));
  return found == staples_.end() || found->second.until <= now ? nullptr : &found->second.response;
}

}  // namespace moongate::tls
