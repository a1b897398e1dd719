// SPDX-License-Identifier: Apache-2.0
#include "redis/connection.h"

#include "redis_fixture.h"

using namespace moongate;
using namespace moongate::redis;
using namespace moongate::redis_fixture;

namespace {

struct Fixture {
  explicit Fixture(Access access = {})
      : server(*loop),
        connection(std::make_shared<Connection>(*loop, nullptr, server.place, std::move(access))) {}

  base::Result<void> ask(const std::string& bytes, int skipped = 0) {
    return connection->ask(
        {bytes, skipped, [this](const base::Result<Reply>& result) { answers += show(result) + ";"; }},
        milliseconds(1000));
  }
  bool has_answer(const std::string& text) {
    return turn_until(*loop, [&] { return answers.find(text) != std::string::npos; });
  }

  MovedClock clock;
  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  FakeServer server;
  std::shared_ptr<Connection> connection;
  std::string answers;
};

}  // namespace

TEST_CASE("questions of one turn go out together and answers come back in their order") {
  Fixture f;
  REQUIRE(f.ask("a\r\n"));
  REQUIRE(f.ask("b\r\n"));
  f.server.welcome();
  f.server.expect("a\r\nb\r\n");
  f.server.say(":1\r\n:2");
  CHECK(f.has_answer("1;"));
  CHECK(f.answers == "1;");
  f.server.say("\r\n");
  CHECK(f.has_answer("1;2;"));
}

TEST_CASE("an answer that only clears the way is skipped") {
  Fixture f;
  REQUIRE(f.ask("ASKING\r\nx\r\n", 1));
  REQUIRE(f.ask("y\r\n"));
  f.server.welcome();
  f.server.say("+OK\r\n:1\r\n:2\r\n");
  CHECK(f.has_answer("2;"));
  CHECK(f.answers == "1;2;");
}

TEST_CASE("it says who it is and chooses its database before anything else") {
  Fixture f({"user", "secret", 3, nullptr, ""});
  REQUIRE(f.ask("x\r\n"));
  f.server.accept();
  f.server.expect(
      "*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$"
      "4\r\nPING\r\n");
  f.server.read();
  CHECK(f.server.received.empty());
  f.server.say("+OK\r\n+OK\r\n+PONG\r\n");
  f.server.expect("x\r\n");
}

TEST_CASE("a server that refuses us is down, and says why without the password") {
  Fixture f({"", "secret", 0, nullptr, ""});
  REQUIRE(f.ask("x\r\n"));
  f.server.accept();
  f.server.expect("PING\r\n");
  f.server.say("-WRONGPASS invalid username-password pair\r\n-NOAUTH Authentication required.\r\n");
  CHECK(f.has_answer("WRONGPASS"));
  CHECK(f.answers.find("secret") == std::string::npos);
  CHECK(f.connection->is_down());
  const auto refused = f.ask("y\r\n");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().is_retryable);
  CHECK(refused.error().detail.find("WRONGPASS") != std::string::npos);
}

TEST_CASE("a user who may not PING is welcome") {
  Fixture f({"user", "secret", 0, nullptr, ""});
  REQUIRE(f.ask("x\r\n"));
  f.server.accept();
  f.server.expect("PING\r\n");
  f.server.say("+OK\r\n-NOPERM this user has no permissions to run the 'ping' command\r\n");
  f.server.expect("x\r\n");
}

TEST_CASE(
    "a server that is down is tried again by itself, less and less often, and is back when it answers") {
  Fixture f;
  REQUIRE(f.ask("x\r\n"));
  f.server.accept();
  f.server.hang_up();
  REQUIRE(f.has_answer("closed the connection"));
  CHECK_FALSE(f.server.has_caller());
  f.clock.advance(milliseconds(51));
  f.server.accept();
  f.server.expect("PING\r\n");
  f.server.hang_up();
  for (int i = 0; i < 10; i++) turn(*f.loop);
  f.clock.advance(milliseconds(51));
  CHECK_FALSE(f.server.has_caller());
  CHECK_FALSE(f.ask("y\r\n"));
  f.clock.advance(milliseconds(51));
  f.server.welcome();
  REQUIRE(turn_until(*f.loop, [&] { return !f.connection->is_down(); }));
  REQUIRE(f.ask("z\r\n"));
  f.server.expect("z\r\n");
}

