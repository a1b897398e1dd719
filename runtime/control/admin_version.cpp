// SPDX-License-Identifier: Apache-2.0
#include "control/admin_version.h"

namespace moongate::control {

std::string_view action_of(AdminWrite::Verb verb) {
  switch (verb) {
    case AdminWrite::Verb::kPost:
      return "create";
    case AdminWrite::Verb::kPatch:
      return "compareAndSwap";
    case AdminWrite::Verb::kDelete:
      return "delete";
    case AdminWrite::Verb::kPut:
    case AdminWrite::Verb::kReplaceAll:
      return "set";
  }
  return "set";
}

HttpResponse in_older_form(HttpResponse response, std::string_view action) {
  if (response.status >= 300) return response;
  std::string_view body = response.body;
  while (body.ends_with('\n')) body.remove_suffix(1);
  if (!body.starts_with('{')) return response;
  std::string older = "{\"action\":\"" + std::string(action) + "\",";
  if (action == action_of(AdminWrite::Verb::kDelete)) {
    // The key stood beside a node without anything in it.
    older.append(body.substr(1, body.size() - 2)).append(",\"node\":{}}");
  } else {
    if (action == kReadAction) older += "\"count\":1,";
    older.append("\"node\":").append(body).append("}");
  }
  response.body = older + "\n";
  return response;
}

}  // namespace moongate::control
