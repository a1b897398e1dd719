// SPDX-License-Identifier: Apache-2.0
#include "upstream/upstream.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "upstream_fixture.h"

using namespace moongate;
using namespace moongate::upstream;

namespace {

struct NodeSpec {
  std::string host;
  uint32_t weight = 1;
  int priority = 0;
};

/// An upstream of literal nodes on port 80.
struct Fixture {
  explicit Fixture(const std::string& type, const std::vector<NodeSpec>& specs) {
    std::vector<Node> nodes;
    for (const NodeSpec& spec : specs) {
      Node node;
      node.host = spec.host;
      node.port = 80;
      node.weight = spec.weight;
      node.priority = spec.priority;
      nodes.push_back(node);
    }
    UpstreamOptions options;
    options.type = type;
    upstream = Upstream::make(options, std::move(nodes), pool).take();
  }
  std::string pick(std::string_view key = {}) {
    Tried tried;
    return pick(tried, key);
  }
  std::string pick(Tried& tried, std::string_view key = {}) const {
    Node* node = upstream->pick(tried, key);
    return node ? node->host : "none";
  }
  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  Pool pool{*loop};
  std::shared_ptr<Upstream> upstream;
};

std::vector<NodeSpec> many(int count) {
  std::vector<NodeSpec> specs;
  for (int i = 1; i <= count; i++) specs.push_back({"10.0.0." + std::to_string(i)});
  return specs;
}

std::string key_of(int number) { return "key-" + std::to_string(number); }

}  // namespace

TEST_CASE("round robin gives each node its share of every round, spread out") {
  Fixture f("roundrobin", {{"a.test", 5}, {"b.test", 1}, {"c.test", 1}});
  std::string order;
  for (int i = 0; i < 7; i++) order += f.pick()[0];
  CHECK(std::count(order.begin(), order.end(), 'a') == 5);
  CHECK(order.find("aaa") == std::string::npos);
  std::string next;
  for (int i = 0; i < 7; i++) next += f.pick()[0];
  CHECK(next == order);
}

TEST_CASE("whatever the balancer, one request meets each node once and then no more") {
  for (const char* type : {"roundrobin", "least_conn", "chash"}) {
    Fixture f(type, many(5));
    Tried tried;
    std::vector<std::string> met;
    for (int i = 0; i < 5; i++) met.push_back(f.pick(tried, "key"));
    std::sort(met.begin(), met.end());
    CHECK(std::unique(met.begin(), met.end()) == met.end());
    CHECK(std::count(met.begin(), met.end(), "none") == 0);
    CHECK(f.pick(tried, "key") == "none");
  }
}

TEST_CASE("weight nothing is no turn, unless there is only one node") {
  for (const char* type : {"roundrobin", "least_conn", "chash"}) {
    Fixture f(type, {{"a.test", 0}, {"b.test", 1}, {"c.test", 0}});
    for (int i = 0; i < 10; i++) CHECK(f.pick(key_of(i)) == "b.test");
    CHECK(Fixture(type, {{"a.test", 0}}).pick() == "a.test");
    CHECK(Fixture(type, {{"a.test", 0}, {"b.test", 0}}).pick() == "none");
  }
}

TEST_CASE("lower priorities wait until the higher ones were tried") {
  for (const char* type : {"roundrobin", "least_conn", "chash"}) {
    Fixture f(type, {{"low.test", 9, -1}, {"a.test", 1, 5}, {"b.test", 1, 5}});
    Tried tried;
    std::string first = f.pick(tried, "key"), second = f.pick(tried, "key");
    CHECK(first != "low.test");
    CHECK(second != "low.test");
    CHECK(f.pick(tried, "key") == "low.test");
  }
}

TEST_CASE("the node with the fewest requests for its weight is next") {
  Fixture f("least_conn", {{"a.test", 1}, {"b.test", 3}});
  Tried tried;
  Node* node = f.upstream->pick(tried, {});
  CHECK(node->host == "b.test");  // 1/1 against 1/3
  node->active = 3;
  CHECK(f.pick() == "a.test");  // 1/1 against 4/3
}

TEST_CASE("equals take turns") {
  Fixture f("least_conn", many(3));
  std::map<std::string, int> turns;
  for (int i = 0; i < 9; i++) turns[f.pick()]++;
  for (const auto& [host, count] : turns) CHECK(count == 3);
}

TEST_CASE("a key keeps its node, and keys spread over all of them") {
  Fixture f("chash", many(5));
  std::map<std::string, int> share;
  for (int i = 0; i < 5000; i++) {
    std::string node = f.pick(key_of(i));
    if (i % 50 == 0) CHECK(f.pick(key_of(i)) == node);
    share[node]++;
  }
  REQUIRE(share.size() == 5);
  for (const auto& [host, count] : share) {
    CHECK(count > 500);
    CHECK(count < 1700);
  }
}

TEST_CASE("a node that goes moves its own keys and no others") {
  Fixture before("chash", many(5));
  Fixture after("chash", many(4));
  for (int i = 0; i < 1000; i++) {
    std::string was = before.pick(key_of(i));
    if (was != "10.0.0.5") REQUIRE(after.pick(key_of(i)) == was);
  }
}

TEST_CASE("the order of nodes in the file moves no key") {
  std::vector<NodeSpec> turned = many(5);
  std::reverse(turned.begin(), turned.end());
  Fixture one("chash", many(5)), other("chash", turned);
  for (int i = 0; i < 500; i++) REQUIRE(one.pick(key_of(i)) == other.pick(key_of(i)));
}

TEST_CASE("weights of any size make a ring that fits") {
  Fixture f("chash", {{"a.test", 4'000'000'000U}, {"b.test", 1'000'000'000U}, {"c.test", 3'999'999'999U}});
  std::map<std::string, int> share;
  for (int i = 0; i < 2000; i++) share[f.pick(key_of(i))]++;
  CHECK(share["a.test"] > share["b.test"]);
  Fixture round("roundrobin", {{"a.test", 4'294'967'295U}, {"b.test", 4'294'967'295U}});
  std::map<std::string, int> turns;
  for (int i = 0; i < 1000; i++) turns[round.pick()]++;
  CHECK(turns["a.test"] == 500);
}

TEST_CASE("retries are one less than there are nodes unless they are set") {
  CHECK(Fixture("roundrobin", many(3)).upstream->retries_max() == 2);
  CHECK(Fixture("roundrobin", {}).upstream->retries_max() == 0);
  CHECK(Fixture("roundrobin", {}).pick() == "none");
}

TEST_CASE("an unknown balancer is refused with the names of those there are") {
  auto made = make_balancer("magic", {});
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().detail.find("roundrobin") != std::string::npos);
}
