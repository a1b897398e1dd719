// SPDX-License-Identifier: Apache-2.0
#include "base/uuid.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "base/random.h"

using namespace moongate::base;

namespace {

std::string v4() {
  std::string text(kUuidSize, 'x');
  REQUIRE(make_uuid_v4(text.data()));
  return text;
}

std::string v7(uint64_t unix_ms) {
  std::string text(kUuidSize, 'x');
  REQUIRE(make_uuid_v7(unix_ms, text.data()));
  return text;
}

}  // namespace

TEST_CASE("a UUID is written in five groups of lower-case digits") {
  std::array<uint8_t, 16> bytes{};
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<uint8_t>(i * 17);
  std::string text(kUuidSize, 'x');
  write_uuid(bytes, text.data());
  CHECK(text == "00112233-4455-6677-8899-aabbccddeeff");
}

TEST_CASE("version and variant stand in a random UUID and nothing repeats") {
  std::set<std::string> seen;
  std::set<char> variants;
  for (int i = 0; i < 2000; i++) {  // more than is fetched ahead at a time
    const std::string text = v4();
    REQUIRE(text[14] == '4');
    variants.insert(text[19]);
    seen.insert(text);
  }
  CHECK(seen.size() == 2000);
  CHECK(variants == std::set<char>{'8', '9', 'a', 'b'});
}

TEST_CASE("UUIDs of version 7 begin with their time and sort by it") {
  CHECK(v7(0x017F22E279B0).substr(0, 15) == "017f22e2-79b0-7");  // the example of RFC 9562, A.6
  CHECK(v7(1000) < v7(1001));
  CHECK(v7(1000) != v7(1000));
}

TEST_CASE("a forked process makes other ids than the one it came from") {
  v4();
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char text[kUuidSize];
    const bool is_sent = make_uuid_v4(text) && ::write(pipe_ends[1], text, kUuidSize) == kUuidSize;
    ::_exit(is_sent ? 0 : 1);
  }
  std::string of_child(kUuidSize, '\0');
  REQUIRE(::read(pipe_ends[0], of_child.data(), kUuidSize) == static_cast<ssize_t>(kUuidSize));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(of_child != v4());
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST_CASE("random bytes come in any length that is asked for") {
  std::string many(10000, '\0');
  REQUIRE(fill_random(many.data(), many.size()));
  CHECK(std::set<char>(many.begin(), many.end()).size() == 256);
}
