// SPDX-License-Identifier: Apache-2.0
// Answers questions about schemas, with every plugin loaded that there is: those the gateway comes with and
// those the snapshot uses.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/validator.h"
#include "snapshot/blob.h"

namespace moongate::control {

class SchemaCatalog {
 public:
  SchemaCatalog(std::string lua_root, const ValidatorFactory& make_validator)
      : lua_root_(std::move(lua_root)), make_validator_(make_validator) {}

  /// An HTTP status and a body; plugins are as `served` has them.
  base::Result<std::pair<int, std::string>> ask(const snapshot::BlobView& served,
                                                const std::vector<std::string>& question);
  /// Gives back the memory; the next question loads all again.
  void forget() { validator_.reset(); }

 private:
  base::Result<void> load(const snapshot::BlobView& served);

  std::string lua_root_;
  const ValidatorFactory& make_validator_;
  std::unique_ptr<Validator> validator_;
  uint64_t loaded_ = 0;  // number of the snapshot
};

}  // namespace moongate::control
