// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.h"

#include <catch2/catch.hpp>

using namespace moongate::cli;
using Words = std::vector<std::string>;

namespace {

constexpr OptionSpec kOptions[] = {
    {"--config", "-c", "FILE", true, true}, {"--directory", "-p", "DIR"}, {"--daemon", "", ""}};

moongate::base::Result<Arguments> parse(const Words& words, size_t words_max = 0) {
  return parse_arguments(kOptions, words, words_max);
}

std::string fault(const Words& words) {
  const auto parsed = parse(words);
  REQUIRE_FALSE(parsed.ok());
  return parsed.error().detail;
}

}  // namespace

TEST_CASE("an option's value may stand beside it, behind it, or after an equals sign") {
  const auto parsed = parse({"-c", "a", "-cb", "--config", "c", "--config=d", "--daemon"}).take();
  REQUIRE(parsed.values("--config") == Words{"a", "b", "c", "d"});
  REQUIRE(parsed.value("--config") == "d");
  REQUIRE(parsed.has("--daemon"));
  REQUIRE_FALSE(parsed.has("--directory"));
  REQUIRE(parsed.value("--directory", "run") == "run");
}

TEST_CASE("words come after the options, between them, and after --") {
  const auto parsed = parse({"one", "-c", "a", "two", "--", "--daemon"}, 3).take();
  REQUIRE(parsed.words() == Words{"one", "two", "--daemon"});
  REQUIRE_FALSE(parsed.has("--daemon"));
  REQUIRE(parse({"-c", "a", "-"}, 1)->words() == Words{"-"});
}

TEST_CASE("an unknown option is answered with the one that may be meant") {
  REQUIRE(fault({"--deamon"}).find("did you mean `--daemon`?") != std::string::npos);
  REQUIRE(fault({"-c", "a", "-x"}).find("unknown option `-x`") != std::string::npos);
}

TEST_CASE("what is missing, repeated or too much is an error") {
  REQUIRE(fault({}) == "missing -c FILE");
  REQUIRE(fault({"-c"}) == "-c needs a value: FILE");
  REQUIRE(fault({"-c", "a", "-p", "x", "-p", "y"}) == "-p is given twice");
  REQUIRE(fault({"-c", "a", "--daemon=yes"}) == "--daemon takes no value");
  REQUIRE(fault({"-c", "a", "extra"}) == "unexpected `extra`");
}

TEST_CASE("the usage line names every option once") {
  REQUIRE(describe_options(kOptions) == "-c FILE [-c FILE ...] [-p DIR] [--daemon]");
}
