// SPDX-License-Identifier: Apache-2.0
#include "control/loader.h"

#include <catch2/catch.hpp>

#include "control/plugin_sources.h"
#include "fixtures.h"

using namespace moongate::control;
using namespace moongate::control::test;
using moongate::snapshot::BlobView;
using moongate::snapshot::RecordKind;

namespace {

Loaded load(const Folder& folder) {
  const ValidatorFactory factory = rule_factory();
  return load_configuration({{folder.file("a.yaml")}, folder.lua_root(), &factory});
}

std::string only_error(const Loaded& loaded) {
  REQUIRE(loaded.errors.size() == 1);
  REQUIRE(loaded.blob.empty());
  return loaded.errors.front();
}

}  // namespace

TEST_CASE("a configuration becomes a blob with its resources, settings and plugins") {
  Folder folder;
  folder.write("lua/plugins/shipped.lua", "return 1");
  folder.write("mine/own.lua", "return 2");
  folder.write("mine/apisix/plugins/deep.lua", "return 3");
  folder.write("mine/my/lib.lua", "return 4");
  folder.write("a.yaml", "moongate: {plugin_paths: [mine]}\n" +
                             route_text("r1", "    plugins: {shipped: {}, own: {}, deep: {}}\n"));
  const Loaded loaded = load(folder);
  REQUIRE(loaded.errors.empty());
  REQUIRE(loaded.plugin_count == 3);
  const BlobView view = BlobView::open(loaded.blob).take();
  REQUIRE(view.find(RecordKind::kPluginSource, "shipped")->body == "return 1");
  REQUIRE(view.find(RecordKind::kPluginSource, "own")->body == "return 2");
  REQUIRE(view.find(RecordKind::kPluginSource, "deep")->body == "return 3");
  REQUIRE(view.find(RecordKind::kLibrarySource, "my.lib")->body == "return 4");
  REQUIRE(view.records_of(RecordKind::kLibrarySource).size() == 1);
  REQUIRE(view.find(RecordKind::kRoute, "r1")->place == folder.file("a.yaml") + ":3");
  REQUIRE(view.records_of(RecordKind::kSettings).size() == 1);
}

TEST_CASE("a plugin of one's own goes before the shipped one of its name") {
  Folder folder;
  folder.write("lua/plugins/echo.lua", "return 1");
  folder.write("mine/echo.lua", "return 2");
  folder.write("a.yaml",
               "moongate: {plugin_paths: [mine]}\n" + route_text("r1", "    plugins: {echo: {}}\n"));
  const Loaded loaded = load(folder);
  REQUIRE(BlobView::open(loaded.blob)->find(RecordKind::kPluginSource, "echo")->body == "return 2");
}

TEST_CASE("what lies beside an init.lua travels with its plugin") {
  Folder folder;
  folder.write("lua/plugins/big/init.lua", "return 1");
  folder.write("lua/plugins/big/part.lua", "return 2");
  folder.write("a.yaml", route_text("r1", "    plugins: {big: {}}\n"));
  const Loaded loaded = load(folder);
  const BlobView view = BlobView::open(loaded.blob).take();
  REQUIRE(view.find(RecordKind::kPluginSource, "big")->body == "return 1");
  REQUIRE(view.find(RecordKind::kLibrarySource, "apisix.plugins.big.part")->body == "return 2");
}

TEST_CASE("a missing plugin refuses the configuration, with the place and a suggestion") {
  Folder folder;
  folder.write("lua/plugins/key-auth.lua", "return 1");
  folder.write("a.yaml", route_text("r1", "    plugins: {key-auht: {}}\n"));
  REQUIRE(only_error(load(folder)) ==
          folder.file("a.yaml") +
              ":5: routes[0].plugins.key-auht: there is no plugin `key-auht`; did you mean `key-auth`?");
  folder.write("a.yaml", route_text("r1", "    plugins: {../../etc/passwd: {}}\n"));
  REQUIRE(only_error(load(folder)).find("there is no plugin") != std::string::npos);
}

TEST_CASE("complaints name file, line and field") {
  Folder folder;
  folder.write("a.yaml", route_text("r1", "    name: bad\n"));
  REQUIRE(only_error(load(folder)) == folder.file("a.yaml") + ":5: routes[0].name: is bad; be good");
  folder.write("lua/plugins/broken.lua", "error()");
  folder.write("a.yaml", route_text("r1", "    plugins: {broken: {}}\n"));
  REQUIRE(only_error(load(folder)) ==
          folder.lua_root() + "/plugins/broken.lua: plugin `broken`: does not load");
}

TEST_CASE("what the data path cannot use is refused even when the validator has nothing against it") {
  Folder folder;
  folder.write(
      "a.yaml",
      "routes:\n  - id: r1\n    uri: /x\n    priority: high\n    upstream: {nodes: {\"127.0.0.1:1\": 1}}\n");
  REQUIRE(only_error(load(folder)).find("routes[0].priority") != std::string::npos);
}

TEST_CASE("a plugin path that is no folder is an error that says so") {
  Folder folder;
  folder.write("a.yaml", "moongate: {plugin_paths: [nowhere]}\n" + route_text("r1"));
  REQUIRE(only_error(load(folder)).find("nowhere: no such folder") != std::string::npos);
}

TEST_CASE("comments and the order of keys make no other content; a changed library does") {
  Folder folder;
  folder.write("mine/lib.lua", "return 1");
  folder.write("a.yaml", "moongate: {plugin_paths: [mine]}\n" + route_text("r1"));
  const auto first = load(folder).hash;
  folder.write("a.yaml",
               "# a comment\nmoongate: {plugin_paths: [mine]}\nroutes:\n  - uri: /x\n    upstream: {nodes: "
               "{\"127.0.0.1:1\": 1}, type: roundrobin}\n    id: r1\n");
  REQUIRE(load(folder).hash == first);
  folder.write("mine/lib.lua", "return 2");
  REQUIRE(load(folder).hash != first);
}

