// SPDX-License-Identifier: Apache-2.0
#include "redis/client.h"

#include "redis_fixture.h"

using namespace moongate;
using namespace moongate::redis;
using namespace moongate::redis_fixture;

namespace {

/// A client and three servers; the client of a cluster is told of the first two.
struct Fixture {
  explicit Fixture(bool is_cluster) {
    ClientOptions options;
    options.is_cluster = is_cluster;
    options.places = {first.place};
    if (is_cluster) options.places.push_back(second.place);
    client = Client::make(*loop, nullptr, options);
  }
  std::shared_ptr<Run> start(const std::string& key = "foo") {
    return client->start({script, {{key}, {}}, milliseconds(1000)});
  }
  bool ends(const std::shared_ptr<Run>& run, const std::string& shown) {
    const bool is_over = turn_until(*loop, [&] { return run->is_over(); });
    INFO(show(run->outcome()));
    CHECK(show(run->outcome()).starts_with(shown));
    return is_over;
  }

  MovedClock clock;
  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  FakeServer first{*loop}, second{*loop}, third{*loop};
  std::shared_ptr<const Script> script = Script::make("return 1");
  std::shared_ptr<Client> client;
};

}  // namespace

TEST_CASE("a server that does not know the script is sent its text, once") {
  Fixture f(false);
  auto run = f.start();
  f.first.welcome();
  f.first.expect("EVALSHA");
  f.first.say("-NOSCRIPT No matching script.\r\n");
  f.first.expect("EVAL\r\n$8\r\nreturn 1\r\n");
  f.first.say(":1\r\n");
  CHECK(f.ends(run, "1"));
  run = f.start();
  f.first.expect("EVALSHA");
  f.first.say("-NOSCRIPT\r\n");
  f.first.expect("EVAL\r\n");
  f.first.say("-NOSCRIPT\r\n");
  CHECK(f.ends(run, "error: NOSCRIPT"));
}

TEST_CASE("a run ends at its time limit, and its client's next one at once") {
  Fixture f(false);
  auto run = f.start();
  f.first.welcome();
  f.first.expect("EVALSHA");
  int told = 0;
  run->notify([&told] { told++; });
  f.clock.advance(milliseconds(800));
  for (int i = 0; i < 5; i++) turn(*f.loop);
  CHECK_FALSE(run->is_over());
  f.clock.advance(milliseconds(210));
  CHECK(f.ends(run, "failed: redis " + f.first.place.text() + ": no answer within 1000 ms"));
  CHECK(told == 1);
  CHECK(f.start()->is_over());
}

TEST_CASE("a late answer reaches nobody") {
  Fixture f(false);
  auto late = f.start();
  auto other = f.start();
  f.first.welcome();
  f.first.expect("EVALSHA");
  f.clock.advance(milliseconds(600));
  turn(*f.loop);
  auto young = f.start();
  f.first.say(":1\r\n");
  CHECK(f.ends(late, "1"));
  f.clock.advance(milliseconds(410));
  CHECK(f.ends(other, "failed: "));
  f.first.say(":2\r\n:3\r\n");
  CHECK(f.ends(young, "3"));
}

TEST_CASE("MOVED is followed and remembered, and the map of slots asked for") {
  Fixture f(true);
  auto run = f.start();
  f.first.welcome();
  f.first.expect("EVALSHA");
  f.first.say("-MOVED 12182 " + f.third.place.text() + "\r\n");
  f.third.welcome();
  f.third.expect("EVALSHA");
  f.third.say("*0\r\n:1\r\n");  // the map first: it was asked for first
  CHECK(f.ends(run, "1"));
  run = f.start();
  f.third.expect("EVALSHA");
  f.third.say(":2\r\n");
  CHECK(f.ends(run, "2"));
}

TEST_CASE("ASK is followed with ASKING, for this one command and the script's text") {
  Fixture f(true);
  auto run = f.start();
  f.first.welcome();
  f.first.expect("EVALSHA");
  f.first.say("-ASK 12182 " + f.third.place.text() + "\r\n");
  f.third.welcome();
  f.third.expect("ASKING\r\n*4\r\n$7\r\nEVALSHA\r\n");
  f.third.say("+OK\r\n-NOSCRIPT\r\n");
  f.third.expect("ASKING\r\n*4\r\n$4\r\nEVAL\r\n");
  f.third.say("+OK\r\n:1\r\n");
  CHECK(f.ends(run, "1"));
}

TEST_CASE("redirections in a circle come to an end") {
  Fixture f(true);
  auto run = f.start();
  f.first.welcome();
  const std::string back = "-ASK 12182 " + f.first.place.text() + "\r\n";
  f.first.expect("EVALSHA");
  f.first.say(back);
  for (int hop = 1; hop < Run::kHopsMax; hop++) {
    f.first.expect("ASKING");
    f.first.say("+OK\r\n" + back);
  }
  CHECK(f.ends(run, "error: ASK"));
}

TEST_CASE("one server alone is not left for another, whatever it says") {
  Fixture f(false);
  auto run = f.start();
  f.first.welcome();
  f.first.expect("EVALSHA");
  f.first.say("-MOVED 12182 " + f.third.place.text() + "\r\n");
  CHECK(f.ends(run, "error: MOVED"));
  CHECK_FALSE(f.third.has_caller());
}

TEST_CASE("a server of a cluster that is down is passed over; without any, a run fails at once") {
  Fixture f(true);
  f.first.stop_listening();
  auto run = f.start();
  f.second.welcome();
  f.second.expect("EVALSHA");
  f.second.say(":1\r\n");
  CHECK(f.ends(run, "1"));
  f.second.stop_listening();
  f.second.hang_up();
  run = f.start();
  CHECK(f.ends(run, "failed: redis "));
  CHECK(turn_until(*f.loop, [&] { return f.start()->is_over(); }));
}

TEST_CASE("a run whose client is gone still ends") {
  Fixture f(false);
  auto run = f.start();
  f.first.welcome();
  f.client.reset();
  f.clock.advance(milliseconds(1100));
  CHECK(f.ends(run, "failed: redis"));
}
