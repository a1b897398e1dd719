// SPDX-License-Identifier: Apache-2.0
// folder: config
// Any bytes: read_yaml refuses them with a place, or gives a tree that JSON can carry within its limits.
#include <cstdint>
#include <cstdlib>

#include "base/json.h"
#include "config/yaml_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moongate;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const config::Environment environment = [](const std::string& name) -> std::optional<std::string> {
    if (name.size() > 1) return std::nullopt;
    return name + ": [1]";
  };
  for (const bool has_environment : {false, true}) {
    const auto value = config::read_yaml(text, 0, has_environment ? environment : config::Environment());
    if (!value) {
      if (value.error().detail.empty()) std::abort();
      continue;
    }
    const auto again = base::parse_json(base::to_json(*value));
    if (!again || !(*again == *value)) std::abort();
  }
  return 0;
}
