// SPDX-License-Identifier: Apache-2.0
// Files: reading, including, merging, and the places that errors name.
#include "config/source.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "base/json.h"
#include "config_fixture.h"

using namespace moongate::config;
using moongate::base::to_json;
using moongate::base::Value;

namespace {

moongate::base::Result<Source> load(const TestFolder& folder, const std::vector<std::string>& names) {
  std::vector<std::string> paths;
  for (const std::string& name : names) paths.push_back(folder.path(name));
  SourceOptions options;
  options.environment = environment_of({{"PORT", "8080"}});
  return Source::load(paths, options);
}

std::string merged(const TestFolder& folder, const std::vector<std::string>& names) {
  const auto source = load(folder, names);
  return source ? to_json(source->root()) : "error: " + source.error().detail;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("later files win by key, null deletes, and plain lists are replaced") {
  const TestFolder folder;
  folder.write("a.yaml", "moongate: {workers: 2, listen: [1, 2], via: true}\nplugin_attr: {x: {a: 1}}\n");
  folder.write("b.yaml", "moongate: {workers: 3, listen: [4], via: ~}\nplugin_attr: {x: {b: 2}, y: {}}\n");
  CHECK(merged(folder, {"a.yaml", "b.yaml"}) ==
        R"({"moongate":{"workers":3,"listen":[4]},"plugin_attr":{"x":{"a":1,"b":2},"y":{}}})");
}

TEST_CASE("large objects merge by key as well") {
  const TestFolder folder;
  std::string a = "plugin_attr:\n";
  std::string b = "plugin_attr:\n";
  for (int i = 0; i < 50; ++i) a += "  k" + std::to_string(i) + ": {v: 1, w: 1}\n";
  for (int i = 25; i < 75; ++i) b += "  k" + std::to_string(i) + (i == 30 ? ": ~\n" : ": {v: 2}\n");
  folder.write("a.yaml", a);
  folder.write("b.yaml", b);
  const auto source = load(folder, {"a.yaml", "b.yaml"});
  REQUIRE(source);
  const Value& all = *source->root().find("plugin_attr");
  CHECK(all.members().size() == 74);
  CHECK(to_json(*all.find("k0")) == R"({"v":1,"w":1})");
  CHECK(to_json(*all.find("k25")) == R"({"v":2,"w":1})");
  CHECK(all.find("k30") == nullptr);
  CHECK(to_json(*all.find("k74")) == R"({"v":2})");
}

TEST_CASE("lists of resources merge by id, consumers by name, a number and its text alike") {
  const TestFolder folder;
  folder.write(
      "a.yaml",
      "routes: [{id: 1, uri: /a, name: x}, {id: two, uri: /b}]\nconsumers: [{username: jack, desc: a}]\n");
  folder.write(
      "b.yaml",
      "routes: [{id: '1', uri: /c, name: ~}, {id: 3, uri: /d}]\nconsumers: [{username: jack, desc: b}]\n");
  CHECK(
      merged(folder, {"a.yaml", "b.yaml"}) ==
      R"({"routes":[{"id":"1","uri":"/c"},{"id":"two","uri":"/b"},{"id":3,"uri":"/d"}],"consumers":[{"username":"jack","desc":"b"}]})");
}

TEST_CASE("resources without an id are named by position, with the file's name in all files but the first") {
  const TestFolder folder;
  folder.write("a.yaml",
               "include: [extra/my shop.yaml, other/my shop.yaml]\nroutes: [{uri: /a}, {id: x, uri: /b}, "
               "{uri: /c}]\n");
  folder.write("extra/my shop.yaml", "routes: [{uri: /d}]\n");
  folder.write("other/my shop.yaml", "routes: [{uri: /e}]\n");
  const auto source = load(folder, {"a.yaml"});
  REQUIRE(source);
  const auto& routes = source->root().find("routes")->items();
  REQUIRE(routes.size() == 5);
  CHECK(routes[0].get_string("id") == "my-shop.arr_1");
  CHECK(contains(std::string(routes[1].get_string("id")), "my-shop-"));
  CHECK(routes[2].get_string("id") == "arr_1");
  CHECK(routes[3].get_string("id") == "x");
  CHECK(routes[4].get_string("id") == "arr_3");
}

TEST_CASE("an id used twice in one file is refused with both places") {
  const TestFolder folder;
  folder.write("a.yaml", "routes:\n  - {id: 1, uri: /a}\n  - {id: 2, uri: /b}\n  - {id: '1', uri: /c}\n");
  CHECK(load_error(folder, {"a.yaml"}) ==
        "a.yaml:4: routes[2]: the id `1` is taken by the one at a.yaml:2; give each its own");
}

TEST_CASE("included files are sorted, come first, and are read once") {
  const TestFolder folder;
  folder.write("a.yaml", "include: [conf.d/*.yaml]\nplugin_attr: {who: {name: a}}\n");
  folder.write("conf.d/2.yaml", "plugin_attr: {who: {name: two, from: two}}\n");
  folder.write("conf.d/1.yaml", "include: 2.yaml\nplugin_attr: {who: {name: one, first: one}}\n");
  folder.write("conf.d/ignored.txt", "{{{\n");
  CHECK(merged(folder, {"a.yaml"}) == R"({"plugin_attr":{"who":{"name":"a","from":"two","first":"one"}}})");
  const auto source = load(folder, {"a.yaml"});
  REQUIRE(source);
  CHECK(source->files() == std::vector<std::string>{folder.path("a.yaml"), folder.path("conf.d/1.yaml"),
                                                    folder.path("conf.d/2.yaml")});
  CHECK(source->folders() == std::vector<std::string>{folder.path("conf.d")});
}

TEST_CASE("a pattern may match nothing or the file it stands in; a path must exist") {
  const TestFolder folder;
  folder.write("a.yaml", "include: ['*.yaml', none/*.yaml]\nroutes: []\n");
  CHECK(merged(folder, {"a.yaml"}) == R"({"routes":[]})");
  folder.write("b.yaml", "routes: []\ninclude:\n  - gone.yaml\n");
  CHECK(load_error(folder, {"b.yaml"}) == "b.yaml:3: include: gone.yaml: No such file or directory");
  CHECK(load_error(folder, {"gone.yaml"}) == "gone.yaml: No such file or directory");
}

TEST_CASE("files that include each other are refused") {
  const TestFolder folder;
  folder.write("a.yaml", "include: [b.yaml]\n");
  folder.write("b.yaml", "include: [./a.yaml]\n");
  CHECK(contains(load_error(folder, {"a.yaml"}), "a.yaml: includes itself"));
}

TEST_CASE("more than 256 files are refused") {
  const TestFolder folder;
  folder.write("a.yaml", "include: ['d/*.yaml']\n");
  for (int i = 0; i < 256; ++i) folder.write("d/" + std::to_string(i) + ".yaml", "");
  CHECK(contains(load_error(folder, {"a.yaml"}), "more than 256 configuration files"));
}

TEST_CASE("wrong includes are refused with their place") {
  const TestFolder folder;
  folder.write("a.yaml", "include: [1]\n");
  CHECK(contains(load_error(folder, {"a.yaml"}), "a.yaml:1: include: not a path"));
  folder.write("a.yaml", "include: {a: b}\n");
  CHECK(contains(load_error(folder, {"a.yaml"}), "a.yaml:1: include: not a path"));
}

TEST_CASE("values remember their file through includes and overlays") {
  const TestFolder folder;
  folder.write("a.yaml",
               "routes:\n  - id: 1\n    uri: /a\n    plugins:\n      limit-count:\n        count: 1\n");
  folder.write("b.json",
               "{\n  \"routes\": [\n    {\"id\": 1,\n     \"name\": \"x\",\n     \"plugins\": "
               "{\"limit-count\":\n      {\"count\": 2}}}\n  ]\n}\n");
  const auto source = load(folder, {"a.yaml", "b.json"});
  REQUIRE(source);
  const Value& root = source->root();
  CHECK(source->place_of(root, "/routes/0/uri") == folder.path("a.yaml") + ":3");
  CHECK(source->place_of(root, "/routes/0/name") == folder.path("b.json") + ":4");
  CHECK(source->place_of(root, "/routes/0/plugins/limit-count/count") == folder.path("b.json") + ":6");
  CHECK(source->place_of(root, "/routes/0/plugins/limit-count/nothing") == folder.path("a.yaml") + ":5");
}

TEST_CASE("JSON files are strict, and variables in them stay text") {
  const TestFolder folder;
  folder.write("a.json", "{\n  \"plugin_attr\": {\"x\": {\"port\": \"${PORT}\"}}\n}");
  CHECK(merged(folder, {"a.json"}) == R"({"plugin_attr":{"x":{"port":"8080"}}})");
  folder.write("b.json", "{\n  \"routes\": [,]\n}");
  CHECK(load_error(folder, {"b.json"}) == "b.json:2:14: a value is expected");
  folder.write("c.json", "{\n  \"plugin_attr\":\n {\"x\": \"${NONE}\"}}");
  CHECK(contains(load_error(folder, {"c.json"}), "c.json:3: the environment variable NONE is not set"));
}

TEST_CASE("Lua files go through the hook, and are refused without one") {
  const TestFolder folder;
  const std::string path = folder.write("a.lua", "return {}");
  CHECK(load_error(folder, {"a.lua"}) == "a.lua: Lua files cannot be read here; use .yaml or .json");
  SourceOptions options;
  options.environment = environment_of({{"PORT", "8080"}});
  options.evaluate_lua = [](const std::string&, std::string_view text,
                            uint16_t file_index) -> moongate::base::Result<Value> {
    Value root = Value::object();
    Value attr = Value::object();
    attr.set("text", Value::string(std::string(text) + "${PORT}"));
    attr.set_place(file_index, 0);
    root.set("plugin_attr", std::move(attr));
    return root;
  };
  const auto source = Source::load({path}, options);
  REQUIRE(source);
  CHECK(to_json(source->root()) == R"({"plugin_attr":{"text":"return {}8080"}})");
  CHECK(source->place_of(source->root(), "/plugin_attr/text") == path);
}

TEST_CASE("Kong's files are told apart") {
  const TestFolder folder;
  folder.write("kong.yml", "# Kong\n_format_version: \"3.0\"\nservices: []\n");
  CHECK(merged(folder, {"kong.yml"}) == "{}");
}

TEST_CASE("what is no configuration file is refused") {
  const TestFolder folder;
  folder.write("a.txt", "routes: []");
  CHECK(contains(load_error(folder, {"a.txt"}), "a.txt: unknown kind of file `.txt`"));
  folder.write("b.yaml", "- a\n- b\n");
  CHECK(contains(load_error(folder, {"b.yaml"}), "b.yaml:1: the top level is not a mapping"));
  folder.write("d.yaml/x", "");
  CHECK(contains(load_error(folder, {"d.yaml"}), "d.yaml: not a regular file"));
  REQUIRE(::mkfifo(folder.path("pipe.yaml").c_str(), 0600) == 0);
  CHECK(contains(load_error(folder, {"pipe.yaml"}), "pipe.yaml: not a regular file"));
  CHECK(contains(load_error(folder, {}), "no configuration file"));
  folder.write("empty.yaml", "# nothing yet\n");
  CHECK(load_error(folder, {"empty.yaml"}).empty());
  std::string many;
  for (int i = 0; i < 1001; ++i) many += "k" + std::to_string(i) + ": 1\n";
  folder.write("many.yaml", many);
  CHECK(contains(load_error(folder, {"many.yaml"}), "many.yaml:1: more than 1000 keys"));
}
