// SPDX-License-Identifier: Apache-2.0
// moongate plugin: what an author of plugins needs. Lua is script/'s business; here arguments are read and
// results printed.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/log.h"
#include "cli/command.h"
#include "cli/lua_root.h"
#include "cli/lua_validator.h"
#include "cli/plugin_template.h"
#include "config/document.h"
#include "config/source.h"
#include "config/suggest.h"
#include "control/plugin_sources.h"
#include "script/plugin_probe.h"
#include "script/test_host.h"

namespace moongate::cli {

using base::Result;
namespace fs = std::filesystem;

namespace {

constexpr OptionSpec kOptions[] = {
    {"--config", "-c", "FILE", true}, {"--dir", "-d", "DIR"}, {"--jobs", "", "N"}, {"--filter", "", "TEXT"}};
constexpr size_t kWordsMax = 10000;  // a shell's *_spec.lua
constexpr int kJobsDefault = 2;
constexpr int kJobsMax = 32;
constexpr std::string_view kSpecEnding = "_spec";

int fail(const base::Error& error) {
  print_error(error.detail);
  return kFailed;
}

int wrong_usage(const std::string& text) {
  print_error("plugin " + text);
  return kWrongUsage;
}

std::vector<script::CheckedSource> convert(const std::vector<control::SourceFile>& files) {
  std::vector<script::CheckedSource> sources;
  for (const control::SourceFile& file : files) sources.push_back({file.name, file.path, file.text});
  return sources;
}

// ------------------------------------------------------------------------------------------------ list

/// The folders that the configuration's plugin_paths name.
Result<std::vector<std::string>> plugin_paths_of(const std::vector<std::string>& config_paths,
                                                 const std::string& lua_root) {
  if (config_paths.empty()) return std::vector<std::string>{};
  auto validator = lua_validator_factory(lua_root)();
  if (!validator) return validator.error();
  config::SourceOptions options;
  options.evaluate_lua = [&](const std::string& path, std::string_view text, uint16_t file) {
    return (*validator)->evaluate(path, text, file);
  };
  Result<config::Source> source = config::Source::load(config_paths, options);
  if (!source) return source.error();
  Result<config::Document> document = config::make_document(source->take_root(), source->places());
  if (!document) return document.error();
  const fs::path folder = fs::absolute(config_paths.front()).parent_path();
  std::vector<std::string> paths;
  for (const std::string& path : document->settings.plugin_paths)
    paths.push_back((folder / path).lexically_normal().string());
  return paths;
}

void add_names(const fs::path& folder, std::set<std::string>* names) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const fs::path& path = at->path();
    std::error_code ignored;
    std::string name;
    if (path.extension() == ".lua")
      name = path.stem().string();
    else if (fs::is_regular_file(path / "init.lua", ignored))
      name = path.filename().string();
    const bool is_spec = name.size() > kSpecEnding.size() &&
                         name.compare(name.size() - kSpecEnding.size(), kSpecEnding.size(), kSpecEnding) == 0;
    if (!is_spec && control::is_plugin_name(name)) names->insert(name);
  }
}

/// Whatever lies in these folders might be a library too; those that name no version and priority are.
bool looks_like_plugin(const std::string& text) {
  return text.find("priority") != std::string::npos && text.find("version") != std::string::npos;
}

void print_row(const std::string& name, const script::PluginFacts& facts, const std::string& place) {
  std::printf("%-28s %-8s %8g  %-5s %-40s %s\n", name.c_str(), facts.version.c_str(), facts.priority,
              facts.type.empty() ? "-" : facts.type.c_str(), facts.phases.c_str(), place.c_str());
}

struct Row {
  std::string name;
  std::string place;
  script::PluginFacts facts;
};

int print_list(script::PluginProbe& probe, const control::CollectedSources& found,
               const std::string& lua_root) {
  const std::vector<script::CheckedSource> libraries = convert(found.sources.libraries);
  std::vector<Row> rows;
  int status = kDone;
  for (const script::CheckedSource& source : convert(found.sources.plugins)) {
    const bool is_shipped = source.path.compare(0, lua_root.size() + 1, lua_root + "/") == 0;
    if (!is_shipped && !looks_like_plugin(source.text)) continue;
    Result<script::PluginFacts> facts = probe.probe(source, libraries);
    if (!facts) {
      status = fail(facts.error());
      continue;
    }
    rows.push_back({source.name, is_shipped ? "shipped" : source.path, facts.take()});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.facts.priority > b.facts.priority; });
  std::printf("%-28s %-8s %8s  %-5s %-40s %s\n", "NAME", "VERSION", "PRIORITY", "TYPE", "PHASES", "FROM");
  for (const Row& row : rows) print_row(row.name, row.facts, row.place);
  return status;
}

int list(const Invocation& invocation, const std::string& lua_root) {
  if (invocation.arguments.words().size() > 1) return wrong_usage("list takes no words, only -c FILE");
  Result<std::vector<std::string>> paths = plugin_paths_of(invocation.arguments.values("--config"), lua_root);
  if (!paths) return fail(paths.error());
  std::set<std::string> names;
  for (const std::string& name : control::shipped_plugins(lua_root)) names.insert(name);
  for (const std::string& path : *paths) {
    add_names(path, &names);
    add_names(fs::path(path) / "apisix" / "plugins", &names);
  }
  auto found = control::collect_sources(names, {*paths, lua_root});
  if (!found) return fail(found.error());
  auto probe = script::PluginProbe::make(lua_root);
  if (!probe) return fail(probe.error());
  return print_list(**probe, *found, lua_root);
}

