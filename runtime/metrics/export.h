// SPDX-License-Identifier: Apache-2.0
// The metrics page: Prometheus' text format 0.0.4. Families come in the order of families.cpp and series by
// label text, so that two pages differ only where numbers do.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/registry.h"

namespace moongate::metrics {

inline constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

/// A value that is not counted but looked up when the page is made: connections by worker, nodes' health,
/// free memory.
struct Sample {
  Family family = Family::kNodeInfo;
  std::string labels;  // as Labels::text() gives it
  double value = 0;    // in the unit of the page
};

/// How a page is written.
struct ExportOptions {
  std::string_view prefix = "apisix_";  // of the names that are APISIX's
  uint64_t now_s = 0;                   // by the clock that series are dated with
  /// Series of these families that were not added to for so many seconds are left out.
  Expiry expire_s = {};
};

/// The page. `samples` are put among the registry's series; of two with the same labels the sample counts. A
/// family without any series is left out; samples of histograms are ignored.
std::string export_text(const Registry& registry, const std::vector<Sample>& samples,
                        const ExportOptions& options = {});

}  // namespace moongate::metrics
