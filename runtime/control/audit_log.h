// SPDX-License-Identifier: Apache-2.0
// DIR/audit.log: who changed what through the Admin API or went back to which snapshot, a line of JSON for
// each resource. Secrets are masked.
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
  /// Everything that differs, settings and files included; one line without a resource when nothing does.
  void write_rollback(const AdminCaller& caller, const snapshot::BlobView& from, const snapshot::BlobView& to,
                      uint64_t now_ms);

 private:
  void append(const std::string& lines);

  std::string path_;
  snapshot::Descriptor file_;
};

}  // namespace moongate::control