// ------------------------------------------------------------------------------------------------ new,
// check, test

int make_new(const Invocation& invocation, const std::string&) {
  const std::vector<std::string>& words = invocation.arguments.words();
  if (words.size() != 2) return wrong_usage("new takes one NAME");
  const auto written = write_plugin_template(words[1], invocation.arguments.value("--dir", "."));
  if (!written) return fail(written.error());
  for (const std::string& path : *written) std::printf("%s\n", path.c_str());
  return kDone;
}

/// NAME.lua and NAME/init.lua are the plugin NAME.
std::string plugin_name_of(const fs::path& path) {
  return path.filename() == "init.lua" && path.has_parent_path()
             ? fs::absolute(path).parent_path().filename().string()
             : path.stem().string();
}

Result<script::CheckedSource> read_plugin(const std::string& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return base::invalid(path + ": no such file");
  if (fs::file_size(path, error) > control::kSourceBytesMax)
    return base::invalid(path + ": larger than 16 MB");
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad() || !file.is_open()) return base::invalid(path + ": cannot be read");
  const std::string name = plugin_name_of(path);
  if (!control::is_plugin_name(name)) return base::invalid(path + ": `" + name + "` is no name for a plugin");
  return script::CheckedSource{name, path, std::move(text)};
}

/// Other Lua files of the plugin's folder, as they would be there for it in a plugin path.
Result<std::vector<script::CheckedSource>> libraries_beside(const script::CheckedSource& plugin) {
  fs::path folder = fs::absolute(plugin.path).parent_path();
  const bool is_folder_plugin = fs::path(plugin.path).filename() == "init.lua";
  if (is_folder_plugin) folder = folder.parent_path();
  auto found = control::collect_sources({plugin.name}, {{folder.string()}, ""});
  if (!found) return found.error();
  return convert(found->sources.libraries);
}

int check(const Invocation& invocation, const std::string& lua_root) {
  const std::vector<std::string>& words = invocation.arguments.words();
  if (words.size() < 2) return wrong_usage("check takes a FILE");
  int status = kDone;
  for (size_t i = 1; i < words.size(); ++i) {
    Result<script::CheckedSource> plugin = read_plugin(words[i]);
    if (!plugin) return fail(plugin.error());
    auto libraries = libraries_beside(*plugin);
    if (!libraries) return fail(libraries.error());
    auto probe = script::PluginProbe::make(lua_root);
    if (!probe) return fail(probe.error());
    const Result<script::PluginFacts> facts = (*probe)->probe(*plugin, *libraries);
    if (!facts) {
      std::fprintf(stderr, "%s\n", facts.error().detail.c_str());
      status = kFailed;
      continue;
    }
    std::printf("ok: %s %s, priority %g, %s%s\n", plugin->name.c_str(), facts->version.c_str(),
                facts->priority, facts->type.empty() ? "" : ("type " + facts->type + ", ").c_str(),
                facts->phases.c_str());
  }
  return status;
}

int test(const Invocation& invocation, const std::string& lua_root) {
  script::TestOptions options;
  options.lua_root = lua_root;
  options.filter = invocation.arguments.value("--filter");
  options.jobs = kJobsDefault;
  if (const std::string jobs = invocation.arguments.value("--jobs"); !jobs.empty()) {
    const auto [end, fault] = std::from_chars(jobs.data(), jobs.data() + jobs.size(), options.jobs);
    if (fault != std::errc() || end != jobs.data() + jobs.size() || options.jobs < 1 ||
        options.jobs > kJobsMax) {
      return wrong_usage("test: --jobs must be a number from 1 to 32");
    }
  }
  const std::vector<std::string>& words = invocation.arguments.words();
  options.paths.assign(words.begin() + 1, words.end());
  if (options.paths.empty()) options.paths.emplace_back(".");
  return script::run_tests(options);
}

struct Action {
  std::string_view name;
  int (*run)(const Invocation& invocation, const std::string& lua_root);
};
constexpr Action kActions[] = {{"list", list}, {"new", make_new}, {"check", check}, {"test", test}};

int run_plugin(const Invocation& invocation) {
  base::set_log_role("plugin");
  const std::vector<std::string>& words = invocation.arguments.words();
  std::vector<std::string_view> known;
  for (const Action& action : kActions) {
    known.push_back(action.name);
    if (words.empty() || words[0] != action.name) continue;
    const Result<std::string> lua_root = find_lua_root();
    if (!lua_root) return fail(lua_root.error());
    return action.run(invocation, *lua_root);
  }
  if (words.empty()) return wrong_usage("wants one of list, new NAME, check FILE, test [PATH ...]");
  return wrong_usage(config::describe_unknown("action", words[0], known));
}

}  // namespace

const Command kPluginCommand{
    "plugin",
    "list | new NAME | check FILE ... | test [PATH ...]",
    kWordsMax,
    "Lists plugins (those of a configuration too with -c), begins one, checks one, runs tests of plugins.",
    kOptions,
    run_plugin};

}  // namespace moongate::cli
