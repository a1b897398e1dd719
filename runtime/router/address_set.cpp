// SPDX-License-Identifier: Apache-2.0
// Parses addresses and networks and searches sets of them. See address_set.h.
#include "router/address_set.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace moongate::router {

namespace {

constexpr uint8_t kMappedBits = 96;
constexpr uint64_t kMappedLow = 0x0000FFFF00000000;

uint64_t read_big_endian(const uint8_t* at) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++) value = value << 8 | at[i];
  return value;
}

/// The bits of a 64-bit half that a prefix of `bits` (0..64) keeps.
uint64_t half_mask(unsigned bits) { return bits == 0 ? 0 : ~uint64_t{0} << (64 - bits); }
uint64_t high_mask(unsigned bits) { return half_mask(std::min(bits, 64U)); }
uint64_t low_mask(unsigned bits) { return half_mask(bits > 64 ? bits - 64 : 0); }

base::Error bad_address(std::string_view text) {
  return base::invalid("invalid ip address: " + std::string(text.substr(0, 64)));
}

/// One to three digits, without a sign or leading zero; -1 when it is anything else.
int parse_bits(std::string_view text) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return -1;
  int bits = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return -1;
    bits = bits * 10 + (c - '0');
  }
  return bits;
}

void write_big_endian(uint64_t value, uint8_t* at) {
  for (int i = 7; i >= 0; i--, value >>= 8) at[i] = static_cast<uint8_t>(value);
}

/// Sorts ranges and joins those that overlap or touch. `next` gives the value behind one, or itself at the
/// very end.
template <class Range, class Next>
void merge_ranges(std::vector<Range>& ranges, Next next) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  size_t kept = 0;
  for (const Range& range : ranges) {
    if (kept > 0 && range.first <= next(ranges[kept - 1].last)) {
      ranges[kept - 1].last = std::max(ranges[kept - 1].last, range.last);
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
  ranges.shrink_to_fit();
}

/// Whether the last range that begins at or before `value` reaches it.
template <class Range, class Value>
bool is_in_ranges(const std::vector<Range>& ranges, const Value& value) {
  auto after = std::upper_bound(ranges.begin(), ranges.end(), value,
                                [](const Value& a, const Range& b) { return a < b.first; });
  return after != ranges.begin() && value <= std::prev(after)->last;
}

}  // namespace

Address Address::from_v4(uint32_t value) {
  Address address;
  write_big_endian(kMappedLow | value, address.bytes.data() + 8);
  return address;
}

bool Address::is_v4() const { return high() == 0 && low() >> 32 == kMappedLow >> 32; }
uint32_t Address::v4() const { return static_cast<uint32_t>(low()); }
uint64_t Address::high() const { return read_big_endian(bytes.data()); }
uint64_t Address::low() const { return read_big_endian(bytes.data() + 8); }

bool Network::contains(const Address& address) const {
  if (address.is_v4() && (prefix_bits < kMappedBits || !base.is_v4())) return false;
  return (address.high() & high_mask(prefix_bits)) == base.high() &&
         (address.low() & low_mask(prefix_bits)) == base.low();
}

base::Result<Address> parse_address(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof buffer || text.find('\0') != text.npos) return bad_address(text);
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  uint8_t v4[4];
  if (inet_pton(AF_INET, buffer, v4) == 1) {
    return Address::from_v4(uint32_t{v4[0]} << 24 | uint32_t{v4[1]} << 16 | uint32_t{v4[2]} << 8 | v4[3]);
  }
  Address address;
  if (inet_pton(AF_INET6, buffer, address.bytes.data()) != 1) return bad_address(text);
  return address;
}

base::Result<Network> parse_network(std::string_view text) {
  size_t slash = text.find('/');
  auto address = parse_address(text.substr(0, slash));
  if (!address) return bad_address(text);
  if (slash == text.npos) return Network{*address, 128};
  bool is_v4_text = text.substr(0, slash).find(':') == text.npos;
  int bits = parse_bits(text.substr(slash + 1));
  if (bits < 0 || bits > (is_v4_text ? 32 : 128)) return bad_address(text);
  Network network;
  network.prefix_bits = static_cast<uint8_t>(bits + (is_v4_text ? kMappedBits : 0));
  write_big_endian(address->high() & high_mask(network.prefix_bits), network.base.bytes.data());
  write_big_endian(address->low() & low_mask(network.prefix_bits), network.base.bytes.data() + 8);
  return network;
}

base::Result<AddressSet> AddressSet::parse(std::span<const std::string> texts) {
  AddressSet set;
  for (const std::string& text : texts) {
    auto network = parse_network(text);
    if (!network) return network.error();
    set.add(*network);
  }
  set.normalise();
  return set;
}

AddressSet AddressSet::from_networks(std::span<const Network> networks) {
  AddressSet set;
  for (const Network& network : networks) set.add(network);
  set.normalise();
  return set;
}

void AddressSet::add(const Network& network) {
  unsigned bits = network.prefix_bits;
  uint64_t last_high = network.base.high() | ~high_mask(bits);
  uint64_t last_low = network.base.low() | ~low_mask(bits);
  if (bits >= kMappedBits && network.base.is_v4()) {
    v4_.push_back({network.base.v4(), static_cast<uint32_t>(last_low)});
  } else {
    v6_.push_back({{network.base.high(), network.base.low()}, {last_high, last_low}});
  }
}

void AddressSet::normalise() {
  merge_ranges(v4_, [](uint32_t last) { return last == UINT32_MAX ? last : last + 1; });
  merge_ranges(v6_, [](Wide last) {
    if (last.low != UINT64_MAX) return Wide{last.high, last.low + 1};
    return last.high == UINT64_MAX ? last : Wide{last.high + 1, 0};
  });
}

bool AddressSet::contains(const Address& address) const {
  if (address.is_v4()) return is_in_ranges(v4_, address.v4());
  return is_in_ranges(v6_, Wide{address.high(), address.low()});
}

}  // namespace moongate::router
