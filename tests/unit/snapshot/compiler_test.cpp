// SPDX-License-Identifier: Apache-2.0
#include "snapshot/compiler.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace moongate;
using namespace moongate::snapshot;

namespace {

struct Written {
  RecordKind kind;
  std::string id;
  std::string body;
};

struct Fixture {
  std::shared_ptr<Snapshot> compile(const std::vector<Written>& records, Pin present = nullptr) {
    BlobWriter writer;
    uint32_t order = 0;
    for (const Written& record : records)
      writer.add({record.kind, 0, order++, record.id, "conf.yaml:" + std::to_string(order), record.body, 0});
    return compile(writer, std::move(present), std::chrono::seconds(1));
  }
  std::shared_ptr<Snapshot> compile(BlobWriter& writer, Pin present, base::Duration slice) {
    std::string blob = writer.finish({++number, 0, "test"}).take();
    Compiler compiler(BlobView::open(blob).take(), std::move(present), pool, graveyard);
    while (!compiler.step(slice)) {
    }
    complaints.clear();
    for (const Complaint& complaint : compiler.complaints()) complaints.push_back(complaint.text());
    return compiler.finish().take();
  }
  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  upstream::Pool pool{*loop};
  Graveyard graveyard{[] {}};
  std::vector<std::string> complaints;
  uint64_t number = 0;
};

const std::string kNodes = R"("upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}})";

Written route(const std::string& id, const std::string& more = kNodes) {
  return {RecordKind::kRoute, id, R"({"uri": "/)" + id + R"(", )" + more + "}"};
}
Written upstream_of(const std::string& id, const std::string& node) {
  return {RecordKind::kUpstream, id, R"({"type": "roundrobin", "nodes": {")" + node + R"(": 1}})"};
}

const Route* look_for(const Snapshot& snapshot, const std::string& id) {
  const Route* found = nullptr;
  snapshot.each_route([&](const Route& route) {
    if (route.id == id) found = &route;
  });
  return found;
}

const Route& find(const Snapshot& snapshot, const std::string& id) {
  const Route* found = look_for(snapshot, id);
  REQUIRE(found != nullptr);
  return *found;
}

}  // namespace

TEST_CASE("what did not change is taken over, what changed is not") {
  Fixture f;
  auto first = f.compile({upstream_of("u", "127.0.0.1:1"), route("a"), route("b")});
  find(*first, "a").plugins.chain = std::make_shared<ChainHandle>();
  find(*first, "b").plugins.chain = std::make_shared<ChainHandle>();
  auto second = f.compile(
      {upstream_of("u", "127.0.0.1:1"), route("a"), route("b", R"("name": "new", )" + kNodes)}, first);
  CHECK(second->upstreams.at("u") == first->upstreams.at("u"));
  CHECK(find(*second, "a").plugins.chain == find(*first, "a").plugins.chain);
  CHECK(find(*second, "a").upstream == find(*first, "a").upstream);
  CHECK(find(*second, "b").plugins.chain == nullptr);
  CHECK(find(*second, "b").upstream != find(*first, "b").upstream);
}

TEST_CASE("nodes that stay keep their endpoint, and with it their connections, when their upstream changes") {
  Fixture f;
  auto first = f.compile({upstream_of("u", "127.0.0.1:1")});
  auto second = f.compile({{RecordKind::kUpstream, "u",
                            R"({"type": "roundrobin", "nodes": {"127.0.0.1:1": 1, "127.0.0.1:2": 1}})"}},
                          first);
  const auto& before = first->upstreams.at("u")->nodes();
  const auto& now = second->upstreams.at("u")->nodes();
  REQUIRE(now.size() == 2);
  CHECK(now[0].endpoints == before[0].endpoints);
}