TEST_CASE("a connection that held for a while is made anew by the next question") {
  Fixture f;
  REQUIRE(f.ask("x\r\n"));
  f.server.welcome();
  f.server.expect("x\r\n");
  f.server.say(":1\r\n");
  REQUIRE(f.has_answer("1;"));
  f.clock.advance(milliseconds(1500));
  turn(*f.loop);
  REQUIRE(f.ask("last\r\n"));
  f.server.expect("last\r\n");
  f.server.hang_up();
  REQUIRE(f.has_answer("closed the connection"));
  CHECK_FALSE(f.connection->is_down());
  REQUIRE(f.ask("y\r\n"));
  f.server.welcome();
  f.server.expect("y\r\n");
}

TEST_CASE("connecting and greeting together have the time limit of who asked") {
  Fixture f;
  REQUIRE(f.ask("x\r\n"));
  f.server.accept();
  f.server.expect("PING\r\n");
  f.clock.advance(milliseconds(800));
  for (int i = 0; i < 5; i++) turn(*f.loop);
  CHECK(f.answers.empty());
  f.clock.advance(milliseconds(210));
  REQUIRE(f.has_answer("connecting took longer than 1000 ms"));
}

TEST_CASE("who waits in vain ends a connection that is silent, and not one that answers others") {
  Fixture f;
  REQUIRE(f.ask("x\r\n"));
  REQUIRE(f.ask("y\r\n"));
  f.server.welcome();
  f.server.expect("y\r\n");
  f.clock.advance(milliseconds(1000));
  f.server.say(":1\r\n");
  REQUIRE(f.has_answer("1;"));
  f.connection->note_overdue(milliseconds(1000));
  CHECK_FALSE(f.connection->is_down());
  f.clock.advance(milliseconds(510));
  turn(*f.loop);
  f.connection->note_overdue(milliseconds(1000));
  CHECK(f.connection->is_down());
  CHECK(f.answers.find("1;failed: ") == 0);
}

TEST_CASE("the line of questions has an end") {
  Fixture f;
  for (size_t i = 0; i < Connection::kCallsMax; i++) REQUIRE(f.ask("x\r\n"));
  const auto refused = f.ask("x\r\n");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == base::ErrorKind::kLimit);
  CHECK(f.answers.empty());
}

TEST_CASE("what is not sent yet has an end in bytes too") {
  Fixture f;
  const std::string piece(1u << 20, 'x');
  base::Result<void> asked;
  int count = 0;
  for (; asked && count < 100; count++) asked = f.ask(piece);
  CHECK(count == static_cast<int>(Connection::kUnsentMaxBytes / piece.size()) + 1);
  CHECK(asked.error().kind == base::ErrorKind::kLimit);
}

TEST_CASE("an answer nobody asked for, and what is no answer, end the connection") {
  for (const char* nonsense : {":1\r\n:2\r\n", "HTTP/1.1 200 OK\r\n"}) {
    Fixture f;
    REQUIRE(f.ask("x\r\n"));
    f.server.welcome();
    f.server.expect("x\r\n");
    f.server.say(nonsense);
    CHECK(turn_until(*f.loop, [&] { return f.connection->is_down(); }));
  }
}

TEST_CASE("a server that turned into a replica is left, after its answer was given") {
  Fixture f;
  REQUIRE(f.ask("x\r\n"));
  f.server.welcome();
  f.server.expect("x\r\n");
  f.server.say("-READONLY You can't write against a read only replica.\r\n");
  CHECK(f.has_answer("error: READONLY"));
  CHECK(f.connection->is_down());
}

TEST_CASE("what fails while a question is put in line is told later, from the loop") {
  Fixture f;
  f.server.stop_listening();
  REQUIRE(f.ask("x\r\n"));
  CHECK(f.answers.empty());
  REQUIRE(f.has_answer("connecting failed: "));
}

TEST_CASE(
    "a question with a short limit neither cuts an attempt short nor ends a connection that is only slow") {
  Fixture f;
  REQUIRE(f.connection->ask({"x\r\n", 0, [](const base::Result<Reply>&) {}}, milliseconds(5)));
  f.server.accept();
  f.server.expect("PING\r\n");
  f.clock.advance(milliseconds(400));
  turn(*f.loop);
  CHECK_FALSE(f.connection->is_down());
  f.server.say("+PONG\r\n");
  f.server.expect("x\r\n");
  f.connection->note_overdue(milliseconds(5));
  CHECK_FALSE(f.connection->is_down());
  f.clock.advance(milliseconds(600));
  turn(*f.loop);
  f.connection->note_overdue(milliseconds(5));
  CHECK(f.connection->is_down());
}
