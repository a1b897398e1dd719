// SPDX-License-Identifier: Apache-2.0
// Walks the table of settings: to read the `moongate:` section, to write it, and to describe it.
#include "config/settings.h"

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "config/setting_values.h"
#include "config/settings_table.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

using Fault = std::optional<Problem>;

std::string number_text(double number) { return base::to_json(Value::number(number)); }

std::string expected_of(const BoolSlot&) { return "true or false"; }
std::string expected_of(const CountSlot& slot) {
  const std::string range = std::to_string(slot.min) + " to " + std::to_string(slot.max);
  if (slot.unit_bytes == 0) return "a whole number from " + range;
  const bool is_kilobytes = slot.unit_bytes == 1024;
  return std::string("a whole number of ") + (is_kilobytes ? "kilobytes" : "megabytes") + " from " + range +
         ", or a size such as " + (is_kilobytes ? "64k" : "64m");
}
std::string expected_of(const SecondsSlot& slot) {
  return "seconds from " + number_text(slot.min) + " to " + number_text(slot.max);
}
std::string expected_of(const TextSlot& slot) { return std::string(slot.expected); }
std::string expected_of(const TextListSlot& slot) {
  return "a list of at most " + std::to_string(slot.count_max) + ", each " + std::string(slot.expected);
}
std::string expected_of(const ChoiceSlot& slot) {
  std::string text;
  for (const std::string_view word : slot.words) text.append(text.empty() ? "one of " : ", ").append(word);
  return text;
}
std::string expected_of(const OwnSlot& slot) { return std::string(slot.expected); }

template <class Slot>
Fault not_expected(const Slot& slot, const Value& value) {
  return Problem{&value, "", "expected " + expected_of(slot) + ", got " + describe_value(value)};
}

Fault read(const BoolSlot& slot, const Value& value, Settings& settings) {
  if (!value.is_bool()) return not_expected(slot, value);
  slot.of(settings) = value.as_bool();
  return std::nullopt;
}

// The number that `value` means in the slot's unit, or less than zero.
double count_of(const CountSlot& slot, const Value& value) {
  if (value.is_number()) return value.as_number();
  if (slot.unit_bytes == 0 || !value.is_string()) return -1;
  const auto bytes = parse_size(value.as_string());
  return bytes ? static_cast<double>(*bytes) / slot.unit_bytes : -1;
}

Fault read(const CountSlot& slot, const Value& value, Settings& settings) {
  const double number = count_of(slot, value);
  if (number < slot.min || number > slot.max || std::trunc(number) != number)
    return not_expected(slot, value);
  slot.of(settings) = static_cast<uint32_t>(number);
  return std::nullopt;
}

Fault read(const SecondsSlot& slot, const Value& value, Settings& settings) {
  if (!value.is_number() || value.as_number() < slot.min || value.as_number() > slot.max)
    return not_expected(slot, value);
  slot.of(settings) = Milliseconds(std::llround(value.as_number() * 1000));
  return std::nullopt;
}

Fault read(const TextSlot& slot, const Value& value, Settings& settings) {
  if (slot.can_be_off && is_off(value)) {
    slot.of(settings).clear();
    return std::nullopt;
  }
  // A port is a number and an address nevertheless.
  const bool is_scalar =
      value.is_string() || (value.is_number() && slot.normalize == normalize_listen_address);
  auto text = is_scalar ? slot.normalize(base::scalar_text(value)) : std::nullopt;
  if (!text) return not_expected(slot, value);
  slot.of(settings) = std::move(*text);
  return std::nullopt;
}

Fault read(const TextListSlot& slot, const Value& value, Settings& settings) {
  if (!value.is_array() || value.items().size() > slot.count_max) return not_expected(slot, value);
  std::vector<std::string> texts;
  for (size_t i = 0; i < value.items().size(); ++i) {
    const Value& item = value.items()[i];
    auto text = item.is_string() ? slot.normalize(item.as_string()) : std::nullopt;
    if (!text) {
      return Problem{&item, "[" + std::to_string(i) + "]",
                     "expected " + std::string(slot.expected) + ", got " + describe_value(item)};
    }
    texts.push_back(std::move(*text));
  }
  slot.of(settings) = std::move(texts);
  return std::nullopt;
}

Fault read(const ChoiceSlot& slot, const Value& value, Settings& settings) {
  if (!value.is_string()) return not_expected(slot, value);
  const auto found = std::find(slot.words.begin(), slot.words.end(), value.as_string());
  if (found == slot.words.end())
    return Problem{&value, "", describe_unknown("word", value.as_string(), slot.words)};
  slot.set(settings, static_cast<size_t>(found - slot.words.begin()));
  return std::nullopt;
}

Fault read(const OwnSlot& slot, const Value& value, Settings& settings) { return slot.read(value, settings); }

