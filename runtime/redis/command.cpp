// SPDX-License-Identifier: Apache-2.0
#include "redis/command.h"

#include <hiredis/hiredis.h>

#include "base/assert.h"
#include "base/hex.h"
#include "tls/digest.h"

namespace moongate::redis {

std::string format_command(const std::vector<std::string_view>& parts) {
  std::vector<const char*> data;
  std::vector<size_t> sizes;
  for (std::string_view part : parts) {
    data.push_back(part.data());
    sizes.push_back(part.size());
  }
  char* bytes = nullptr;
  const int size = redisFormatCommandArgv(&bytes, static_cast<int>(parts.size()), data.data(), sizes.data());
  MG_ASSERT(size > 0);
  std::string command(bytes, static_cast<size_t>(size));
  redisFreeCommand(bytes);
  return command;
}

std::shared_ptr<const Script> Script::make(std::string text) {
  char digest[tls::kDigestMaxBytes];
  const size_t size = tls::digest("sha1", text, digest);
  MG_ASSERT(size > 0);
  auto script = std::make_shared<Script>();
  script->text = std::move(text);
  script->digest = base::to_hex({digest, size});
  return script;
}

std::string format_script(const Script& script, const ScriptInput& input, bool is_whole) {
  const std::string count = std::to_string(input.keys.size());
  std::vector<std::string_view> parts = {is_whole ? "EVAL" : "EVALSHA",
                                         is_whole ? script.text : script.digest, count};
  parts.insert(parts.end(), input.keys.begin(), input.keys.end());
  parts.insert(parts.end(), input.arguments.begin(), input.arguments.end());
  return format_command(parts);
}

}  // namespace moongate::redis
