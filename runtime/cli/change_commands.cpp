// SPDX-License-Identifier: Apache-2.0
// moongate diff, apply, history: what a file would change, putting resources in through control, and what was
// changed when and by whom.
#include <cstdio>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/json.h"
#include "cli/command.h"
#include "cli/inspection.h"
#include "cli/instance_client.h"
#include "cli/lua_root.h"
#include "cli/lua_validator.h"
#include "control/loader.h"
#include "control/snapshot_diff.h"
#include "snapshot/blob.h"

namespace moongate::cli {

using base::Result;
using base::Value;
using snapshot::BlobView;
using snapshot::Record;

namespace {

constexpr OptionSpec kDiffOptions[] = {kConfigOption, kDirectoryOption};
constexpr OptionSpec kApplyOptions[] = {{"--wait", "", ""}, {"--prune", "", ""}, kDirectoryOption};
constexpr OptionSpec kHistoryOptions[] = {{"--json", "", ""}, kDirectoryOption};

control::ResourceStore::Map stored_in(const BlobView& view) {
  control::ResourceStore::Map stored;
  for (const Record& record : view.records()) {
    const config::Kind* kind = snapshot::resource_kind(record.kind);
    if (kind == nullptr || record.place != control::kStoredPlace) continue;
    stored[{*kind, std::string(record.id)}].json = std::string(record.body);
  }
  return stored;
}

void print_field(const control::FieldDifference& field) {
  std::printf("    %s: %s -> %s\n", field.path.c_str(),
              field.before ? base::to_json(*field.before).c_str() : "nothing",
              field.after ? base::to_json(*field.after).c_str() : "nothing");
}

void print_difference(const control::Difference& difference) {
  std::printf("%c %s\n", static_cast<char>(difference.kind), difference.name.c_str());
  for (const control::FieldDifference& field : difference.fields) print_field(field);
}

int diff(const Invocation& invocation) {
  const Result<std::string> lua_root = find_lua_root();
  const Result<std::string> served = read_instance_snapshot(directory_of(invocation.arguments));
  if (!lua_root || !served) {
    print_error(!lua_root ? lua_root.error().detail : served.error().detail);
    return kFailed;
  }
  const Result<BlobView> before = BlobView::open(*served);
  if (!before) {
    print_error(before.error().detail);
    return kFailed;
  }
  const control::ValidatorFactory factory = lua_validator_factory(*lua_root);
  const control::ResourceStore::Map stored = stored_in(*before);
  control::LoadOptions options{invocation.arguments.values("--config"), *lua_root, &factory};
  options.stored = &stored;
  const control::Loaded loaded = control::load_configuration(options);
  for (const std::string& error : loaded.errors) std::fprintf(stderr, "%s\n", error.c_str());
  if (!loaded.ok()) return kFailed;
  const Result<BlobView> after = BlobView::open(loaded.blob);
  if (!after) {
    print_error(after.error().detail);
    return kFailed;
  }
  // A file neither changes nor removes what the Admin API has made.
  const std::vector<control::Difference> differences =
      control::compare(control::content_of(*before, false), control::content_of(*after, false));
  for (const control::Difference& difference : differences) print_difference(difference);
  if (differences.empty()) std::printf("no difference\n");
  return kDone;
}

int apply(const Invocation& invocation) {
  if (invocation.arguments.words().empty()) {
    print_error("name the file with the resources: moongate apply FILE");
    return kWrongUsage;
  }
  Value request = make_request("apply");
  const std::string path = std::filesystem::absolute(invocation.arguments.words().front()).string();
  request.set("path", Value::string(path));
  request.set("wait", Value::boolean(invocation.arguments.has("--wait")));
  request.set("prune", Value::boolean(invocation.arguments.has("--prune")));
  const std::optional<Value> answer = ask_or_explain(invocation, request);
  if (!answer) return kFailed;
  std::printf(invocation.arguments.has("--wait") ? "applied; every worker serves it\n" : "applied\n");
  return kDone;
}

int history(const Invocation& invocation) {
  const std::optional<Value> answer = ask_or_explain(invocation, make_request("history"));
  if (!answer) return kFailed;
  if (invocation.arguments.has("--json"))
    std::printf("%s\n", base::to_json(*answer).c_str());
  else
    print_snapshots(*answer);
  return kDone;
}

}  // namespace

const Command kDiffCommand{
    "diff", "", 0, "Says what these files would change in what the instance serves.", kDiffOptions, diff};
const Command kApplyCommand{"apply",
                            "FILE",
                            1,
                            "Puts the resources of a file in as the Admin API does, all or none; --prune "
                            "deletes what the API made and the "
                            "file has not, --wait returns when every worker serves them.",
                            kApplyOptions,
                            apply};
const Command kHistoryCommand{
    "history", "", 0, "Lists the last changes with time, hash and author.", kHistoryOptions, history};

}  // namespace moongate::cli
