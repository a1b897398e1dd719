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

constexpr OptionSpec kOptions[] = {kConfigOption};

std::string count_text(size_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

void print_summary(const control::Loaded& loaded) {
  std::string text =
      "ok: " + count_text(loaded.counts[static_cast<size_t>(config::Kind::kRoute)], "route", "routes");
  for (size_t i = 0; i < config::kKindCount; i++) {
    const auto kind = static_cast<config::Kind>(i);
    if (kind == config::Kind::kRoute || loaded.counts[i] == 0) continue;
    const std::string many =
        kind == config::Kind::kCredential ? "credentials" : std::string(config::kind_list_name(kind));
    text += ", " + count_text(loaded.counts[i], config::kind_name(kind), many);
  }
  text += ", " + count_text(loaded.plugin_count, "plugin", "plugins");
  std::printf("%s\n", text.c_str());
}

int check(const Invocation& invocation) {
  base::set_log_role("check");
  const base::Result<std::string> lua_root = find_lua_root();
  if (!lua_root) {
    print_error(lua_root.error().detail);
    return kFailed;
  }
  const control::ValidatorFactory factory = lua_validator_factory(*lua_root);
  const control::Loaded loaded =
      control::load_configuration({invocation.arguments.values("--config"), *lua_root, &factory});
  for (const std::string& warning : loaded.warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  for (const std::string& error : loaded.errors) std::fprintf(stderr, "%s\n", error.c_str());
  if (!loaded.ok()) return kFailed;
  print_summary(loaded);
  return kDone;
}

}  // namespace

const Command kCheckCommand{"check", "", 0, "Checks configuration and plugins.", kOptions, check};

}  // namespace moongate::cli
