// SPDX-License-Identifier: Apache-2.0
// moongate convert: another gateway's configuration as ours, by the translator that also loads it directly.
#include <algorithm>
#include <cstdio>

#include "cli/command.h"
#include "cli/lua_root.h"
#include "config/source.h"
#include "config/suggest.h"
#include "config/yaml_writer.h"
#include "control/plugin_sources.h"

namespace moongate::cli {
namespace {

constexpr std::string_view kDialects[] = {"kong", "apisix"};

struct Found {
  bool is_expected = false;  // a file of the dialect was among them
  std::vector<config::DialectFinding> findings;
};

/// A comment with everything that was found; the same goes to stderr, where a redirected output hides it not.
void print_findings(std::string_view dialect, const std::string& paths, const Found& found) {
  std::printf("# Made from %s by `moongate convert %s`.\n", paths.c_str(), std::string(dialect).c_str());
  if (found.findings.empty()) return;
  std::printf("# What does not map, or works differently:\n");
  for (const config::DialectFinding& finding : found.findings) {
    const char* loss = finding.loss == config::DialectLoss::kNote ? "note" : "lost";
    std::string text = finding.text;
    std::replace(text.begin(), text.end(), '\n', ' ');
    std::printf("#   %s: %s\n", loss, text.c_str());
    std::fprintf(stderr, "%s: %s\n", loss, text.c_str());
  }
}

/// Plugins that APISIX ships and this gateway does not are no fault of the file, but gone all the same.
void report_plugins(const config::Source& source, Found* found) {
  const base::Value* list = source.root().find("plugins");
  const base::Result<std::string> lua_root = find_lua_root();
  if (list == nullptr || !list->is_array() || !lua_root) return;
  const std::vector<std::string> shipped = control::shipped_plugins(*lua_root);
  for (size_t i = 0; i < list->items().size(); i++) {
    const base::Value& item = list->items()[i];
    if (!item.is_string() || std::binary_search(shipped.begin(), shipped.end(), item.as_string())) continue;
    const std::string field = "plugins[" + std::to_string(i) + "]";
    const std::string what =
        "there is no plugin `" + item.as_string() + "` here; it is one of your own, or lost";
    found->findings.push_back({config::DialectLoss::kLost, source.places().error(item, field, what).detail});
  }
}

std::string describe_missing(config::Dialect dialect, const std::string& path) {
  if (dialect == config::Dialect::kKong)
    return path + ":1: _format_version: missing; this is no declarative file of Kong's";
  return path +
         ":1: neither `apisix`, `nginx_config` nor `deployment` is there; this is no config.yaml of APISIX's";
}

int convert(const Invocation& invocation) {
  std::vector<std::string> paths = invocation.arguments.words();
  const bool is_apisix = !paths.empty() && paths[0] == kDialects[1];
  if (paths.size() < 2 || (paths.size() > 2 && !is_apisix)) {
    print_error(
        "name a dialect and its files: moongate convert kong FILE, or moongate convert apisix "
        "config.yaml apisix.yaml");
    return kWrongUsage;
  }
  const std::string word = paths[0];
  paths.erase(paths.begin());
  if (word != kDialects[0] && !is_apisix) {
    print_error(config::describe_unknown("dialect", word, kDialects));
    return kWrongUsage;
  }
  const config::Dialect wanted = is_apisix ? config::Dialect::kApisix : config::Dialect::kKong;
  Found found;
  config::SourceOptions options;
  options.on_findings = [&](config::Dialect dialect, std::vector<config::DialectFinding> findings) {
    found.is_expected = found.is_expected || dialect == wanted;
    found.findings.insert(found.findings.end(), findings.begin(), findings.end());
  };
  const base::Result<config::Source> source = config::Source::load(paths, options);
  if (!source) {
    std::fprintf(stderr, "%s\n", source.error().detail.c_str());
    return kFailed;
  }
  if (!found.is_expected) {
    std::fprintf(stderr, "%s\n", describe_missing(wanted, paths.front()).c_str());
    return kFailed;
  }
  if (is_apisix) report_plugins(*source, &found);
  print_findings(word, paths.size() > 1 ? paths[0] + " and " + paths[1] : paths[0], found);
  std::printf("%s", config::write_yaml(source->root()).c_str());
  const bool is_lossless = std::all_of(
      found.findings.begin(), found.findings.end(),
      [](const config::DialectFinding& finding) { return finding.loss == config::DialectLoss::kNote; });
  return is_lossless ? kDone : kFailed;
}

}  // namespace

const Command kConvertCommand{
    "convert", "kong FILE | apisix CONFIG [RESOURCES]",
    3,         "Prints another gateway's configuration as ours; fails when something was lost.",
    {},        convert};

}  // namespace moongate::cli
