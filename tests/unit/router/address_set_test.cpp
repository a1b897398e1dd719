// SPDX-License-Identifier: Apache-2.0
// Addresses, networks and sets of them, the sets also against a search through the networks one by one.
#include "router/address_set.h"

#include <catch2/catch.hpp>
#include <random>

using namespace moongate::router;

namespace {

AddressSet make_set(std::vector<std::string> texts) { return AddressSet::parse(texts).take(); }
Address at(std::string_view text) { return parse_address(text).take(); }

}  // namespace

TEST_CASE("parses IPv4 and IPv6 addresses into 16 bytes") {
  CHECK(at("1.2.3.4").is_v4());
  CHECK(at("1.2.3.4").v4() == 0x01020304);
  CHECK(at("1.2.3.4") == Address::from_v4(0x01020304));
  CHECK(at("::ffff:1.2.3.4") == at("1.2.3.4"));
  CHECK_FALSE(at("::1.2.3.4").is_v4());
  CHECK(at("2001:DB8::1") == at("2001:db8:0:0:0:0:0:1"));
  CHECK(at("2001:db8::1").high() == 0x20010DB800000000);
  CHECK(at("2001:db8::1").low() == 1);
}

TEST_CASE("refuses what is not exactly one address") {
  using namespace std::string_view_literals;
  for (std::string_view text :
       {""sv, "1.2.3"sv, "1.2.3.4.5"sv, "256.1.1.1"sv, "01.2.3.4"sv, " 1.2.3.4"sv, "1.2.3.4 "sv, "[::1]"sv,
        "::1%lo"sv, "1.2.3.4:80"sv, "1.2.3.4\0"sv, ":::"sv, "g::"sv, "localhost"sv, "1.2.3.4/8"sv}) {
    INFO(text);
    CHECK_FALSE(parse_address(text).ok());
  }
  CHECK_FALSE(parse_address(std::string(5000, '1')).ok());
}

TEST_CASE("an address that does not parse is quoted in the error") {
  CHECK(parse_address("1.2.3").error().detail == "invalid ip address: 1.2.3");
  CHECK(parse_network("10.0.0.0/33").error().detail == "invalid ip address: 10.0.0.0/33");
}

TEST_CASE("refuses prefixes that are out of range or oddly written") {
  for (std::string_view text : {"1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/+8", "1.2.3.4/08",
                                "1.2.3.4/8/8", "::/129", "/8", "::1/1000", "1.2.3.4/ 8"}) {
    INFO(text);
    CHECK_FALSE(parse_network(text).ok());
  }
  CHECK(parse_network("1.2.3.4/0").ok());
  CHECK(parse_network("::/128").ok());
}

TEST_CASE("bits behind the prefix are ignored") {
  CHECK(parse_network("10.1.2.3/8")->contains(at("10.200.0.1")));
  CHECK_FALSE(parse_network("10.1.2.3/8")->contains(at("11.0.0.0")));
  CHECK(make_set({"2001:db8::1/32"}).contains(at("2001:db8:ffff::")));
}

TEST_CASE("a set holds the first and last address of its networks and not their neighbours") {
  AddressSet set = make_set({"10.0.1.0/24", "2001:db8::/64", "192.0.2.7"});
  CHECK(set.contains(at("10.0.1.0")));
  CHECK(set.contains(at("10.0.1.255")));
  CHECK_FALSE(set.contains(at("10.0.0.255")));
  CHECK_FALSE(set.contains(at("10.0.2.0")));
  CHECK(set.contains(at("2001:db8::")));
  CHECK(set.contains(at("2001:db8::ffff:ffff:ffff:ffff")));
  CHECK_FALSE(set.contains(at("2001:db8:0:1::")));
  CHECK_FALSE(set.contains(at("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff")));
  CHECK(set.contains(at("192.0.2.7")));
  CHECK_FALSE(set.contains(at("192.0.2.8")));
}

TEST_CASE("an IPv4 client is never in an IPv6 network that only happens to span it") {
  CHECK_FALSE(make_set({"::/0"}).contains(at("10.0.0.1")));
  CHECK_FALSE(parse_network("::/0")->contains(at("10.0.0.1")));
  CHECK(make_set({"::/0"}).contains(at("2001:db8::1")));
  CHECK_FALSE(make_set({"0.0.0.0/0"}).contains(at("::1")));
  CHECK(make_set({"::ffff:10.0.0.0/104"}).contains(at("10.9.9.9")));
  CHECK(make_set({"10.0.0.0/8"}).contains(at("::ffff:10.9.9.9")));
}

TEST_CASE("an empty set holds nothing") {
  CHECK(AddressSet().is_empty());
  CHECK_FALSE(AddressSet().contains(at("1.2.3.4")));
}

TEST_CASE("networks that overlap or touch become one range") {
  CHECK(make_set({"10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16"}).range_count() == 1);
  CHECK(make_set({"::/1", "8000::/1"}).range_count() == 1);
  CHECK(make_set({"0.0.0.0/0", "255.255.255.255"}).range_count() == 1);
  CHECK(make_set({"10.0.0.1", "10.0.0.3"}).range_count() == 2);
}

TEST_CASE("the first bad network of a set is the error") {
  CHECK(AddressSet::parse(std::vector<std::string>{"10.0.0.1", "nonsense", "worse"}).error().detail ==
        "invalid ip address: nonsense");
}

TEST_CASE("a set agrees with a search through its networks at 1, 100, 101 and 10,000 entries") {
  std::mt19937_64 random(7);
  auto random_address = [&] {
    if (random() % 2) return Address::from_v4(static_cast<uint32_t>(0x0A000000 | (random() % (1 << 18))));
    Address address;
    address.bytes[0] = 0x20;
    for (size_t i = 13; i < 16; i++) address.bytes[i] = static_cast<uint8_t>(random() % (i == 13 ? 4 : 256));
    return address;
  };
  for (size_t count : {1, 100, 101, 10000}) {
    std::vector<Network> networks;
    for (size_t i = 0; i < count; i++) {
      Address base = random_address();
      auto bits = static_cast<uint8_t>(128 - random() % 10);
      networks.push_back({base, bits});
      for (unsigned bit = bits; bit < 128; bit++)
        networks.back().base.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
    }
    AddressSet set = AddressSet::from_networks(networks);
    size_t held = 0;
    for (int i = 0; i < 2000; i++) {
      Address address = random_address();
      bool is_held = false;
      for (const Network& network : networks) is_held = is_held || network.contains(address);
      held += is_held;
      if (set.contains(address) != is_held) FAIL("count " << count << ", try " << i);
    }
    CHECK((count < 100 || held > 0));
  }
}
