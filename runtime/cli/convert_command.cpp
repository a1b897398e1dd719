// SPDX-License-Identifier: Apache-2.0
// moongate convert: another gateway's configuration as ours, by the translator that also loads it directly.
#include <algorithm>
#include <cstdio>

#include "cli/command.h"
#include "config/kong.h"
#include "config/source.h"
#include "config/suggest.h"
#include "config/yaml_writer.h"

namespace moongate::cli {
namespace {

constexpr std::string_view kDialects[] = {"kong"};

/// A comment with everything that was found; the same goes to stderr, where a redirected output hides it not.
void print_findings(const std::string& path, const std::vector<config::KongFinding>& findings) {
  std::printf("# Made from %s, a declarative file of Kong's, by `moongate convert kong`.\n", path.c_str());
  if (findings.empty()) return;
  std::printf("# What does not map, or works differently:\n");
  for (const config::KongFinding& finding : findings) {
    const char* loss = finding.loss == config::KongLoss::kNote ? "note" : "lost";
    std::string text = finding.text;
    std::replace(text.begin(), text.end(), '\n', ' ');
    std::printf("#   %s: %s\n", loss, text.c_str());
    std::fprintf(stderr, "%s: %s\n", loss, text.c_str());
  }
}

int convert(const Invocation& invocation) {
  const std::vector<std::string>& words = invocation.arguments.words();
  if (words.size() != 2) {
    print_error("name a dialect and a file: moongate convert kong FILE");
    return kWrongUsage;
  }
  if (words[0] != kDialects[0]) {
    print_error(config::describe_unknown("dialect", words[0], kDialects));
    return kWrongUsage;
  }
  std::vector<config::KongFinding> findings;
  bool is_kong = false;
  config::SourceOptions options;
  options.on_kong_findings = [&](std::vector<config::KongFinding> found) {
    is_kong = true;
    findings = std::move(found);
  };
  const base::Result<config::Source> source = config::Source::load({words[1]}, options);
  if (!source) {
    std::fprintf(stderr, "%s\n", source.error().detail.c_str());
    return kFailed;
  }
  if (!is_kong) {
    std::fprintf(stderr, "%s:1: _format_version: missing; this is no declarative file of Kong's\n",
                 words[1].c_str());
    return kFailed;
  }
  print_findings(words[1], findings);
  std::printf("%s", config::write_yaml(source->root()).c_str());
  const bool is_lossless =
      std::all_of(findings.begin(), findings.end(),
                  [](const config::KongFinding& finding) { return finding.loss == config::KongLoss::kNote; });
  return is_lossless ? kDone : kFailed;
}

}  // namespace

const Command kConvertCommand{
    "convert", "kong FILE",
    2,         "Prints another gateway's configuration as ours; fails when something was lost.",
    {},        convert};

}  // namespace moongate::cli
