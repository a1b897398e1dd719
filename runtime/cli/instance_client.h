// SPDX-License-Identifier: Apache-2.0
// Asks the instance in DIR, over its control.sock.
#pragma once

#include <string>

#include "base/result.h"
#include "base/value.h"

namespace moongate::cli {

/// Sends one request and waits for its answer. kNotFound when no instance runs in `directory`.
base::Result<base::Value> ask_instance(const std::string& directory, const base::Value& request);

/// {"command": name}
base::Value make_request(const std::string& name);

/// Waits until the process has ended.
base::Result<void> wait_for_end(int pid);

}  // namespace moongate::cli