// The slots give references; writing looks through a copy, so that it can take constants.
Value write(const BoolSlot& slot, Settings& settings) { return Value::boolean(slot.of(settings)); }
Value write(const CountSlot& slot, Settings& settings) { return Value::number(slot.of(settings)); }
Value write(const SecondsSlot& slot, Settings& settings) {
  return Value::number(static_cast<double>(slot.of(settings).count()) / 1000);
}
Value write(const TextSlot& slot, Settings& settings) {
  const std::string& text = slot.of(settings);
  if (!text.empty()) return Value::string(text);
  return slot.can_be_off ? Value::string("off") : Value::null();
}
Value write(const TextListSlot& slot, Settings& settings) {
  Value list = Value::array();
  for (const std::string& text : slot.of(settings)) list.items().push_back(Value::string(text));
  return list;
}
Value write(const ChoiceSlot& slot, Settings& settings) {
  return Value::string(std::string(slot.words[slot.get(settings)]));
}
Value write(const OwnSlot& slot, Settings& settings) { return slot.write(settings); }

const Setting* find_setting(std::string_view name) {
  const auto table = settings_table();
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Setting& s) { return s.name == name; });
  return found == table.end() ? nullptr : &*found;
}

// The names that may stand in `section` (empty: at the top), each once.
std::vector<std::string_view> names_in(std::string_view section) {
  std::vector<std::string_view> names;
  for (const Setting& setting : settings_table()) {
    std::string_view name = setting.name;
    if (!section.empty()) {
      if (!name.starts_with(section) || name.substr(section.size(), 1) != ".") continue;
      name.remove_prefix(section.size() + 1);
    }
    name = name.substr(0, name.find('.'));
    if (names.empty() || names.back() != name) names.push_back(name);
  }
  return names;
}

/// Reads one section of settings into `settings_`.
class SettingsReader {
 public:
  explicit SettingsReader(const Places& places) : places_(places) {}

  Result<Settings> read_all(const Value& root) {
    if (!root.is_object())
      return places_.error(root, "moongate", "expected a mapping of settings, got " + describe_value(root));
    for (const Value::Member& member : root.members()) {
      if (auto done = read_member(member); !done) return done.error();
    }
    return settings_;
  }

 private:
  Result<void> read_member(const Value::Member& member) {
    const auto& [name, value] = member;
    if (value.is_null()) return check_known("", name, value);
    if (const Setting* setting = find_setting(name)) return read_setting(*setting, value);
    if (auto known = check_known("", name, value); !known) return known;
    if (!value.is_object()) return read_shorthand(name, value);
    for (const Value::Member& inner : value.members()) {
      if (auto known = check_known(name, inner.first, inner.second); !known) return known;
      const Setting* setting = find_setting(name + "." + inner.first);
      if (setting == nullptr || inner.second.is_null()) continue;
      if (auto done = read_setting(*setting, inner.second); !done) return done;
    }
    return {};
  }

  Result<void> check_known(const std::string& section, const std::string& name, const Value& value) const {
    const auto names = names_in(section);
    if (std::find(names.begin(), names.end(), name) != names.end()) return {};
    return places_.error(value, section.empty() ? "moongate" : "moongate." + section,
                         describe_unknown("key", name, names));
  }

  Result<void> read_shorthand(const std::string& section, const Value& value) {
    for (const Shorthand& shorthand : settings_shorthands()) {
      if (shorthand.section == section) return read_setting(*find_setting(shorthand.setting), value);
    }
    return places_.error(value, "moongate." + section, "expected a mapping, got " + describe_value(value));
  }

  Result<void> read_setting(const Setting& setting, const Value& value) {
    const Fault fault =
        std::visit([&](const auto& slot) { return read(slot, value, settings_); }, setting.slot);
    if (!fault) return {};
    return places_.error(*fault->at, "moongate." + std::string(setting.name) + fault->part, fault->what);
  }

  const Places& places_;
  Settings settings_;
};

}  // namespace

Result<Settings> parse_settings(const Value& value, const Places& places) {
  if (value.is_null()) return Settings();
  return SettingsReader(places).read_all(value);
}

Value settings_to_value(const Settings& settings) {
  Settings copy = settings;
  Value root = Value::object();
  for (const Setting& setting : settings_table()) {
    Value value = std::visit([&](const auto& slot) { return write(slot, copy); }, setting.slot);
    const size_t dot = setting.name.find('.');
    const std::string section(setting.name.substr(0, dot));
    if (dot == std::string_view::npos) {
      root.set(section, std::move(value));
      continue;
    }
    Value* at = root.find(section);
    if (at == nullptr) at = &root.set(section, Value::object());
    at->set(std::string(setting.name.substr(dot + 1)), std::move(value));
  }
  return root;
}

std::string settings_to_json(const Settings& settings) {
  return base::to_json(settings_to_value(settings), true);
}

Result<Settings> settings_from_json(std::string_view text) {
  Result<Value> value = base::parse_json(text);
  if (!value) return value.error();
  return parse_settings(*value, Places());
}

std::string describe_settings() {
  Settings defaults;
  std::string text = "| setting | value | default | meaning |\n|---|---|---|---|\n";
  for (const Setting& setting : settings_table()) {
    const Value value = std::visit([&](const auto& slot) { return write(slot, defaults); }, setting.slot);
    const std::string expected = std::visit([](const auto& slot) { return expected_of(slot); }, setting.slot);
    const std::string shown = value.is_null()     ? "none"
                              : value.is_string() ? value.as_string()
                                                  : base::to_json(value);
    text.append("| `")
        .append(setting.name)
        .append("` | ")
        .append(expected)
        .append(" | `")
        .append(shown)
        .append("` | ");
    text.append(setting.prose).append(" |\n");
  }
  return text;
}

}  // namespace moongate::config