TEST_CASE("an edited plugin makes new chains for the routes that use it and no others") {
  Fixture f;
  std::string with = R"("plugins": {"p": {}}, )" + kNodes;
  auto first = f.compile({route("a", with), route("b"), {RecordKind::kPluginSource, "p", "return 1"}});
  first->each_route([](const Route& made) { made.plugins.chain = std::make_shared<ChainHandle>(); });
  auto second =
      f.compile({route("a", with), route("b"), {RecordKind::kPluginSource, "p", "return 2"}}, first);
  CHECK(find(*second, "a").plugins.chain == nullptr);
  CHECK(find(*second, "b").plugins.chain == find(*first, "b").plugins.chain);
}

TEST_CASE("a route that names what is not there answers for itself and is complained of by place") {
  Fixture f;
  auto snapshot =
      f.compile({route("a", R"("upstream_id": "gone")"), route("b", R"("service_id": "gone", )" + kNodes),
                 route("c", R"("plugin_config_id": "gone", )" + kNodes), route("d")});
  CHECK(find(*snapshot, "a").fault_status == 502);
  CHECK(find(*snapshot, "b").fault_status == 404);
  CHECK(find(*snapshot, "c").fault_status == 503);
  CHECK(find(*snapshot, "d").fault_status == 0);
  REQUIRE(f.complaints.size() == 3);
  CHECK(f.complaints[0].starts_with("conf.yaml:1: a: "));
}

TEST_CASE("a route that cannot be matched is left out and leaves the numbers of the others alone") {
  Fixture f;
  const std::string bad = R"("vars": [["arg_x", "no such operator", 1]], )" + kNodes;
  auto first = f.compile({route("a"), route("bad", bad), route("b"), route("last", bad)});
  CHECK(f.complaints.size() == 2);
  CHECK(first->routes.size() == 2);
  CHECK(look_for(*first, "bad") == nullptr);
  CHECK(look_for(*first, "last") == nullptr);
  CHECK(find(*first, "b").id == "b");
  auto second = f.compile({route("a"), route("bad", bad), route("b"), route("last")}, first);
  CHECK(find(*second, "last").id == "last");
  CHECK(find(*second, "b").upstream == find(*first, "b").upstream);
}

TEST_CASE("a route's own plugin replaces the one of its service and of its plugin_config, whole") {
  Fixture f;
  auto snapshot = f.compile({
      {RecordKind::kService, "s", R"({"plugins": {"x": {"from": "service"}, "y": {"from": "service"}}})"},
      {RecordKind::kPluginConfig, "g", R"({"plugins": {"x": {"from": "group"}, "z": {"from": "group"}}})"},
      route("a", R"("service_id": "s", "plugin_config_id": "g", "plugins": {"z": {"own": true}}, )" + kNodes),
  });
  std::vector<std::pair<std::string, std::string>> confs;
  for (const auto& plugin : find(*snapshot, "a").plugins.plugins)
    confs.emplace_back(plugin.name, *plugin.conf_json);
  std::sort(confs.begin(), confs.end());
  REQUIRE(confs.size() == 3);
  CHECK(confs[0].second.find("group") != std::string::npos);
  CHECK(confs[1].second.find("service") != std::string::npos);
  CHECK(confs[2].second.find("own") != std::string::npos);
}

TEST_CASE("a switched-off route is not there") {
  Fixture f;
  auto snapshot = f.compile({route("a", R"("status": 0, )" + kNodes)});
  CHECK(f.complaints.empty());
  CHECK(snapshot->routes.is_empty());
}

TEST_CASE("a credential without its consumer is complained of, one with it is found by what it shows") {
  Fixture f;
  auto snapshot = f.compile({
      {RecordKind::kConsumer, "jack", R"({"username": "jack", "plugins": {"key-auth": {"key": "k1"}}})"},
      {RecordKind::kCredential, "jack/credentials/c", R"({"plugins": {"key-auth": {"key": "k2"}}})"},
      {RecordKind::kCredential, "joe/credentials/c", R"({"plugins": {"key-auth": {"key": "k3"}}})"},
  });
  auto number = [&](const char* key) { return snapshot->consumer_index.find("key-auth", "key", key); };
  REQUIRE(number("k1") >= 0);
  REQUIRE(number("k2") >= 0);
  CHECK(number("k3") == -1);
  CHECK(snapshot->credentials[static_cast<size_t>(number("k2"))].credential_id == "c");
  CHECK(snapshot->consumers[snapshot->credentials[static_cast<size_t>(number("k2"))].consumer]->username ==
        "jack");
  CHECK(f.complaints.size() == 1);
}

