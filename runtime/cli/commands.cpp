// SPDX-License-Identifier: Apache-2.0
// The table of commands, help, and what happens to a wrong word.
#include <cstdio>
#include <filesystem>

#include "cli/command.h"
#include "config/settings.h"
#include "config/suggest.h"
#include "tls/library.h"

namespace moongate::cli {
namespace {

constexpr const Command* kCommands[] = {
    &kStartCommand,    &kCheckCommand,   &kReloadCommand,  &kStopCommand,  &kStatusCommand,
    &kRollbackCommand, &kHistoryCommand, &kDiffCommand,    &kApplyCommand, &kRoutesCommand,
    &kExplainCommand,  &kPluginCommand,  &kConvertCommand, &kEchoCommand,  &kVersionCommand};

int print_version(const Invocation& invocation) {
  std::printf("moongate %s\ntls: %s\n", invocation.version.c_str(), tls::describe_library().c_str());
  return kDone;
}

std::string usage_of(const Command& command) {
  std::string text = "moongate " + std::string(command.name);
  if (const std::string options = describe_options(command.options); !options.empty()) text += " " + options;
  if (!command.words.empty()) text += " " + std::string(command.words);
  return text;
}

const Command* find_command(std::string_view name) {
  for (const Command* command : kCommands) {
    if (command->name == name) return command;
  }
  return nullptr;
}

void print_help(std::FILE* out) {
  std::fprintf(out, "A scriptable API gateway.\n\n");
  for (const Command* command : kCommands)
    std::fprintf(out, "  %s\n      %s\n", usage_of(*command).c_str(), std::string(command->summary).c_str());
  std::fprintf(out,
               "  moongate help [COMMAND | settings]\n      Explains a command, or lists every "
               "setting.\n\nExit status: 0 done, 1 failed, 2 wrong usage.\n");
}

int wrong_command(std::string_view name) {
  std::vector<std::string_view> known;
  for (const Command* command : kCommands) known.push_back(command->name);
  known.push_back("help");
  print_error(config::describe_unknown("command", name, known));
  return kWrongUsage;
}

int help(std::span<const std::string> words) {
  if (words.empty()) {
    print_help(stdout);
    return kDone;
  }
  if (words.front() == "settings") {
    std::fputs(config::describe_settings().c_str(), stdout);
    return kDone;
  }
  const Command* command = find_command(words.front());
  if (command == nullptr) return wrong_command(words.front());
  std::printf("%s\n    %s\n", usage_of(*command).c_str(), std::string(command->summary).c_str());
  return kDone;
}

}  // namespace

const Command kVersionCommand{"version", "", 0, "Prints the version.", {}, print_version};

std::span<const Command* const> commands() { return kCommands; }

void print_error(std::string_view text) {
  std::fprintf(stderr, "moongate: %.*s\n", static_cast<int>(text.size()), text.data());
}

std::string directory_of(const Arguments& arguments) {
  std::error_code error;
  const std::string given = arguments.value("--directory", std::string(kDirectoryDefault));
  std::string path = std::filesystem::absolute(given, error).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

int run(std::span<const std::string> arguments, std::string version) {
  if (arguments.empty()) {
    print_help(stderr);
    return kWrongUsage;
  }
  const std::string& name = arguments.front();
  if (name == "help" || name == "--help" || name == "-h") return help(arguments.subspan(1));
  const Command* command = find_command(name == "--version" ? "version" : name);
  if (command == nullptr) return wrong_command(name);
  for (const std::string& argument : arguments.subspan(1)) {
    if (argument == "--") break;
    if (argument == "--help" || argument == "-h") return help(arguments.first(1));
  }
  base::Result<Arguments> parsed =
      parse_arguments(command->options, arguments.subspan(1), command->words_max);
  if (!parsed) {
    print_error(parsed.error().detail + "\nusage: " + usage_of(*command));
    return kWrongUsage;
  }
  return command->run({parsed.take(), std::move(version)});
}

}  // namespace moongate::cli
