// SPDX-License-Identifier: Apache-2.0
// Why a worker does not take a snapshot, as the text of its kRefused: control is to know whose code fails,
// and so whom to leave out, without trying one resource after the other. Apart from channel.h, which carries
// texts and does not look at them.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace moongate::snapshot {

/// What is wrong with the code of plugins, by their names.
using PluginFaults = std::map<std::string, std::string>;

struct Refusal {
  std::string reason;
  PluginFaults plugins;  // empty: no plugin is to blame, or it is not known which

  /// For a message: what does not fit is cut off, and of many plugins the last are left out.
  std::string to_text() const;
  /// A text that is no such JSON is a reason.
  static Refusal from_text(std::string_view text);
};

}  // namespace moongate::snapshot
