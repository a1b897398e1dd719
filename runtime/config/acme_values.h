// SPDX-License-Identifier: Apache-2.0
// The settings under `moongate.acme` that have a shape of their own.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/settings_table.h"

namespace moongate::config {

/// A URL that begins with https://.
std::optional<std::string> normalize_acme_directory(std::string_view text);
/// A URL such as mailto:ops@example.org.
std::optional<std::string> normalize_acme_contact(std::string_view text);
std::optional<Problem> read_renew_before(const base::Value& value, Settings& settings);
base::Value write_renew_before(const Settings& settings);
std::optional<Problem> read_external_account(const base::Value& value, Settings& settings);
base::Value write_external_account(const Settings& settings);

}  // namespace moongate::config
