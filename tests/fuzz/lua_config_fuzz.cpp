// SPDX-License-Identifier: Apache-2.0
// folder: cli
// Any text, as a configuration file in Lua, the way `moongate check -c x.lua` takes it: run in a VM, turned
// into a document, judged by the schemas and plugins, written as a blob. Either there is a blob that opens,
// or each fault names the file; loops and memory end at limits.
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/assert.h"
#include "cli/lua_validator.h"
#include "control/loader.h"
#include "snapshot/blob.h"

using namespace moongate;

namespace {

/// A folder for the one file, gone with the process.
struct Folder {
  Folder() {
    char name[] = "/tmp/moongate-fuzz-XXXXXX";
    MG_ASSERT(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

control::ValidatorFactory make_factory() {
  script::CheckerOptions limits;
  limits.cpu_budget_ms = 200;
  limits.memory_max_bytes = size_t{64} << 20;
  return cli::lua_validator_factory(MOONGATE_SOURCE_ROOT "/lua", limits);
}

void check_blob(const control::Loaded& loaded) {
  const auto view = snapshot::BlobView::open(loaded.blob);
  MG_ASSERT(view.ok());
  MG_ASSERT(view->records_of(snapshot::RecordKind::kRoute).size() ==
            loaded.counts[static_cast<size_t>(config::Kind::kRoute)]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  static const control::ValidatorFactory factory = make_factory();
  const std::string path = folder.path + "/moongate.lua";
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<long>(size));

  const auto started = std::chrono::steady_clock::now();
  const control::Loaded loaded = control::load_configuration({{path}, MOONGATE_SOURCE_ROOT "/lua", &factory});
  MG_ASSERT(std::chrono::steady_clock::now() - started < std::chrono::seconds(20));
  for (const std::string& error : loaded.errors) MG_ASSERT(error.find("moongate.lua") != std::string::npos);
  if (loaded.ok()) check_blob(loaded);
  return 0;
}
