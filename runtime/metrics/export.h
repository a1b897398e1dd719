// SPDX-License-Identifier: Apache-2.0
// The metrics page: Prometheus' text format 0.0.4. Families come in the order of families.cpp and series by
// label text, so that two pages differ only where numbers do.
#pragma once

#include <string>
#include <string_view>
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

/// The page. `samples` are put among the registry's series; of two with the same labels the sample counts. A
/// family without any series is left out; samples of histograms are ignored.
std::string export_text(const Registry& registry, const std::vector<Sample>& samples);

}  // namespace moongate::metrics
