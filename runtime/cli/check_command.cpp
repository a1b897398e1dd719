// SPDX-License-Identifier: Apache-2.0
// moongate check: everything a start would find wrong, without starting anything.
#include <cstdio>

#include "base/log.h"
#include "cli/command.h"
#include "cli/lua_root.h"
#include "cli/lua_validator.h"
#include "control/loader.h"

namespace moongate::cli {
namespace {

constexpr OptionSpec kOptions[] = {kConfigOption, kDirectoryOption};

std::string count_text(size_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

void print_summary(const control::Loaded& loaded) {
  std::string text =
      "ok: " + count_text(loaded.counts[static_cast<size_t>(config::Kind::kRoute)], "route", "routes");
  for (size_t i = 0; i < config::kKindCount; i++) {
    const auto kind = static_cast<config::Kind>(i);
    if (kind == config::Kind::kRoute || loaded.counts[i] == 0) continue;
    const std::string many = config::find_owned(kind) != nullptr ? std::string(config::kind_name(kind)) + "s"
                                                                 : std::string(config::kind_list_name(kind));
    text += ", " + count_text(loaded.counts[i], config::kind_name(kind), many);
  }
  text += ", " + count_text(loaded.plugin_count, "plugin", "plugins");
  std::printf("%s\n", text.c_str());
}

/// A start has both, so they are judged together; whoever reads the verdict is to know what it is about.
std::string describe_store(const std::string& directory, const control::ResourceStore::Map& stored) {
  if (stored.empty()) return "the files alone: the Admin API has made nothing in " + directory;
  return "the files with " + count_text(stored.size(), "resource", "resources") +
         " that the Admin API has made in " + directory;
}

int check(const Invocation& invocation) {
  base::set_log_role("check");
  const base::Result<std::string> lua_root = find_lua_root();
  if (!lua_root) {
    print_error(lua_root.error().detail);
    return kFailed;
  }
  const std::string directory = directory_of(invocation.arguments);
  const control::ValidatorFactory factory = lua_validator_factory(*lua_root);
  control::LoadOptions options{invocation.arguments.values("--config"), *lua_root, &factory};
  control::ResourceStore::Map stored;
  options.find_stored =
      [&](const config::Settings& settings) -> base::Result<const control::ResourceStore::Map*> {
    auto found = control::ResourceStore::peek(directory, control::store_folder(settings.etcd));
    if (!found) return found.error();
    stored = found.take();
    return &stored;
  };
  const control::Loaded loaded = control::load_configuration(options);
  const std::string looked_at = "looked at " + describe_store(directory, stored);
  for (const std::string& warning : loaded.warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  for (const std::string& error : loaded.errors) std::fprintf(stderr, "%s\n", error.c_str());
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", looked_at.c_str());
    return kFailed;
  }
  print_summary(loaded);
  std::printf("%s\n", looked_at.c_str());
  return kDone;
}

}  // namespace

const Command kCheckCommand{
    "check",  "",   0, "Checks configuration and plugins, with what the Admin API has made in DIR.",
    kOptions, check};

}  // namespace moongate::cli
