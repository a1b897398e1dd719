// SPDX-License-Identifier: Apache-2.0
// How a setting is declared. Only settings.cpp (which walks the table) and settings_table.cpp (which is the
// table) need this.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "config/settings.h"

namespace moongate::config {

/// What is wrong with a value: where, in which part of the setting ("[2].tls"), and what would be right.
struct Problem {
  const base::Value* at;
  std::string part;
  std::string what;
};

struct BoolSlot {
  bool& (*of)(Settings&);
};

/// A whole number; with `unit_bytes` it also reads "512k" and "1m", which must make whole units.
struct CountSlot {
  uint32_t& (*of)(Settings&);
  uint32_t min;
  uint32_t max;
  uint32_t unit_bytes = 0;
};

/// Seconds, with a fraction.
struct SecondsSlot {
  Milliseconds& (*of)(Settings&);
  double min;
  double max;
};

/// A text; `off` and false make it empty where that is allowed. `normalize` returns the text to keep, or
/// nothing.
struct TextSlot {
  std::string& (*of)(Settings&);
  bool can_be_off;
  std::optional<std::string> (*normalize)(std::string_view);
  std::string_view expected;
};

struct TextListSlot {
  std::vector<std::string>& (*of)(Settings&);
  size_t count_max;
  std::optional<std::string> (*normalize)(std::string_view);
  std::string_view expected;
};

/// One of a few words.
struct ChoiceSlot {
  std::span<const std::string_view> words;
  size_t (*get)(const Settings&);
  void (*set)(Settings&, size_t);
};

/// A setting of a shape of its own.
struct OwnSlot {
  std::string_view expected;
  std::optional<Problem> (*read)(const base::Value&, Settings&);
  base::Value (*write)(const Settings&);
};

struct Setting {
  std::string_view name;  // "workers", or "section.name"
  std::variant<BoolSlot, CountSlot, SecondsSlot, TextSlot, TextListSlot, ChoiceSlot, OwnSlot> slot;
  std::string_view prose;
};

/// A section that may be written as one value: `admin: off` means `admin: {listen: off}`.
struct Shorthand {
  std::string_view section;
  std::string_view setting;
};

std::span<const Setting> settings_table();
std::span<const Shorthand> settings_shorthands();

}  // namespace moongate::config
