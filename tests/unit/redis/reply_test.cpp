// SPDX-License-Identifier: Apache-2.0
#include "redis/reply.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "redis/command.h"

using namespace moongate;
using namespace std::string_literals;
using namespace moongate::redis;

namespace {

const std::string kReplies =
    "+OK\r\n:-7\r\n$5\r\nhe\r\nl\r\n$-1\r\n-MOVED 3999 "
    "127.0.0.1:6381\r\n*3\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n+x\r\n*0\r\n";

std::string show(const Reply& reply) {
  switch (reply.kind) {
    case Reply::Kind::kNil:
      return "nil";
    case Reply::Kind::kInteger:
      return std::to_string(reply.integer);
    case Reply::Kind::kText:
      return "'" + reply.text + "'";
    case Reply::Kind::kStatus:
      return "+" + reply.text;
    case Reply::Kind::kError:
      return "-" + reply.text;
    case Reply::Kind::kArray:
      break;
  }
  std::string text = "[";
  for (const Reply& item : reply.items) text += show(item) + ",";
  return text + "]";
}

std::string read_all(ReplyReader& reader) {
  std::string text;
  while (true) {
    auto taken = reader.take();
    if (!taken) return text + "fault: " + taken.error().detail;
    if (*taken == nullptr) return text;
    text += show(**taken) + ";";
  }
}

const std::string kShown = "+OK;-7;'he\r\nl';nil;-MOVED 3999 127.0.0.1:6381;[1,['a',nil,],+x,];[];";

}  // namespace

TEST_CASE("replies are the same wherever their bytes are cut") {
  for (size_t cut = 0; cut <= kReplies.size(); cut++) {
    INFO(cut);
    ReplyReader reader;
    REQUIRE(reader.feed(std::string_view(kReplies).substr(0, cut)));
    std::string shown = read_all(reader);
    REQUIRE(reader.feed(std::string_view(kReplies).substr(cut)));
    shown += read_all(reader);
    CHECK(shown == kShown);
  }
}

TEST_CASE("replies come byte by byte as well") {
  ReplyReader reader;
  std::string shown;
  for (char byte : kReplies) {
    REQUIRE(reader.feed({&byte, 1}));
    shown += read_all(reader);
  }
  CHECK(shown == kShown);
}

TEST_CASE("what is no reply is a fault, and a reset reader begins anew") {
  ReplyReader reader;
  REQUIRE(reader.feed("HTTP/1.1 400 Bad Request\r\n"));
  CHECK(read_all(reader).starts_with("fault: bad reply: "));
  reader.reset();
  REQUIRE(reader.feed(":1\r\n"));
  CHECK(read_all(reader) == "1;");
}

TEST_CASE("an array with more parts than the limit is refused before it is made, nested ones together") {
  ReplyReader reader;
  REQUIRE(reader.feed("*65537\r\n"));
  CHECK(read_all(reader).find("more than 65536 parts") != std::string::npos);
  reader.reset();
  REQUIRE(reader.feed("*3\r\n*40000\r\n"));
  CHECK(read_all(reader).empty());
  for (int i = 0; i < 40000; i++) REQUIRE(reader.feed("$-1\r\n"));
  CHECK(read_all(reader).empty());
  REQUIRE(reader.feed("*40000\r\n"));
  CHECK(read_all(reader).starts_with("fault: "));
}

TEST_CASE("a reply longer than the limit is refused, in one text and in many") {
  ReplyReader reader;
  REQUIRE(reader.feed("$500000000\r\n"));
  const std::string piece(64 * 1024, 'x');
  base::Result<void> fed;
  for (size_t size = 0; fed && size <= ReplyReader::kReplyMaxBytes; size += piece.size())
    fed = reader.feed(piece);
  CHECK_FALSE(fed);
  reader.reset();
  REQUIRE(reader.feed("*100\r\n"));
  std::string shown;
  for (int i = 0; i < 100 && shown.empty(); i++) {
    REQUIRE(reader.feed("$65536\r\n" + piece + "\r\n"));
    shown = read_all(reader);
  }
  CHECK(shown.starts_with("fault: "));
}

TEST_CASE("every reply has the whole allowance") {
  ReplyReader reader;
  for (int i = 0; i < 3; i++) {
    REQUIRE(reader.feed("*40000\r\n"));
    for (int k = 0; k < 40000; k++) REQUIRE(reader.feed(":1\r\n"));
    CHECK(read_all(reader).size() > 40000);
  }
}

TEST_CASE("the code of an error is its first word") {
  Reply reply;
  reply.kind = Reply::Kind::kError;
  reply.text = "NOSCRIPT No matching script";
  CHECK(reply.is_error_of("NOSCRIPT"));
  CHECK_FALSE(reply.is_error_of("NOSC"));
  reply.kind = Reply::Kind::kText;
  CHECK_FALSE(reply.is_error_of("NOSCRIPT"));
}

TEST_CASE("a script is sent by its digest or whole, with any bytes in keys and arguments") {
  const auto script = Script::make("return 1");
  CHECK(script->digest == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
  const ScriptInput input{{"k\0\r\n"s}, {"2"}};
  CHECK(format_script(*script, input, true) ==
        "*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$4\r\nk\0\r\n\r\n$1\r\n2\r\n"s);
  CHECK(format_script(*script, input, false).starts_with("*5\r\n$7\r\nEVALSHA\r\n$40\r\ne0e1f9fa"));
}