TEST_CASE("a change of the settings judges again what was right under those before") {
  Folder folder;
  const ValidatorFactory factory = rule_factory();
  KnownGood known;
  std::string uri;
  for (int i = 0; i < 17; i++) uri += "/:p" + std::to_string(i);
  const std::string route = "routes:\n  - {id: r1, uri: \"" + uri + "\", upstream_id: u}\n";
  const auto load_with = [&](const std::string& more) {
    folder.write("a.yaml", route + "upstreams:\n  - {id: u, nodes: {\"127.0.0.1:1\": 1}}\n" + more);
    return load_configuration({{folder.file("a.yaml")}, folder.lua_root(), &factory, &known});
  };
  REQUIRE(load_with("").ok());
  REQUIRE(load_with("").ok());
  REQUIRE(
      only_error(load_with("moongate: {router: radixtree_uri_with_parameter}\n")).find("routes[0].uri: ") !=
      std::string::npos);
}

TEST_CASE("what another process found right is not judged again, and what differs is") {
  Folder folder;
  folder.write("a.yaml", route_text("r1"));
  std::vector<std::string> judged;
  class Counting : public RuleValidator {
   public:
    explicit Counting(std::vector<std::string>* judged) : judged_(judged) {}
    moongate::base::Result<std::vector<Complaint>> check(const moongate::config::Document& document,
                                                         const Sources& sources) override {
      for (const moongate::config::Resource& resource : document.resources)
        if (!resource.is_known) judged_->push_back(resource.id);
      return RuleValidator::check(document, sources);
    }

   private:
    std::vector<std::string>* judged_;
  };
  const ValidatorFactory factory = [&]() -> moongate::base::Result<std::unique_ptr<Validator>> {
    return std::unique_ptr<Validator>(new Counting(&judged));
  };
  KnownGood there, here;
  const auto load_with = [&](KnownGood* known) {
    return load_configuration({{folder.file("a.yaml")}, folder.lua_root(), &factory, known});
  };
  const Loaded loaded = load_with(&there);
  REQUIRE(loaded.ok());
  REQUIRE(read_notes(write_notes(loaded, there), &here).ok());
  judged.clear();
  REQUIRE(load_with(&here).ok());
  CHECK(judged.empty());
  folder.write("a.yaml", route_text("r2"));
  REQUIRE(load_with(&here).ok());
  CHECK(judged == std::vector<std::string>{"r2"});
}

TEST_CASE("more Lua below the paths than allowed is an error") {
  Folder folder;
  folder.write("mine/large.lua", std::string(kSourceBytesMax + 1, '-'));
  folder.write("a.yaml", "moongate: {plugin_paths: [mine]}\n" + route_text("r1"));
  REQUIRE(only_error(load(folder)).find("16 MB") != std::string::npos);
}

TEST_CASE("a numbered copy has the same content") {
  Folder folder;
  folder.write("a.yaml", route_text("r1"));
  const Loaded loaded = load(folder);
  const std::string numbered = number_blob(loaded.blob, 12, "reload").take();
  const BlobView view = BlobView::open(numbered).take();
  REQUIRE(view.number() == 12);
  REQUIRE(view.reason() == "reload");
  REQUIRE(view.hash() == loaded.hash);
}

namespace {

const std::string kWaiting = "routes:\n  - {id: a, uri: /a, upstream_id: u1}\n";

/// The file's configuration with an upstream that the shared store has wrong.
Loaded load_beside(const Folder& folder, const ResourceStore::Map& stored) {
  const ValidatorFactory factory = rule_factory();
  LoadOptions options{{folder.file("a.yaml")}, folder.lua_root(), &factory};
  options.stored = &stored;
  options.is_tolerated = [](const std::string&) { return true; };
  return load_configuration(options);
}

std::string quarantined_in(const Loaded& loaded, const std::string& name) {
  REQUIRE(loaded.errors.empty());
  const BlobView view = BlobView::open(loaded.blob).take();
  const auto* record = view.find(RecordKind::kQuarantined, name);
  return record == nullptr ? "" : std::string(record->body);
}

}  // namespace

TEST_CASE(
    "a file's route waits for what the shared store has wrong or lacks, and is in the snapshot as it is") {
  Folder folder;
  folder.write("a.yaml", "moongate: {etcd: {host: \"http://127.0.0.1:1\"}}\n" + kWaiting);
  ResourceStore::Map stored;
  CHECK(quarantined_in(load_beside(folder, stored), "routes/a") ==
        folder.file("a.yaml") +
            ":3: upstream_id: upstreams/u1 is in no file and, as far as is known here, not in etcd; this "
            "waits for it");
  stored[{moongate::config::Kind::kUpstream, "u1"}] = {"{}", 1, 1, 0, "is wrong", ""};
  const Loaded loaded = load_beside(folder, stored);
  CHECK(quarantined_in(loaded, "routes/a") ==
        folder.file("a.yaml") + ":3: upstream_id: upstreams/u1 is in quarantine, and this with it");
  CHECK(BlobView::open(loaded.blob)->find(RecordKind::kRoute, "a") != nullptr);
  stored.begin()->second = {R"({"type":"roundrobin","nodes":{"127.0.0.1:1":1}})", 1, 1, 0, "", ""};
  CHECK(quarantined_in(load_beside(folder, stored), "routes/a").empty());
}

TEST_CASE("without a shared store nothing waits for what nobody has") {
  Folder folder;
  folder.write("a.yaml", kWaiting);
  CHECK(quarantined_in(load_beside(folder, {}), "routes/a").empty());
}
