// SPDX-License-Identifier: Apache-2.0
// Answers of the Admin API as APISIX 2 gave them, {action, node, count}, for clients that were written for
// it. They are made from the answers of today; only lists have a form of their own (admin_lists.h).
#pragma once

#include <string_view>

#include "control/admin_batch.h"

namespace moongate::control {

/// "get"; what the version before called a verb: "set", "create", "compareAndSwap", "delete".
inline constexpr std::string_view kReadAction = "get";
std::string_view action_of(AdminWrite::Verb verb);

/// What succeeded in the older form; refusals have the same form in both.
HttpResponse in_older_form(HttpResponse response, std::string_view action);

}  // namespace moongate::control
