// SPDX-License-Identifier: Apache-2.0
// A folder of its own, configuration in it, and a validator with a rule a test can break without Lua.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "control/validator.h"

namespace moongate::control::test {

struct Folder {
  Folder() {
    char name[] = "/tmp/moongate-control-XXXXXX";
    path = ::mkdtemp(name);
    std::filesystem::create_directories(path + "/lua/plugins");
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string lua_root() const { return path + "/lua"; }
  std::string file(const std::string& name) const { return path + "/" + name; }
  /// Writes beside the file and renames, as careful editors do.
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(file(name)).parent_path());
    std::ofstream(file(name) + ".tmp") << text;
    std::filesystem::rename(file(name) + ".tmp", file(name));
  }
  std::string path;
};

/// Complains about every route named "bad", and about plugins whose source says `error`.
class RuleValidator : public Validator {
 public:
  base::Result<base::Value> evaluate(const std::string& path, std::string_view, uint16_t) override {
    return base::invalid(path + ": no Lua here");
  }
  base::Result<std::vector<Complaint>> check(const config::Document& document,
                                             const Sources& sources) override {
    std::vector<Complaint> complaints;
    for (const config::Resource& resource : document.resources) {
      if (resource.body.get_string("name") == "bad")
        complaints.push_back({"route", resource.id, {"name"}, "is bad; be good"});
    }
    for (const SourceFile& plugin : sources.plugins) {
      if (plugin.text.find("error") != std::string::npos)
        complaints.push_back({"plugin", plugin.name, {}, "does not load"});
    }
    return complaints;
  }
  base::Result<void> load(const Sources&, const std::string&) override { return {}; }
  base::Result<std::vector<Complaint>> check_changes(const config::Document& changes,
                                                     const config::Document&) override {
    return check(changes, {});
  }
  base::Result<std::pair<int, std::string>> describe_schemas(const std::vector<std::string>&) override {
    return base::invalid("no Lua here");
  }
};

inline ValidatorFactory rule_factory() {
  return [] { return base::Result<std::unique_ptr<Validator>>(std::make_unique<RuleValidator>()); };
}

inline std::string route_text(const std::string& id, const std::string& more = "") {
  return "routes:\n  - id: " + id +
         "\n    uri: /x\n    upstream: {type: roundrobin, nodes: {\"127.0.0.1:1\": 1}}\n" + more;
}

}  // namespace moongate::control::test
