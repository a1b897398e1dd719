// SPDX-License-Identifier: Apache-2.0
// UUIDs as RFC 9562 has them: version 4 (random) and 7 (milliseconds of time, then random).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace moongate::base {

constexpr size_t kUuidSize = 36;  // characters

/// Writes 16 bytes as xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, kUuidSize characters without an end mark.
void write_uuid(const std::array<uint8_t, 16>& bytes, char* out);

/// Writes a new UUID of version 4. False when the system gives no random bytes.
bool make_uuid_v4(char* out);
/// Writes a new UUID of version 7 that begins with `unix_ms`.
bool make_uuid_v7(uint64_t unix_ms, char* out);

}  // namespace moongate::base
