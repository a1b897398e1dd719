// SPDX-License-Identifier: Apache-2.0
// The small languages inside settings: addresses, sizes, networks, and the settings of a shape of their own.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/settings_table.h"

namespace moongate::config {

/// How a value is named in an error: `"abc"`, `17`, `a list`.
std::string describe_value(const base::Value& value);
/// Whether it is `off`, as a word or as YAML reads it.
bool is_off(const base::Value& value);

/// "1m", "512k", "2g" or a plain number of bytes.
std::optional<uint64_t> parse_size(std::string_view text);
std::string size_text(uint64_t bytes);

/// An address to listen on, made canonical: a bare port means every IPv4 address. Nothing when it is none.
std::optional<std::string> normalize_listen_address(std::string_view text);
/// An IP address, a network in CIDR form, or "unix:".
std::optional<std::string> normalize_network(std::string_view text);
/// "ADDR" or "ADDR:PORT" of a DNS server.
std::optional<std::string> normalize_dns_server(std::string_view text);
/// Any text without control characters, not empty.
std::optional<std::string> normalize_text(std::string_view text);
/// A key of AES-128 or AES-256.
std::optional<std::string> normalize_cipher_key(std::string_view text);
/// "combined", "json", or a text with a `$` in it.
std::optional<std::string> normalize_log_format(std::string_view text);

std::optional<Problem> read_workers(const base::Value& value, Settings& settings);
base::Value write_workers(const Settings& settings);
std::optional<Problem> read_listen(const base::Value& value, Settings& settings);
base::Value write_listen(const Settings& settings);
/// Any text but the keys that APISIX shipped.
std::optional<std::string> normalize_admin_key(std::string_view text);
std::optional<Problem> read_admin_keys(const base::Value& value, Settings& settings);
base::Value write_admin_keys(const Settings& settings);
std::optional<Problem> read_hosts(const base::Value& value, Settings& settings);
base::Value write_hosts(const Settings& settings);
std::optional<Problem> read_dicts(const base::Value& value, Settings& settings);
base::Value write_dicts(const Settings& settings);

}  // namespace moongate::config
