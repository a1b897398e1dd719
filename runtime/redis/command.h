// SPDX-License-Identifier: Apache-2.0
// Commands as Redis reads them, and scripts that it keeps by their digest.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace moongate::redis {

/// The bytes of one command.
std::string format_command(const std::vector<std::string_view>& parts);

/// A Lua script that a server runs as one step. Servers keep what they have seen once: normally only the
/// digest is sent.
struct Script {
  static std::shared_ptr<const Script> make(std::string text);
  std::string text;
  std::string digest;  // SHA-1, in hexadecimal digits
};

/// Keys and arguments of one run.
struct ScriptInput {
  std::vector<std::string> keys;  // all of one slot, in a cluster
  std::vector<std::string> arguments;
};

/// EVALSHA, or EVAL with the whole text for a server that has not seen it.
std::string format_script(const Script& script, const ScriptInput& input, bool is_whole);

}  // namespace moongate::redis