TEST_CASE("compiling in the smallest slices gives what compiling at once gives") {
  Fixture f;
  std::vector<Written> records;
  for (int i = 0; i < 200; i++) records.push_back(route("r" + std::to_string(i)));
  auto whole = f.compile(records);
  BlobWriter writer;
  uint32_t order = 0;
  for (const Written& record : records) writer.add({record.kind, 0, order++, record.id, "", record.body, 0});
  std::string blob = writer.finish({9, 0, ""}).take();
  Compiler compiler(BlobView::open(blob).take(), nullptr, f.pool, f.graveyard);
  int slices = 1;
  while (!compiler.step(base::Duration(0))) slices++;
  auto sliced = compiler.finish().take();
  CHECK(slices > 10);
  REQUIRE(sliced->routes.size() == whole->routes.size());
  for (size_t i = 0; i < sliced->routes.size(); i++) CHECK(sliced->routes[i]->id == whole->routes[i]->id);
}

namespace {

/// Routes of a file and of the API that come, change and go beside things that stay.
class EditedRoutes {
 public:
  explicit EditedRoutes(unsigned seed) : random_(seed) {}

  void edit() {
    const auto number = static_cast<uint32_t>(random_() % 60);
    const std::string id = "r" + std::to_string(number);
    const Key key{number < 30 ? number : 1000, id};
    if (random_() % 4 == 0)
      bodies_.erase(key);
    else
      bodies_[key] = body();
  }

  BlobWriter write() const {
    BlobWriter writer;
    const Written around[] = {
        upstream_of("u", "127.0.0.1:1"),
        {RecordKind::kService, "s", R"({"upstream_id": "u", "plugins": {"p": {}}})"},
        {RecordKind::kPluginConfig, "g", R"({"plugins": {"p": {"of": "group"}}})"},
        {RecordKind::kPluginSource, "p", "return 1"},
    };
    for (const Written& one : around) writer.add({one.kind, 0, 0, one.id, "", one.body, 0});
    for (const auto& [key, body] : bodies_)
      writer.add({RecordKind::kRoute, 0, key.first, key.second, "", body, 0});
    return writer;
  }

 private:
  using Key = std::pair<uint32_t, std::string>;

