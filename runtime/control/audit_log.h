// SPDX-License-Identifier: Apache-2.0
// DIR/audit.log: who changed what through the Admin API, a line of JSON for each resource. Secrets are
// masked.
#pragma once

#include <string>

#include "control/admin_batch.h"
#include "snapshot/descriptor.h"

namespace moongate::control {

/// Appends lines.
///
/// Owner:   control. Opened anew when logs are, so that it can be rotated.
/// Fails:   with a line in the error log; the change that it is about has been made by then.
class AuditLog {
 public:
  explicit AuditLog(const std::string& directory) : path_(directory + "/audit.log") {}

  void open();
  void write(const AdminEffect& effect, uint64_t snapshot, uint64_t now_ms);

 private:
  std::string path_;
  snapshot::Descriptor file_;
};

}  // namespace moongate::control
