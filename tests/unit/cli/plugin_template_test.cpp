// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_template.h"

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace moongate::cli {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

struct Folder {
  Folder() {
    char name[] = "/tmp/moongate-template-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  std::string path;
};

std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST_CASE("a new plugin is named throughout, and its folder is made") {
  Folder folder;
  const auto written = write_plugin_template("my-plugin", folder.path + "/a/b");
  REQUIRE(written.ok());
  CHECK(written->size() == 3);
  CHECK_THAT(read(folder.path + "/a/b/my-plugin.lua"), Contains("name = \"my-plugin\"") && !Contains("NAME"));
  CHECK_THAT(read(folder.path + "/a/b/my-plugin_spec.lua"),
             Contains("[\"my-plugin\"]") && !Contains("NAME") && !Contains("LOWER"));
}

TEST_CASE("a second plugin adds a line to the README and leaves the rest") {
  Folder folder;
  REQUIRE(write_plugin_template("one", folder.path).ok());
  REQUIRE(write_plugin_template("two", folder.path).ok());
  CHECK_THAT(read(folder.path + "/README.md"), Contains("`one`") && Contains("`two`"));
}

TEST_CASE("nothing is overwritten, and nothing written beside what is there") {
  Folder folder;
  std::ofstream(folder.path + "/p_spec.lua") << "mine";
  const auto written = write_plugin_template("p", folder.path);
  REQUIRE_FALSE(written.ok());
  CHECK_THAT(written.error().detail, Contains("p_spec.lua"));
  CHECK(read(folder.path + "/p_spec.lua") == "mine");
  CHECK_FALSE(fs::exists(folder.path + "/p.lua"));
}

TEST_CASE("names that are no plugin names are refused") {
  Folder folder;
  for (const char* name : {"", "../x", "A", "1a", "a b", "a/b", ".a", "a.b", "x_spec"}) {
    CAPTURE(name);
    CHECK_FALSE(write_plugin_template(name, folder.path).ok());
  }
  CHECK_FALSE(write_plugin_template(std::string(65, 'a'), folder.path).ok());
  CHECK(fs::is_empty(folder.path));
}

}  // namespace
}  // namespace moongate::cli
