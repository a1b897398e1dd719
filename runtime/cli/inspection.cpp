// SPDX-License-Identifier: Apache-2.0
#include "cli/inspection.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/log.h"
#include "cli/command.h"
#include "cli/instance_client.h"
#include "cli/lua_root.h"
#include "cli/lua_validator.h"
#include "control/loader.h"
#include "script/regex_engine.h"
#include "snapshot/compiler.h"
#include "snapshot/store.h"

namespace moongate::cli {

using base::Result;

namespace {

constexpr auto kSlice = std::chrono::seconds(1);

Result<std::string> load_files(const std::vector<std::string>& paths, const std::string& lua_root) {
  const control::ValidatorFactory factory = lua_validator_factory(lua_root);
  control::Loaded loaded = control::load_configuration({paths, lua_root, &factory});
  if (loaded.ok()) return std::move(loaded.blob);
  std::string errors;
  for (const std::string& error : loaded.errors) errors += (errors.empty() ? "" : "\n") + error;
  return base::invalid(errors);
}

/// References are resolved with the instance's variables, not with those of who looks.
void take_environment_of(uint64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  if (all.empty()) return;
  ::clearenv();
  for (size_t at = 0; at < all.size(); at = all.find('\0', at) + 1) {
    const std::string entry(all.c_str() + at);
    const size_t equals = entry.find('=');
    if (equals != std::string::npos && equals > 0)
      ::setenv(entry.substr(0, equals).c_str(), entry.c_str() + equals + 1, 1);
    if (all.find('\0', at) == std::string::npos) return;
  }
}

}  // namespace

Result<std::string> read_instance_snapshot(const std::string& directory) {
  const Result<base::Value> status = ask_instance(directory, make_request("status"));
  if (!status) return status.error();
  const base::Value* about = status->find("snapshot");
  const auto number = about == nullptr ? 0 : static_cast<uint64_t>(about->get_number("number", 0));
  take_environment_of(static_cast<uint64_t>(status->get_number("pid", 0)));
  return snapshot::Store::load_from(directory, number);
}

std::unique_ptr<Inspection> Inspection::open(const Arguments& arguments) {
  base::set_log_role("inspection");
  std::unique_ptr<Inspection> inspection(new Inspection());
  Result<std::string> lua_root = find_lua_root();
  if (!lua_root) {
    print_error(lua_root.error().detail);
    return nullptr;
  }
  inspection->lua_root_ = lua_root.take();
  const bool has_files = arguments.has("--config");
  if (has_files && arguments.has("--directory")) {
    print_error("-c names files and -p an instance; give one of them");
    return nullptr;
  }
  const Result<std::string> blob = has_files ? load_files(arguments.values("--config"), inspection->lua_root_)
                                             : read_instance_snapshot(directory_of(arguments));
  if (!blob) {
    if (has_files)
      std::fprintf(stderr, "%s\n", blob.error().detail.c_str());
    else
      print_error(blob.error().detail);
    return nullptr;
  }
  if (auto compiled = inspection->compile(*blob); !compiled) {
    print_error(compiled.error().detail);
    return nullptr;
  }
  return inspection;
}

Result<void> Inspection::compile(const std::string& blob) {
  script::install_regex_engine();
  Result<std::unique_ptr<net::EventLoop>> loop = net::EventLoop::make();
  if (!loop) return loop.error();
  loop_ = loop.take();
  pool_ = std::make_unique<upstream::Pool>(*loop_);
  Result<snapshot::BlobView> view = snapshot::BlobView::open(blob);
  if (!view) return view.error();
  snapshot::Compiler compiler(view.take(), nullptr, *pool_, graveyard_);
  while (!compiler.step(kSlice)) {
  }
  for (const snapshot::Complaint& complaint : compiler.complaints())
    std::fprintf(stderr, "warning: %s\n", complaint.text().c_str());
  auto compiled = compiler.finish();
  if (!compiled) return compiled.error();
  snapshot_ = compiled.take();
  return {};
}

}  // namespace moongate::cli
