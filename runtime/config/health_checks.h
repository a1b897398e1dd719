// SPDX-License-Identifier: Apache-2.0
// `checks` of an upstream: when a node counts as healthy, how it is asked (active), what clients' requests
// say about it (passive).
#pragma once

#include <bitset>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/field_reader.h"

namespace moongate::config {

/// What an answer's status says, and how many of a kind in a row make a verdict; 0: they do not count.
struct CheckRules {
  using Statuses = std::bitset<600>;
  bool is_by_status = true;  // else any answer is a success
  Statuses healthy;
  Statuses unhealthy;
  uint8_t successes = 0;
  uint8_t http_failures = 0;
  uint8_t tcp_failures = 0;
  uint8_t timeouts = 0;
};

struct ActiveCheck {
  enum class Type : uint8_t { kHttp, kHttps, kTcp };
  Type type = Type::kHttp;
  CheckRules rules;
  std::chrono::milliseconds timeout{1'000};
  uint32_t concurrency = 10;
  std::string host;   // empty: as the upstream says
  uint16_t port = 0;  // 0: the node's
  std::string method = "GET";
  std::string path = "/";
  std::string body;
  std::vector<std::string> fields;  // "Name: value"
  bool verifies_certificate = true;
  std::string server_name;                            // of TLS; empty: the host
  std::chrono::milliseconds interval_healthy{1'000};  // 0: nodes that are well are not asked
  std::chrono::milliseconds interval_unhealthy{1'000};
};

struct HealthChecks {
  std::optional<ActiveCheck> active;  // nothing: switched off
  std::optional<CheckRules> passive;
  uint64_t print = 0;  // of all of it: what was found under one does not hold under another
};

/// Reads `checks` of an upstream; mistakes are the reader's.
void read_health_checks(FieldReader& upstream, std::optional<HealthChecks>* checks);

}  // namespace moongate::config
