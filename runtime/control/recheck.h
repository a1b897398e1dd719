// SPDX-License-Identifier: Apache-2.0
// Where the second looks at what is in quarantine stand. Apart from control.h because it is a small machine
// of its own; sync_jobs.cpp drives it.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "control/resource_store.h"

namespace moongate::control {

/// How far what is in quarantine has been judged again since something else has changed: a few at a time, and
/// on from there whatever changes meanwhile, so that the last have their turn like the first.
struct Recheck {
  static constexpr size_t kCountMax = 32;
  size_t passes = 1;         // over all of them, the one that is under way among them
  ResourceKey from = {};     // where the next job goes on
  size_t count = kCountMax;  // in one job; fewer where a worker has refused some
  /// Also what a worker has refused: the code, or what it depends on, may be another.
  bool is_of_refused = false;
  /// What workers have refused since then, and why.
  std::map<ResourceKey, std::string> refused = {};
  size_t refusals = 0;  // one after the other, with nothing served between them
  // As it was before the job under way, should a worker refuse what that makes:
  size_t job_passes = 0;
  ResourceKey job_from = {};
  size_t job_count = 0;
  bool is_job_of_refused = false;
  std::optional<ResourceKey> job_next = {};

  bool is_due() const { return passes > 0; }
  /// What is behind `from` needs one more look, and what is before it.
  void begin() { passes = from == ResourceKey() ? 1 : 2; }
  /// The code is another now, or what it depends on.
  void begin_of_refused() {
    is_of_refused = true;
    refused.clear();
  }
  void begin_job() {
    job_passes = passes;
    job_from = from;
    job_count = 0;
    is_job_of_refused = is_of_refused;
    job_next.reset();
  }
  void go_on(const std::optional<ResourceKey>& next) {
    if (!next && passes > 0) passes--;
    if (passes == 0) end();
    from = next.value_or(ResourceKey());
  }
  /// What workers have refused is remembered: the job under way may yet be refused as well.
  void end() {
    passes = 0;
    is_of_refused = false;
  }
  /// The job has come to its end.
  void end_job() {
    refusals = 0;
    if (!is_due()) refused.clear();
  }
};

}  // namespace moongate::control
