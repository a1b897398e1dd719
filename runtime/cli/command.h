// SPDX-License-Identifier: Apache-2.0
// The commands of `moongate`: each is a file of its own with a `Command` in it, and a line in the table in
// commands.cpp.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "cli/arguments.h"

namespace moongate::cli {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

struct Invocation {
  Arguments arguments;
  std::string version;
};

struct Command {
  std::string_view name;
  std::string_view words;  // other arguments, for the usage line: "METHOD URL"
  size_t words_max = 0;
  std::string_view summary;  // one line
  std::span<const OptionSpec> options;
  int (*run)(const Invocation& invocation);
};

/// In the order in which help lists them.
std::span<const Command* const> commands();

extern const Command kStartCommand;
extern const Command kCheckCommand;
extern const Command kReloadCommand;
extern const Command kStopCommand;
extern const Command kStatusCommand;
extern const Command kRollbackCommand;
extern const Command kDiffCommand;
extern const Command kApplyCommand;
extern const Command kHistoryCommand;
extern const Command kRoutesCommand;
extern const Command kExplainCommand;
extern const Command kPluginCommand;
extern const Command kConvertCommand;
extern const Command kEchoCommand;
extern const Command kVersionCommand;

/// `moongate ARGUMENTS`; the exit status.
int run(std::span<const std::string> arguments, std::string version);

// Parts that several commands share.
inline constexpr std::string_view kDirectoryDefault = "run";
inline constexpr OptionSpec kConfigOption{"--config", "-c", "FILE", true, true};
inline constexpr OptionSpec kAnyConfigOption{"--config", "-c", "FILE", true};
inline constexpr OptionSpec kDirectoryOption{"--directory", "-p", "DIR"};

/// Prints "moongate: TEXT" to stderr.
void print_error(std::string_view text);
/// What the instance answers when it says ok; else prints why not.
std::optional<base::Value> ask_or_explain(const Invocation& invocation, const base::Value& request);
/// The answer to `snapshots`, a line for each.
void print_snapshots(const base::Value& answer);
/// DIR, absolute.
std::string directory_of(const Arguments& arguments);

}  // namespace moongate::cli
