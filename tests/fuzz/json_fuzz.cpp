// SPDX-License-Identifier: Apache-2.0
// folder: base
// Any bytes: parse_json refuses them, or gives a tree that survives being written and read again.
#include <cstdint>
#include <cstdlib>

#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moongate::base;
  const auto value = parse_json({reinterpret_cast<const char*>(data), size});
  if (!value) return 0;
  const std::string text = to_json(*value, true);
  const auto again = parse_json(text);
  if (!again || !(*again == *value) || to_json(*again, true) != text) std::abort();
  return 0;
}
