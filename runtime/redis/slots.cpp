// SPDX-License-Identifier: Apache-2.0
#include "redis/slots.h"

#include <array>
#include <charconv>

#include "net/address.h"

namespace moongate::redis {

using base::Result;

namespace {

// CRC16 as XMODEM has it: polynomial 0x1021, beginning with 0.
constexpr std::array<uint16_t, 256> make_crc_table() {
  std::array<uint16_t, 256> table{};
  for (unsigned byte = 0; byte < 256; byte++) {
    unsigned crc = byte << 8;
    for (int bit = 0; bit < 8; bit++) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    table[byte] = static_cast<uint16_t>(crc);
  }
  return table;
}

constexpr auto kCrcTable = make_crc_table();

template <class N>
bool parse_number(std::string_view text, N* number) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, *number);
  return result.ec == std::errc() && result.ptr == end;
}

std::string_view take_word(std::string_view* text) {
  const size_t end = std::min(text->find(' '), text->size());
  std::string_view word = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return word;
}

base::Error bad_slots(std::string_view what) {
  return base::Error{base::ErrorKind::kInvalid, base::Side::kUpstream, false,
                     "bad answer to CLUSTER SLOTS: " + std::string(what)};
}

bool is_integer(const Reply& reply, int64_t max) {
  return reply.kind == Reply::Kind::kInteger && reply.integer >= 0 && reply.integer <= max;
}

}  // namespace

std::string Place::text() const { return net::bracketed(host) + ":" + std::to_string(port); }

Result<Place> parse_place(std::string_view text) {
  const std::string shown(text);
  const size_t colon = text.rfind(':');
  Place place;
  if (colon == std::string_view::npos || !parse_number(text.substr(colon + 1), &place.port) ||
      place.port == 0)
    return base::invalid("\"" + shown + "\" has no port: HOST:PORT is expected");
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host.find_first_of("[]/ ") != std::string_view::npos)
    return base::invalid("\"" + shown + "\" has no host: HOST:PORT is expected");
  place.host = host;
  return place;
}

uint16_t slot_of(std::string_view key) {
  const size_t open = key.find('{');
  if (open != std::string_view::npos) {
    const size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  }
  unsigned crc = 0;
  for (char byte : key)
    crc = ((crc << 8) ^ kCrcTable[((crc >> 8) ^ static_cast<unsigned char>(byte)) & 255]) & 0xffff;
  return static_cast<uint16_t>(crc % kSlotCount);
}

std::optional<Redirection> parse_redirection(std::string_view error, const std::string& asked) {
  Redirection found;
  const std::string_view word = take_word(&error);
  if (word != "MOVED" && word != "ASK") return std::nullopt;
  found.is_lasting = word == "MOVED";
  if (!parse_number(take_word(&error), &found.slot) || found.slot >= kSlotCount) return std::nullopt;
  const std::string place(take_word(&error));
  auto parsed = parse_place(place.rfind(':') == 0 ? asked + place : place);
  if (!parsed) return std::nullopt;
  found.place = parsed.take();
  return found;
}

Result<std::vector<SlotRange>> parse_slots(const Reply& reply, const std::string& asked) {
  if (reply.is_error()) return bad_slots(reply.text);
  if (reply.kind != Reply::Kind::kArray) return bad_slots("no array");
  std::vector<SlotRange> ranges;
  for (const Reply& item : reply.items) {
    if (item.items.size() < 3 || !is_integer(item.items[0], kSlotCount - 1) ||
        !is_integer(item.items[1], kSlotCount - 1))
      return bad_slots("a range without slots");
    const std::vector<Reply>& owner = item.items[2].items;
    if (owner.size() < 2 || !is_integer(owner[1], 65535)) return bad_slots("a range without an owner");
    SlotRange range;
    range.first = static_cast<uint16_t>(item.items[0].integer);
    range.last = static_cast<uint16_t>(item.items[1].integer);
    // Nil and "?" stand for a name that the server does not know.
    const std::string& host = owner[0].text;
    range.owner = {host.empty() || host == "?" ? asked : host, static_cast<uint16_t>(owner[1].integer)};
    ranges.push_back(std::move(range));
  }
  return ranges;
}

}  // namespace moongate::redis
