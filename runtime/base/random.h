// SPDX-License-Identifier: Apache-2.0
// Bytes from the system's random source.
#pragma once

#include <cstddef>

namespace moongate::base {

/// Fills `size` bytes that nobody can guess: keys, seeds. False when the system has none to give.
bool fill_random(char* out, size_t size);

/// The same for ids, which are many and short (at most 256 bytes each): they are cut from bytes that were
/// fetched ahead, so that hardly any costs a system call. A forked process starts with bytes of its own.
bool cut_random(char* out, size_t size);

}  // namespace moongate::base
