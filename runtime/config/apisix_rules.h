// SPDX-License-Identifier: Apache-2.0
// What the keys of APISIX's config.yaml become. Keys that need more than a rule are in apisix.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace moongate::config {

enum class ApisixForm : uint8_t {
  kSame,     // the value goes over as it is
  kTime,     // "60s", "1m", 500ms or seconds
  kOwn,      // apisix.cpp has code for it
  kIgnored,  // nothing is lost, whatever it says
  kNote,     // works otherwise: `text` says how; silent when the value is `expected`
  kLost,     // does not work: `text` says why; silent when the value is `expected`
};

struct ApisixRule {
  std::string_view key;  // "nginx_config.http.send_timeout"; one ending in `*` is for all that begin so
  ApisixForm form = ApisixForm::kSame;
  std::string_view setting = {};   // of ours, for kSame and kTime: "client.send_timeout"
  std::string_view text = {};      // of kNote and kLost
  std::string_view expected = {};  // JSON; empty: nothing is
};

std::span<const ApisixRule> apisix_rules();

}  // namespace moongate::config
