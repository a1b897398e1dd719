// SPDX-License-Identifier: Apache-2.0
#include "http/http2_frame_walk.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace moongate::http;

namespace {

std::string frame(uint8_t type, uint8_t flags, uint8_t stream, const std::string& payload) {
  std::string head(9, '\0');
  head[1] = static_cast<char>(payload.size() >> 8);
  head[2] = static_cast<char>(payload.size());
  head[3] = static_cast<char>(type);
  head[4] = static_cast<char>(flags);
  head[8] = static_cast<char>(stream);
  return head + payload;
}

struct Seen {
  size_t begin;  // in all that was given
  uint8_t type;
  uint32_t stream, dependency, padding = 0;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> walk(const std::vector<std::string>& parts) {
  Http2FrameWalk walk(4);
  std::vector<Seen> seen;
  size_t before = 0;
  for (const std::string& part : parts) {
    size_t at = 0;
    while (const Http2FrameHead* head = walk.next(part, &at))
      seen.push_back({before + head->begin, head->type, head->stream, head->dependency, head->padding_bytes});
    CHECK(at == part.size());
    before += part.size();
  }
  return seen;
}

const std::string kDependsOn3("\0\0\0\3\x10", 5);

}  // namespace

TEST_CASE("every head is found behind the preface, with where it begins") {
  const std::string bytes = "PRI*" + frame(4, 0, 0, "") + frame(0, 1, 1, std::string(300, 'x')) +
                            frame(2, 0, 5, kDependsOn3) + frame(2, 0, 7, "abc") + frame(8, 0, 7, "1234");
  CHECK(walk({bytes}) ==
        std::vector<Seen>{{4, 4, 0, 0}, {13, 0, 1, 0}, {322, 2, 5, 3}, {336, 2, 7, 0}, {348, 8, 7, 0}});
}

TEST_CASE("a head that is cut anywhere is the same, and begins with the bytes that made it whole") {
  const std::string bytes = "PRI*" + frame(0, 1, 1, "data") + frame(2, 0, 5, kDependsOn3) +
                            frame(0, 8, 3, "\7") + frame(0, 8, 9, "");
  const std::vector<Seen> whole = walk({bytes});
  REQUIRE(whole.size() == 4);
  for (size_t cut = 0; cut <= bytes.size(); cut++) {
    std::vector<Seen> seen = walk({bytes.substr(0, cut), bytes.substr(cut)});
    REQUIRE(seen.size() == whole.size());
    for (size_t i = 0; i < seen.size(); i++) {
      CHECK((seen[i].begin == whole[i].begin || (whole[i].begin < cut && seen[i].begin == cut)));
      seen[i].begin = whole[i].begin;
    }
    CHECK(seen == whole);
  }
  std::vector<std::string> bytewise;
  for (const char c : bytes) bytewise.emplace_back(1, c);
  CHECK(walk(bytewise).size() == whole.size());
}

TEST_CASE("of DATA that is padded it is known how long the padding is") {
  const std::string bytes = "PRI*" + frame(0, 8, 1, "\xff") + frame(0, 8, 1, "") + frame(0, 0, 1, "\7");
  CHECK(walk({bytes}) == std::vector<Seen>{{4, 0, 1, 0, 255}, {14, 0, 1, 0, 0}, {23, 0, 1, 0, 0}});
}

TEST_CASE("the reserved bit is no part of a stream's number") {
  std::string bytes = "PRI*" + frame(0, 0, 1, "");
  bytes[4 + 5] = '\x80';
  CHECK(walk({bytes}) == std::vector<Seen>{{4, 0, 1, 0}});
}
