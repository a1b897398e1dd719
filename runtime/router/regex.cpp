// SPDX-License-Identifier: Apache-2.0
// Keeps the engine that regex.h describes.
#include "router/regex.h"

namespace moongate::router {

namespace {
RegexEngine* g_engine = nullptr;
}

void set_regex_engine(RegexEngine* engine) { g_engine = engine; }
RegexEngine* regex_engine() { return g_engine; }

}  // namespace moongate::router
