// SPDX-License-Identifier: Apache-2.0
// MG_ASSERT states a promise of our own code. It stays on in release builds: a worker that broke a promise
// dies with file and line, and the supervisor starts another.
#pragma once

namespace moongate::base {
[[noreturn, gnu::cold]] void assert_failed(const char* expression, const char* file, int line);
}

#define MG_ASSERT(expression)                    \
  (__builtin_expect(!!(expression), 1) ? (void)0 \
                                       : ::moongate::base::assert_failed(#expression, __FILE__, __LINE__))
