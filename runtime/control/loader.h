// SPDX-License-Identifier: Apache-2.0
// From files to a checked snapshot: reads the configuration, finds the plugins, asks the validator, writes
// the blob. What `moongate check`, `moongate start` and every reload do alike.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "config/document.h"
#include "control/known_good.h"
#include "control/validator.h"
#include "snapshot/blob.h"

namespace moongate::control {

struct LoadOptions {
  std::vector<std::string> config_paths;
  std::string lua_root;
  const ValidatorFactory* make_validator = nullptr;
  KnownGood* known = nullptr;  // from load to load; null: everything is checked
};

/// What a load gave. Either errors, or a blob.
struct Loaded {
  std::vector<std::string> errors;    // "file:line: field: what is wrong; what would be right"
  std::vector<std::string> warnings;  // the same form; nothing is refused for them
  std::string blob;                   // with number 0: see number_blob
  snapshot::Hash128 hash;
  config::Settings settings;
  std::array<size_t, config::kKindCount> counts{};
  size_t plugin_count = 0;
  // What to watch for changes; as far as it is known when there are errors.
  std::vector<std::string> files;
  std::vector<std::string> folders;
  // The trees it was read into. Freeing them takes its time: let go of this when nobody waits any more.
  std::shared_ptr<void> trees;

  bool ok() const { return errors.empty(); }
};

inline constexpr size_t kErrorsMax = 100;  // more are summed up

Loaded load_configuration(const LoadOptions& options);

/// The same content with a number, a time and a reason.
base::Result<std::string> number_blob(std::string_view blob, uint64_t number, const std::string& reason);

}  // namespace moongate::control
