// SPDX-License-Identifier: Apache-2.0
// moongate routes: what is routed where, in the order in which routes are tried.
#include <cstdio>

#include "base/json.h"
#include "cli/command.h"
#include "cli/inspection.h"
#include "cli/route_text.h"

namespace moongate::cli {
namespace {

using base::Value;

constexpr OptionSpec kOptions[] = {{"--json", "", ""}, kAnyConfigOption, kDirectoryOption};

std::vector<std::string> row_of(const Value& route) {
  const std::string fault(route.get_string("fault"));
  return {std::string(route.get_string("id")),
          joined(*route.find("uris"), "-"),
          joined(*route.find("hosts"), "*"),
          joined(*route.find("methods"), "*"),
          base::to_json(*route.find("priority")),
          joined(*route.find("plugins"), "-"),
          fault.empty() ? upstream_text(*route.find("upstream")) : "answers an error: " + fault};
}

int routes(const Invocation& invocation) {
  const std::unique_ptr<Inspection> inspection = Inspection::open(invocation.arguments);
  if (!inspection) return kFailed;
  const snapshot::Snapshot& snapshot = inspection->snapshot();
  Value list = Value::array();
  for (const router::Router::Listed& listed : snapshot.router->list())
    list.items().push_back(describe_route(*snapshot.routes[listed.target], *listed.spec));
  if (invocation.arguments.has("--json")) {
    Value answer = Value::object();
    answer.set("snapshot", Value::number(static_cast<double>(snapshot.number)));
    answer.set("routes", std::move(list));
    std::printf("%s\n", base::to_json(answer).c_str());
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{
      {"ID", "URIS", "HOSTS", "METHODS", "PRIORITY", "PLUGINS", "UPSTREAM"}};
  for (const Value& route : list.items()) rows.push_back(row_of(route));
  print_table(rows, "");
  return kDone;
}

}  // namespace

const Command kRoutesCommand{"routes", "",    0, "Lists the routes in the order in which they are tried.",
                             kOptions, routes};

}  // namespace moongate::cli
