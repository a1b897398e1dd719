// SPDX-License-Identifier: Apache-2.0
// The file of trusted authorities, read where it is checked: its text travels in the snapshot.
#pragma once

#include <string>

#include "base/result.h"

namespace moongate::control {

inline constexpr size_t kTrustedFileMaxBytes = 16u << 20;

/// The text of the file. Fails: when it cannot be read, is larger than kTrustedFileMaxBytes or cannot be
/// trusted.
base::Result<std::string> read_trusted_file(const std::string& path);

}  // namespace moongate::control
