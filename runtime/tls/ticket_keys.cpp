// SPDX-License-Identifier: Apache-2.0
#include "tls/ticket_keys.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "base/assert.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "tls/digest.h"

namespace moongate::tls {

using base::Result;

namespace {

constexpr int kPeriodsMax = 64;  // that a file may be behind
constexpr size_t kSharedMinBytes = 32;
constexpr size_t kSharedMaxBytes = 4096;
constexpr char kMagic[8] = {'m', 'g', 't', 'i', 'c', 'k', 'e', '1'};

// The file's content, for the next process of the same machine.
struct Kept {
  char magic[8];
  int64_t period_end_ns;
  std::array<unsigned char, 32> secret;
  TicketKey current;
  TicketKey former;
};

// Digests of one secret for different ends say nothing about each other.
void derive(const std::array<unsigned char, 32>& secret, std::string_view purpose, unsigned char* out,
            size_t size) {
  char made[kDigestMaxBytes];
  const size_t had =
      hmac("sha256", {reinterpret_cast<const char*>(secret.data()), secret.size()}, purpose, made);
  MG_ASSERT(had >= size);
  std::memcpy(out, made, size);
}

}  // namespace

TicketKeys& TicketKeys::of_process() {
  static TicketKeys keys;
  return keys;
}

void TicketKeys::start(base::WallTime now) {
  MG_ASSERT(base::fill_random(reinterpret_cast<char*>(state_.secret.data()), state_.secret.size()));
  state_.period_end = now;
  step();
  state_.former = state_.current;
}

Result<void> TicketKeys::start_shared(const std::string& path, base::WallTime now) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return base::io_error(path);
  if ((status.st_mode & S_IRWXO) != 0)
    return base::invalid(path + ": anybody may read it, and so open every session; run chmod 600 on it");
  const Result<std::string> bytes = base::read_file(path, kSharedMaxBytes);
  if (!bytes) return bytes.error();
  if (bytes->size() < kSharedMinBytes)
    return base::invalid(path + ": too short for a secret; make one with `openssl rand -out FILE 80`");
  char made[kDigestMaxBytes];
  const size_t size = digest("sha256", *bytes, made);
  MG_ASSERT(size == state_.secret.size());
  std::memcpy(state_.secret.data(), made, size);
  is_shared_ = true;
  begin_shared(now);
  return {};
}

void TicketKeys::begin_shared(base::WallTime now) {
  const auto periods = now.time_since_epoch() / kPeriod;
  state_.period_end = base::WallTime((periods - 1) * base::Duration(kPeriod));
  step();  // the former period
  step();
}

Result<void> TicketKeys::start_kept(const std::string& path, base::WallTime now) {
  path_ = path;
  const Result<std::string> bytes = base::read_file(path, sizeof(Kept));
  const bool is_there = bytes || ::access(path.c_str(), F_OK) == 0;
  bool is_good = bytes && bytes->size() == sizeof(Kept);
  if (is_good) {
    Kept kept{};
    std::memcpy(&kept, bytes->data(), sizeof kept);
    is_good = std::memcmp(kept.magic, kMagic, sizeof kMagic) == 0 &&
              kept.period_end_ns <= (now + kPeriod).time_since_epoch().count() && kept.period_end_ns > 0;
    const base::WallTime end{base::Duration(kept.period_end_ns)};
    if (is_good && now >= end + kPeriodsMax * kPeriod) {  // nobody has its tickets, but perhaps the file
      start(now);
      return keep(now);
    }
    if (is_good) {
      state_.secret = kept.secret;
      state_.period_end = base::WallTime(base::Duration(kept.period_end_ns));
      state_.current = kept.current;
      state_.former = kept.former;
      kept_until_ = state_.period_end;
    }
  }
  if (!is_good) {
    if (is_there)
      MG_LOG(kWarn) << path << ": no ticket keys of ours; new ones are made, and no session is resumed";
    start(now);
  }
  advance(now);
  return keep(now);
}

Result<void> TicketKeys::keep(base::WallTime now) {
  if (path_.empty()) return {};
  advance(now);
  if (kept_until_ == state_.period_end) return {};
  kept_until_ = state_.period_end;  // when the file cannot be written: once per period is enough
  Kept kept{{}, state_.period_end.time_since_epoch().count(), state_.secret, state_.current, state_.former};
  std::memcpy(kept.magic, kMagic, sizeof kMagic);
  return base::write_file(path_, {reinterpret_cast<const char*>(&kept), sizeof kept});
}

/// Also when the calendar was set, by whatever: every period is gone through, since other processes may see a
/// step in two, or the next period's beginning first, and must arrive at the same secret. A step of a century
/// takes a tenth of a second.
void TicketKeys::advance(base::WallTime now) {
  if (now < state_.period_end) return;
  if (is_shared_) {
    if (now >= state_.period_end + kPeriod) return begin_shared(now);
    return step();
  }
  while (now >= state_.period_end + 2 * kPeriod) skip();  // nobody seals anything in those
  while (now >= state_.period_end) step();
}

void TicketKeys::step() {
  state_.former = state_.current;
  const std::string period =
      is_shared_ ? " " + std::to_string(state_.period_end.time_since_epoch() / kPeriod) : std::string();
  TicketKey& current = state_.current;
  derive(state_.secret, "ticket name" + period, current.name.data(), current.name.size());
  derive(state_.secret, "ticket cipher" + period, current.cipher_key.data(), current.cipher_key.size());
  derive(state_.secret, "ticket mac" + period, current.mac_key.data(), current.mac_key.size());
  if (is_shared_)
    state_.period_end += kPeriod;
  else
    skip();
}

/// To the next secret.
void TicketKeys::skip() {
  state_.period_end += kPeriod;
  std::array<unsigned char, 32> next{};
  derive(state_.secret, "next period", next.data(), next.size());
  state_.secret = next;
}

}  // namespace moongate::tls
