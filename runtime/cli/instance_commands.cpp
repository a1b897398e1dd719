// SPDX-License-Identifier: Apache-2.0
// reload, stop, status, rollback: commands that act on the instance in -p DIR.
#include <charconv>
#include <csignal>
#include <cstdio>
#include <optional>

#include "base/json.h"
#include "cli/command.h"
#include "cli/instance_client.h"
#include "supervisor/pid_file.h"

namespace moongate::cli {

using base::Result;
using base::Value;

namespace {

constexpr OptionSpec kDirectoryOnly[] = {kDirectoryOption};
constexpr OptionSpec kStopOptions[] = {{"--now", "", ""}, kDirectoryOption};
constexpr OptionSpec kStatusOptions[] = {{"--json", "", ""}, kDirectoryOption};

void print_list(const Value& answer, std::string_view key, std::string_view prefix) {
  const Value* list = answer.find(key);
  if (list == nullptr || !list->is_array()) return;
  for (const Value& item : list->items()) {
    if (item.is_string())
      std::fprintf(stderr, "%s%s\n", std::string(prefix).c_str(), item.as_string().c_str());
  }
}

unsigned long long number_of(const Value& value, std::string_view key) {
  return static_cast<unsigned long long>(value.get_number(key, 0));
}

}  // namespace

std::optional<Value> ask_or_explain(const Invocation& invocation, const Value& request) {
  Result<Value> answer = ask_instance(directory_of(invocation.arguments), request);
  if (!answer) {
    print_error(answer.error().detail);
    return {};
  }
  if (answer->get_bool("ok", false)) return answer.take();
  print_list(*answer, "errors", "");
  return {};
}

void print_snapshots(const Value& answer) {
  const Value* list = answer.find("snapshots");
  if (list == nullptr || !list->is_array()) return;
  for (const Value& stored : list->items()) {
    const bool is_current = stored.get_number("number", 0) == answer.get_number("current", -1);
    std::printf("%s snapshot %llu  %s  %s  %s%s\n", is_current ? "*" : " ", number_of(stored, "number"),
                std::string(stored.get_string("time")).c_str(),
                std::string(stored.get_string("hash")).substr(0, 12).c_str(),
                std::string(stored.get_string("reason")).c_str(),
                stored.get_bool("is_kept", true) ? "" : "  (not kept: no rollback to it)");
  }
}

namespace {

int report_change(const Value& answer) {
  print_list(answer, "warnings", "warning: ");
  const char* what = answer.get_bool("changed", false) ? "snapshot %llu serves\n"
                                                       : "nothing changed; snapshot %llu serves on\n";
  std::printf(what, number_of(answer, "snapshot"));  // NOLINT: both formats take the one number
  return kDone;
}

int reload(const Invocation& invocation) {
  const std::optional<Value> answer = ask_or_explain(invocation, make_request("reload"));
  return answer ? report_change(*answer) : kFailed;
}

int rollback(const Invocation& invocation) {
  Value request = make_request("rollback");
  if (!invocation.arguments.words().empty()) {
    const std::string& text = invocation.arguments.words().front();
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number == 0) {
      print_error("`" + text + "` is not the number of a snapshot; `moongate status` lists them");
      return kWrongUsage;
    }
    request.set("number", Value::number(static_cast<double>(number)));
  }
  const std::optional<Value> answer = ask_or_explain(invocation, request);
  return answer ? report_change(*answer) : kFailed;
}

int stop(const Invocation& invocation) {
  const std::string directory = directory_of(invocation.arguments);
  const bool is_now = invocation.arguments.has("--now");
  const int pid = supervisor::running_pid(directory);
  if (pid == 0) {
    print_error("no instance runs in " + directory + "; name its folder with -p DIR");
    return kFailed;
  }
  // By signal, so that it works whatever state control is in.
  if (::kill(pid, is_now ? SIGTERM : SIGQUIT) != 0) {
    print_error(base::io_error("stopping pid " + std::to_string(pid)).detail);
    return kFailed;
  }
  if (auto ended = wait_for_end(pid); !ended) {
    print_error(ended.error().detail);
    return kFailed;
  }
  std::printf("stopped\n");
  return kDone;
}

void print_worker(const Value& worker) {
  std::printf("  worker %llu: %s, pid %llu, snapshot %llu, %llu connections, %llu requests, %llu restarts",
              number_of(worker, "index"), std::string(worker.get_string("state")).c_str(),
              number_of(worker, "pid"), number_of(worker, "snapshot"), number_of(worker, "connections"),
              number_of(worker, "requests"), number_of(worker, "restarts"));
  const std::string end(worker.get_string("last_death"));
  std::printf(end.empty() ? "%s\n" : "; the one before %s\n",
              end.c_str());  // NOLINT: both formats take the one text
}

void print_store(const Value& store) {
  const bool is_shared = store.get_string("kind") == "etcd";
  std::printf("  %s: %llu resources at revision %llu (%s)\n",
              is_shared ? std::string(store.get_string("endpoint")).c_str() : "store",
              number_of(store, "resources"), number_of(store, "revision"),
              std::string(store.get_string("hash")).c_str());
  if (!is_shared) return;
  const std::string fault(store.get_string("fault"));
  std::printf("  etcd is %s%s%s\n", std::string(store.get_string("state")).c_str(), fault.empty() ? "" : ": ",
              fault.c_str());
}

void print_health(const Value& health) {
  if (number_of(health, "checked") == 0) return;
  std::printf("  %llu nodes are checked, %llu are left alone\n", number_of(health, "checked"),
              number_of(health, "left_alone"));
  for (const Value& node : health.find("nodes")->items()) {
    const std::string since(node.get_string("since"));
    std::printf("  %s node %s is %s: %s%s%s\n", std::string(node.get_string("upstream")).c_str(),
                std::string(node.get_string("node")).c_str(), std::string(node.get_string("status")).c_str(),
                std::string(node.get_string("reason")).c_str(), since.empty() ? "" : ", since ",
                since.c_str());
  }
}

void print_issued(const Value& list) {
  for (const Value& one : list.items()) {
    std::string names;
    for (const Value& name : one.find("names")->items())
      names.append(names.empty() ? "" : ", ").append(name.as_string());
    const std::string error(one.get_string("last_error"));
    std::printf("  %s: %s for %s; the next try is at %s%s%s\n",
                std::string(one.get_string("resource")).c_str(), std::string(one.get_string("state")).c_str(),
                names.c_str(), std::string(one.get_string("next_try")).c_str(),
                error.empty() ? "" : ", the last one failed: ", error.c_str());
  }
}

void print_status(const Value& status) {
  std::printf("moongate %s, pid %llu, up %llu s\n", std::string(status.get_string("version")).c_str(),
              number_of(status, "pid"), number_of(status, "uptime_s"));
  if (const Value* listen = status.find("listen"); listen != nullptr && listen->find("proxy") != nullptr) {
    for (const Value& address : listen->find("proxy")->items())
      std::printf("  listens on %s\n", address.as_string().c_str());
  }
  for (const Value& worker : status.find("workers")->items()) print_worker(worker);
  if (const Value* store = status.find("store"); store != nullptr && store->is_object()) print_store(*store);
  if (const Value* plugins = status.find("quarantined_plugins"); plugins != nullptr && plugins->is_array()) {
    for (const Value& name : plugins->items()) {
      std::printf(
          "  plugin %s is in quarantine: its routes answer 503 until its code or configuration changes\n",
          name.as_string().c_str());
    }
  }
  if (const Value* health = status.find("health"); health != nullptr && health->is_object())
    print_health(*health);
  if (const Value* list = status.find("acme"); list != nullptr && list->is_array()) print_issued(*list);
  const Value* error = status.find("last_error");
  if (error == nullptr || !error->is_object()) return;
  std::printf("the last change was refused at %s:\n", std::string(error->get_string("time")).c_str());
  for (const Value& text : error->find("errors")->items()) std::printf("  %s\n", text.as_string().c_str());
}

int status(const Invocation& invocation) {
  const std::optional<Value> answer = ask_or_explain(invocation, make_request("status"));
  if (!answer) return kFailed;
  if (invocation.arguments.has("--json")) {
    std::printf("%s\n", base::to_json(*answer).c_str());
    return kDone;
  }
  print_status(*answer);
  if (const std::optional<Value> snapshots = ask_or_explain(invocation, make_request("snapshots")))
    print_snapshots(*snapshots);
  return kDone;
}

}  // namespace

const Command kReloadCommand{
    "reload",       "",    0, "Reads the configuration again and switches to it, or says why not.",
    kDirectoryOnly, reload};
const Command kStopCommand{
    "stop",       "",  0, "Ends the instance when the requests under way have ended; --now cuts them.",
    kStopOptions, stop};
const Command kStatusCommand{"status", "", 0, "Tells what runs and what it serves.", kStatusOptions, status};
const Command kRollbackCommand{"rollback",     "[N]",   1, "Goes back to snapshot N, or to the one before.",
                               kDirectoryOnly, rollback};

}  // namespace moongate::cli
