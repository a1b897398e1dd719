// SPDX-License-Identifier: Apache-2.0
#include "metrics/export.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace moongate::metrics {

namespace {

/// A series or a sample, by label text.
struct Line {
  std::string_view labels;
  const Registry::Series* series;  // null: a sample
  double value;
};

void append_number(std::string& out, double number) {
  if (std::isnan(number)) {
    out += "NaN";
    return;
  }
  if (std::isinf(number)) {
    out += number > 0 ? "+Inf" : "-Inf";
    return;
  }
  char text[400];  // the longest double, written out
  const bool is_whole = std::floor(number) == number && std::fabs(number) < 9e15;
  const auto end = is_whole ? std::to_chars(text, text + sizeof text, static_cast<int64_t>(number))
                            : std::to_chars(text, text + sizeof text, number, std::chars_format::fixed);
  out.append(text, end.ptr);
}

/// One family as it is written.
struct Heading {
  const FamilySpec& spec;
  std::string name;
  std::span<const uint64_t> bounds;
};

/// A family's name, where it is one of APISIX's under the prefix that was asked for.
std::string name_of(const FamilySpec& spec, std::string_view prefix) {
  constexpr std::string_view kPrefix = "apisix_";
  if (!spec.name.starts_with(kPrefix)) return std::string(spec.name);
  return std::string(prefix) + std::string(spec.name.substr(kPrefix.size()));
}

void append_name(std::string& out, std::string_view name, std::string_view suffix, std::string_view labels) {
  out += name;
  out += suffix;
  if (labels.empty()) {
    out += ' ';
    return;
  }
  out += '{';
  out += labels;
  out += "} ";
}

void append_value(std::string& out, const FamilySpec& spec, uint64_t raw) {
  if (spec.divisor == 1 && spec.type != Type::kGauge) {
    out += std::to_string(raw);
  } else if (spec.type == Type::kGauge) {
    append_number(out, static_cast<double>(static_cast<int64_t>(raw)) / spec.divisor);
  } else {
    append_number(out, static_cast<double>(raw) / spec.divisor);
  }
  out += '\n';
}

/// The counts are read once, so that the last bucket and the count agree even while workers add.
void append_histogram(std::string& out, const Heading& heading, const Registry::Series& series) {
  const auto& [spec, name, bounds] = heading;
  uint64_t cumulative = 0;
  std::string labels;
  for (size_t i = 0; i <= bounds.size(); ++i) {
    cumulative += series.values[i].load(std::memory_order_relaxed);
    labels = series.labels;
    labels += labels.empty() ? "le=\"" : ",le=\"";
    if (i < bounds.size()) {
      append_number(labels, static_cast<double>(bounds[i]) / spec.divisor);
    } else {
      labels += "+Inf";
    }
    labels += '"';
    append_name(out, name, "_bucket", labels);
    out += std::to_string(cumulative);
    out += '\n';
  }
  append_name(out, name, "_sum", series.labels);
  const uint64_t sum = series.values[bounds.size() + 1].load(std::memory_order_relaxed);
  append_number(out, static_cast<double>(sum) / spec.divisor);
  out += '\n';
  append_name(out, name, "_count", series.labels);
  out += std::to_string(cumulative);
  out += '\n';
}

std::string_view type_name(Type type) {
  switch (type) {
    case Type::kCounter:
      return "counter";
    case Type::kGauge:
      return "gauge";
    case Type::kHistogram:
      break;
  }
  return "histogram";
}

void append_head(std::string& out, const Heading& heading) {
  out += "# HELP ";
  out += heading.name;
  out += ' ';
  out += heading.spec.help;
  out += "\n# TYPE ";
  out += heading.name;
  out += ' ';
  out += type_name(heading.spec.type);
  out += '\n';
}

void append_family(std::string& out, const Heading& heading, std::vector<Line>& lines) {
  if (lines.empty()) return;
  const FamilySpec& spec = heading.spec;
  append_head(out, heading);
  // Samples sort before series of the same labels, and the first counts.
  std::sort(lines.begin(), lines.end(), [](const Line& left, const Line& right) {
    if (left.labels != right.labels) return left.labels < right.labels;
    return left.series == nullptr && right.series != nullptr;
  });
  for (size_t i = 0; i < lines.size(); ++i) {
    const Line& line = lines[i];
    if (i > 0 && lines[i - 1].labels == line.labels) continue;
    if (spec.type == Type::kHistogram) {
      append_histogram(out, heading, *line.series);
      continue;
    }
    append_name(out, heading.name, "", line.labels);
    if (line.series != nullptr) {
      append_value(out, spec, line.series->values[0].load(std::memory_order_relaxed));
    } else {
      append_number(out, line.value);
      out += '\n';
    }
  }
}

bool is_expired(const Registry::Series& series, const ExportOptions& options) {
  if (series.date_s == 0) return false;
  return std::any_of(options.expire_s.begin(), options.expire_s.end(), [&](const auto& rule) {
    return rule.first == series.family && rule.second > 0 && series.date_s + rule.second < options.now_s;
  });
}

}  // namespace

std::string export_text(const Registry& registry, const std::vector<Sample>& samples,
                        const ExportOptions& options) {
  const std::vector<Registry::Series> all = registry.list();
  std::vector<std::vector<Line>> by_family(kFamilyCount);
  for (const Registry::Series& series : all) {
    if (is_expired(series, options)) continue;
    by_family[static_cast<size_t>(series.family)].push_back(Line{series.labels, &series, 0});
  }
  for (const Sample& sample : samples) {
    if (family_spec(sample.family).type == Type::kHistogram) continue;
    by_family[static_cast<size_t>(sample.family)].push_back(Line{sample.labels, nullptr, sample.value});
  }
  const auto count = static_cast<double>(registry.series_count());
  by_family[static_cast<size_t>(Family::kMetricSeries)].push_back(Line{{}, nullptr, count});
  std::string out;
  out.reserve(all.size() * 160 + 8192);
  for (size_t i = 0; i < kFamilyCount; ++i) {
    const auto family = static_cast<Family>(i);
    const FamilySpec& spec = family_spec(family);
    append_family(out, {spec, name_of(spec, options.prefix), registry.bounds_of(family)}, by_family[i]);
  }
  return out;
}

}  // namespace moongate::metrics
