// SPDX-License-Identifier: Apache-2.0
// moongate explain METHOD URL: which route would take a request, why the better ones would not, and what
// would run.
#include <cstdio>

#include "base/json.h"
#include "cli/command.h"
#include "cli/explanation.h"
#include "cli/route_text.h"

namespace moongate::cli {
namespace {

using base::Value;

constexpr OptionSpec kOptions[] = {{"--header", "-H", "'NAME: VALUE'", true},
                                   {"--from", "", "ADDRESS"},
                                   {"--consumer", "", "NAME"},
                                   {"--json", "", ""},
                                   kAnyConfigOption,
                                   kDirectoryOption};

std::string get(const Value& value, std::string_view key) { return std::string(value.get_string(key)); }

std::string number(const Value& value, std::string_view key) { return base::to_json(*value.find(key)); }

void print_request(const Value& request) {
  const double port = request.get_number("port", 0);
  std::vector<std::vector<std::string>> rows = {{"path", get(request, "path")}};
  if (const std::string query = get(request, "query"); !query.empty()) rows.push_back({"query", query});
  rows.push_back({"host", get(request, "host") + (port > 0 ? ":" + number(request, "port") : "")});
  rows.push_back({"client", get(request, "remote_addr")});
  std::printf("request %s %s\n", get(request, "method").c_str(), get(request, "target").c_str());
  print_table(rows, "  ");
}

void print_candidates(const Value& candidates) {
  std::vector<std::vector<std::string>> rows;
  for (const Value& one : candidates.items()) {
    const bool is_taken = one.get_bool("is_taken", false);
    rows.push_back({get(one, "id"), get(one, "uri"), get(one, "host").empty() ? "*" : get(one, "host"),
                    is_taken ? "taken" : "not taken: " + get(one, "reason")});
  }
  std::printf("routes with this path, in the order in which they are tried; those of other hosts last\n");
  if (rows.empty()) rows.push_back({"none"});
  print_table(rows, "  ");
}

void print_plugins(const Value& plugins) {
  std::printf("plugins\n");
  std::vector<std::vector<std::string>> rows;
  for (const Value& one : plugins.items())
    rows.push_back({get(one, "phase"), get(one, "plugin"), number(one, "priority"), get(one, "source")});
  if (rows.empty()) rows.push_back({"none"});
  print_table(rows, "  ");
}

void print_answer(const Value& answer) {
  if (const Value* refused = answer.find("refused"); refused->is_object()) {
    std::printf("refused with %s before any route: %s\n", number(*refused, "status").c_str(),
                get(*refused, "reason").c_str());
    return;
  }
  print_request(*answer.find("request"));
  print_candidates(*answer.find("candidates"));
  if (const std::string name = get(answer, "body_variable"); !name.empty())
    std::printf(
        "asked for `%s` of the body, taken as unset here: a request with a body may find another route\n",
        name.c_str());
  const Value* route = answer.find("route");
  std::printf("route %s\n", route->is_object() ? get(*route, "id").c_str() : "none: 404");
  if (const Value* plugins = answer.find("plugins"); plugins->is_array()) print_plugins(*plugins);
  if (const Value* fault = answer.find("fault"); fault->is_object()) {
    std::printf("answers %s: %s\n", number(*fault, "status").c_str(), get(*fault, "reason").c_str());
  } else if (route->is_object()) {
    std::printf("upstream %s\n", upstream_text(*answer.find("upstream")).c_str());
  }
}

int explain_request(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  if (arguments.words().size() != 2) {
    print_error("name a method and a URL, as in `moongate explain GET http://example.com/orders/7`");
    return kWrongUsage;
  }
  const std::unique_ptr<Inspection> inspection = Inspection::open(arguments);
  if (!inspection) return kFailed;
  const Question question{arguments.words()[0], arguments.words()[1], arguments.values("--header"),
                          arguments.value("--from", "127.0.0.1"), arguments.value("--consumer")};
  const base::Result<Value> answer = explain(*inspection, question);
  if (!answer) {
    print_error(answer.error().detail);
    return kFailed;
  }
  if (arguments.has("--json"))
    std::printf("%s\n", base::to_json(*answer).c_str());
  else
    print_answer(*answer);
  return kDone;
}

}  // namespace

const Command kExplainCommand{
    "explain", "METHOD URL",
    2,         "Says which route would take a request, why others would not, and what would run.",
    kOptions,  explain_request};

}  // namespace moongate::cli
