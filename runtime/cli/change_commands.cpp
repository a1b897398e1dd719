// SPDX-License-Identifier: Apache-2.0
// moongate diff, apply, history: what a file would change, putting resources in through control, and what was
// changed when and by whom.
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "base/json.h"
#include "cli/command.h"
#include "cli/inspection.h"
#include "cli/instance_client.h"
#include "cli/lua_root.h"
#include "cli/lua_validator.h"
#include "control/loader.h"
#include "control/references.h"
#include "snapshot/blob.h"

namespace moongate::cli {

using base::Result;
using base::Value;
using snapshot::BlobView;
using snapshot::Record;
using snapshot::RecordKind;

namespace {

constexpr OptionSpec kDiffOptions[] = {kConfigOption, kDirectoryOption};
constexpr OptionSpec kApplyOptions[] = {{"--wait", "", ""}, {"--prune", "", ""}, kDirectoryOption};
constexpr OptionSpec kHistoryOptions[] = {{"--json", "", ""}, kDirectoryOption};

using Content = std::map<std::string, std::string_view>;  // by name

std::string name_of(const Record& record) {
  if (const config::Kind* kind = snapshot::resource_kind(record.kind))
    return control::resource_name({*kind, std::string(record.id)});
  if (record.kind == RecordKind::kSettings) return "moongate";
  if (record.kind == RecordKind::kPluginAttr) return "plugin_attr";
  if (record.kind == RecordKind::kPluginSource) return "code of plugin " + std::string(record.id);
  if (record.kind == RecordKind::kLibrarySource) return "code of library " + std::string(record.id);
  return "";
}

/// Without what the Admin API has made: a file neither changes nor removes it.
Content content_of(const BlobView& view) {
  Content content;
  for (const Record& record : view.records()) {
    const std::string name = name_of(record);
    if (!name.empty() && record.place != control::kStoredPlace) content[name] = record.body;
  }
  return content;
}

control::ResourceStore::Map stored_in(const BlobView& view) {
  control::ResourceStore::Map stored;
  for (const Record& record : view.records()) {
    const config::Kind* kind = snapshot::resource_kind(record.kind);
    if (kind == nullptr || record.place != control::kStoredPlace) continue;
    stored[{*kind, std::string(record.id)}].json = std::string(record.body);
  }
  return stored;
}

void print_field(const std::string& path, const Value* before, const Value* after) {
  std::printf("    %s: %s -> %s\n", path.c_str(),
              before == nullptr ? "nothing" : base::to_json(*before).c_str(),
              after == nullptr ? "nothing" : base::to_json(*after).c_str());
}

/// Every field that differs, by its way from the top.
void print_differences(const std::string& path, const Value& before, const Value& after) {
  if (!before.is_object() || !after.is_object()) return print_field(path, &before, &after);
  const std::string prefix = path.empty() ? "" : path + ".";
  for (const auto& [name, member] : before.members()) {
    const Value* now = after.find(name);
    if (now == nullptr)
      print_field(prefix + name, &member, nullptr);
    else if (!(*now == member))
      print_differences(prefix + name, member, *now);
  }
  for (const auto& [name, member] : after.members()) {
    if (before.find(name) == nullptr) print_field(prefix + name, nullptr, &member);
  }
}

/// How many things differ.
size_t print_changes(const Content& before, const Content& after) {
  size_t count = 0;
  for (const auto& [name, body] : before) {
    const auto now = after.find(name);
    if (now != after.end() && now->second == body) continue;
    count++;
    std::printf("%s %s\n", now == after.end() ? "-" : "~", name.c_str());
    if (now == after.end() || name.starts_with("code of ")) continue;
    const Result<Value> old_value = base::parse_json(body);
    const Result<Value> new_value = base::parse_json(now->second);
    if (old_value && new_value) print_differences("", *old_value, *new_value);
  }
  for (const auto& [name, body] : after) {
    if (before.count(name) > 0) continue;
    count++;
    std::printf("+ %s\n", name.c_str());
  }
  return count;
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
  if (print_changes(content_of(*before), content_of(*after)) == 0) std::printf("no difference\n");
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
  const std::optional<Value> answer = ask_or_explain(invocation, make_request("snapshots"));
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
