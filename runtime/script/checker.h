// SPDX-License-Identifier: Apache-2.0
// Judges a configuration before anyone serves it: runs configuration files written in Lua, loads plugins and
// lets them check their confs. Works in a VM of its own that is thrown away afterwards.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "config/document.h"
#include "script/host.h"

namespace moongate::script {

/// Something that is wrong with a resource.
struct Complaint {
  std::string resource_kind;  // "route", ...; "plugin" for a plugin's source, whose name is `id`
  std::string id;
  std::vector<std::string> path;  // keys and 0-based indices into the resource's body
  std::string text;
};

struct CheckedSource {
  std::string name;
  std::string path;
  std::string text;
};

struct CheckerOptions {
  std::string lua_root;
  uint32_t cpu_budget_ms = 20000;        // for a whole check
  uint32_t change_cpu_budget_ms = 2000;  // for one of single resources, while clients wait
  size_t memory_max_bytes = size_t{1} << 30;
};

/// One check in one VM.
///
/// Runs in: control, or the child that checks for `moongate check` and `start`.
/// Fails:   a plugin that does not load, or a resource that does not fit, is a Complaint; an error means that
/// no check took place.
class Checker {
 public:
  static base::Result<std::unique_ptr<Checker>> make(CheckerOptions options);
  ~Checker();

  /// Runs a Lua configuration file; the table it returns. Strings, numbers, booleans and tables only.
  base::Result<base::Value> evaluate(const std::string& path, std::string_view text, uint16_t file_index);
  base::Result<std::vector<Complaint>> check(const config::Document& document,
                                             const std::vector<CheckedSource>& plugins,
                                             const std::vector<CheckedSource>& libraries);

  /// Loads the plugins for the two below, in place of those before.
  base::Result<void> load(const std::vector<CheckedSource>& plugins,
                          const std::vector<CheckedSource>& libraries, const std::string& attributes_json);
  /// Checks single resources. `context` has what they refer to, and the other global rules.
  base::Result<std::vector<Complaint>> check_changes(const config::Document& changes,
                                                     const config::Document& context);
  /// An answer of lua/lib/moongate/schema/describe.lua.
  struct SchemaAnswer {
    int status = 200;
    std::string body;
  };
  base::Result<SchemaAnswer> describe_schemas(const std::vector<std::string>& question);

 private:
  explicit Checker(CheckerOptions options) : options_(std::move(options)) {}
  /// What of a document Lua looks at.
  struct Selection {
    std::vector<const config::Resource*> all;     // but for what is known to be right and nobody refers to
    std::vector<const config::Resource*> judged;  // of those
    std::set<std::pair<std::string_view, std::string_view>>
        speakers;  // kind and id: for others of their form
  };
  base::Result<Selection> select(const config::Document& document);
  base::Result<void> find_plain(std::span<const config::Resource* const> resources,
                                std::unordered_set<const config::Resource*>* right);
  base::Result<std::vector<Complaint>> judge(const config::Document& document,
                                             const std::vector<const config::Resource*>& resources,
                                             const std::vector<CheckedSource>& plugins,
                                             const std::vector<CheckedSource>& libraries);
  std::vector<Complaint> read_complaints();
  CheckerOptions options_;
  std::unique_ptr<net::EventLoop> loop_;
  exchange::ExchangePool exchanges_;
  std::unique_ptr<Host> host_;
};

}  // namespace moongate::script
