// SPDX-License-Identifier: Apache-2.0
#include "tls/ticket_keys.h"

#include <sys/random.h>

#include <cstring>
#include <string_view>

#include "base/assert.h"
#include "tls/digest.h"

namespace moongate::tls {

namespace {

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
  MG_ASSERT(::getrandom(secret_.data(), secret_.size(), 0) == static_cast<ssize_t>(secret_.size()));
  period_end_ = now;
  step();
  former_ = current_;
}

void TicketKeys::advance(base::WallTime now) {
  if (now < period_end_) return;
  if (now >= period_end_ + 64 * kPeriod) return start(now);  // the clock was set: nothing in between was used
  while (now >= period_end_) step();
}

void TicketKeys::step() {
  former_ = current_;
  derive(secret_, "ticket name", current_.name.data(), current_.name.size());
  derive(secret_, "ticket cipher", current_.cipher_key.data(), current_.cipher_key.size());
  derive(secret_, "ticket mac", current_.mac_key.data(), current_.mac_key.size());
  std::array<unsigned char, 32> next{};
  derive(secret_, "next period", next.data(), next.size());
  secret_ = next;
  period_end_ += kPeriod;
}

}  // namespace moongate::tls