  std::string body() {
    static const char* const kMore[] = {R"("upstream_id": "u")",
                                        R"("service_id": "s")",
                                        R"("service_id": "s", "plugin_config_id": "g", "plugins": {"q": {}})",
                                        R"("upstream_id": "u", "status": 0)",
                                        R"("upstream_id": "u", "vars": [["arg_x", "no such operator", 1]])",
                                        R"("upstream_id": "gone")",
                                        R"("upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}})"};
    static const char* const kHosts[] = {"", R"("host": "a.com", )", R"("hosts": ["*.B.com", "a.com:81"], )"};
    return R"({"uri": "/)" + std::to_string(random_() % 5) + (random_() % 2 == 0 ? "/*" : "") +
           R"(", "priority": )" + std::to_string(random_() % 2) + ", " + kHosts[random_() % 3] +
           kMore[random_() % 7] + "}";
  }

  std::mt19937 random_;
  std::map<Key, std::string> bodies_;
};

/// All that can be told of the routes: what they are, and in which order they are listed and tried.
std::vector<std::string> describe(const Snapshot& snapshot) {
  std::vector<std::string> lines;
  snapshot.each_route([&](const Route& route) {
    lines.push_back(route.id + " " + route.body_json + " " + std::to_string(route.fault_status) + " " +
                    (route.upstream ? route.upstream->options().id : "none"));
  });
  for (const auto& listed : snapshot.router->list()) {
    const Route& route = *snapshot.routes[listed.target];
    lines.push_back("tried " + route.id + (route.origin.spec.get() == listed.spec ? "" : " by another"));
  }
  for (const RouteEntry& entry : snapshot.route_order) {
    if ((entry.slot & RouteEntry::kLeftOut) != 0)
      lines.push_back("left out " + snapshot.left_out[entry.slot & ~RouteEntry::kLeftOut]);
  }
  return lines;
}

}  // namespace

TEST_CASE("edit after edit, a snapshot made from the one before is what compiling anew gives") {
  Fixture f;
  // Nothing of it but whom to trust, which takes long to read.
  const auto bare = std::make_shared<Snapshot>();
  const auto first = f.compile({route("a")});
  bare->settings = first->settings;
  bare->trust = first->trust;
  size_t patched = 0;
  for (unsigned seed = 0; seed < 12; seed++) {
    EditedRoutes edited(seed);
    std::shared_ptr<Snapshot> present = bare;
    for (int edit = 0; edit < 60; edit++) {
      for (unsigned n = 0; n <= seed % 3; n++) edited.edit();
      BlobWriter writer = edited.write();
      BlobWriter again = writer;
      auto next = f.compile(writer, present, base::Duration(seed % 2 == 0 ? 0 : 1000000));
      patched += next->around == present->around;
      auto fresh = f.compile(again, bare, std::chrono::seconds(1));
      if (describe(*next) != describe(*fresh)) FAIL("seed " << seed << ", edit " << edit);
      present = next;
    }
  }
  CHECK(patched > 500);
}

TEST_CASE("a route that did not change stays the same object while others come and go") {
  Fixture f;
  auto first = f.compile({route("a"), route("b"), route("c")});
  auto second = f.compile({route("a"), route("b", R"("name": "new", )" + kNodes), route("c")}, first);
  CHECK(second->around == first->around);
  CHECK(&find(*second, "a") == &find(*first, "a"));
  CHECK(&find(*second, "c") == &find(*first, "c"));
  CHECK(find(*second, "b").name == "new");
  CHECK(find(*first, "b").name.empty());
  auto third = f.compile({route("a"), route("b", R"("name": "new", )" + kNodes)}, second);
  CHECK(third->around == first->around);
  CHECK(look_for(*third, "c") == nullptr);
  CHECK(third->router->route_count() == 2);
  first.reset();
  second.reset();
  CHECK(find(*third, "a").id == "a");
}

TEST_CASE("the version of a route's conf is of what is written and the same wherever it is compiled") {
  const auto records = [](const std::string& node, const std::string& name) {
    return std::vector<Written>{
        upstream_of("u", node),
        {RecordKind::kService, "s", R"({"id": "s", "upstream_id": "u", "name": ")" + name + R"("})"},
        {RecordKind::kPluginConfig, "p", R"({"id": "p", "plugins": {}})"},
        route("1", R"("service_id": "s", "plugin_config_id": "p")")};
  };
  const auto version = [](const Snapshot& snapshot) { return look_for(snapshot, "1")->plugins.conf_version; };
  Fixture here, there;
  const auto first = here.compile(records("127.0.0.1:1", "one"));
  const auto elsewhere = there.compile(records("127.0.0.1:1", "one"));
  CHECK(version(*elsewhere) == version(*first));
  const auto moved = here.compile(records("127.0.0.1:2", "one"), first);
  CHECK(look_for(*moved, "1")->upstream != look_for(*first, "1")->upstream);
  CHECK(version(*moved) == version(*first));
  CHECK(version(*here.compile(records("127.0.0.1:2", "two"), moved)) != version(*first));
}

TEST_CASE("what is no route makes a snapshot that shares nothing but what did not change") {
  Fixture f;
  auto first = f.compile({route("a"), upstream_of("u", "127.0.0.1:1")});
  auto second = f.compile({route("a"), upstream_of("u", "127.0.0.1:2")}, first);
  CHECK(second->around != first->around);
  CHECK(second->upstreams.at("u") != first->upstreams.at("u"));
  CHECK(&find(*second, "a") == &find(*first, "a"));
}

TEST_CASE("the names of a certificate that cannot serve are nobody's, not even a wildcard's") {
  Fixture fixture;
  const Written broken{RecordKind::kSsl, "1",
                       R"({"snis": ["A.example.com", "b.example.com"], "cert": "none", "key": "none"})"};
  auto snapshot = fixture.compile({broken});
  CHECK(fixture.complaints.size() == 1);
  tls::ServerNames names = *snapshot->server_names;
  const auto anybody = snapshot->server_names->find("*");
  CHECK(anybody == nullptr);
  CHECK_FALSE(names.add("a.example.com", nullptr));
  CHECK_FALSE(names.add("b.example.com", nullptr));
  CHECK(names.add("c.example.com", nullptr));
}

TEST_CASE(
    "a certificate by acme awaits one under its names, and is complained about where nobody makes any") {
  const Written issued{RecordKind::kSsl, "1", R"({"snis": ["a.example.com"], "acme": true})"};
  Fixture without;
  const auto refused = without.compile({issued});
  CHECK(without.complaints.size() == 1);
  CHECK(refused->server_names->find("a.example.com") == tls::ServerContext::closed());
  Fixture with;
  const auto snapshot =
      with.compile({{RecordKind::kSettings, "", R"({"acme": {"agree_to_terms": true}})"}, issued});
  CHECK(with.complaints.empty());
  REQUIRE(snapshot->server_names->find("a.example.com") != nullptr);
  CHECK_FALSE(snapshot->server_names->find("a.example.com")->has_certificate());
}

TEST_CASE("names that are closed for a certificate stand where it would, among those that are right") {
  Fixture fixture;
  auto snapshot = fixture.compile({{RecordKind::kClosedNames, "1", R"(["a.example.com", "b.example.com"])"},
                                   {RecordKind::kClosedNames, "9", R"(["c.example.com"])"}});
  CHECK(fixture.complaints.empty());
  tls::ServerNames names = *snapshot->server_names;
  for (const char* name : {"a.example.com", "b.example.com", "c.example.com"}) {
    CHECK_FALSE(names.add(name, nullptr));
    CHECK_FALSE(names.find(name)->has_certificate());
  }
  CHECK(names.add("d.example.com", nullptr));
}

TEST_CASE(
    "routes of a service that is wrong elsewhere are closed for its hosts, or for all where these are not "
    "known") {
  Fixture f;
  auto snapshot = f.compile({{RecordKind::kClosedHosts, "s", R"(["a.example"])"},
                             {RecordKind::kClosedHosts, "t", "[]"},
                             route("a", R"("service_id": "s")"),
                             route("b", R"("service_id": "t")"),
                             route("c", R"("service_id": "s", "hosts": ["c.example"])"),
                             route("d", R"("service_id": "nowhere")")});
  const auto hosts = [&](const std::string& id) { return find(*snapshot, id).origin.spec->hosts; };
  CHECK(hosts("a") == std::vector<std::string>{"a.example"});
  CHECK(hosts("b").empty());
  CHECK(hosts("c") == std::vector<std::string>{"c.example"});
  for (const char* id : {"a", "b", "c"}) CHECK(find(*snapshot, id).fault_status == 503);
  CHECK(find(*snapshot, "d").fault_status == 404);
}

TEST_CASE("a consumer without its group is nobody, and so is its credential") {
  Fixture f;
  const Written group{RecordKind::kConsumerGroup, "g", R"({"plugins": {}})"};
  const Written consumer{RecordKind::kConsumer, "jack", R"({"username": "jack", "group_id": "g"})"};
  const Written credential{RecordKind::kCredential, "jack/credentials/c",
                           R"({"plugins": {"key-auth": {"key": "k"}}})"};
  CHECK(f.compile({group, consumer, credential})->credentials.size() == 1);
  auto snapshot = f.compile({consumer, credential});
  CHECK(snapshot->consumer_by_name.count("jack") == 0);
  CHECK(snapshot->credentials.empty());
}
