// SPDX-License-Identifier: Apache-2.0
// Limits for Lua: the functions that lua/lib/moongate/native.lua declares under "limits".
#include <cstddef>
#include <string_view>

#include "base/clock.h"
#include "limit/tables.h"
#include "metrics/labels.h"
#include "metrics/registry.h"
#include "script/api_shared.h"

namespace moongate::script {

namespace {

const limit::Tables* bound_tables = nullptr;

/// What became of a decision; one counter for each and each table.
enum Result : int { kAdmitted, kRefused, kNoRoom, kResultCount };
metrics::Counter* token_counters[kResultCount] = {};
metrics::Counter* window_counters[kResultCount] = {};
metrics::Counter* redis_counters[kResultCount] = {};

void bind_counters(const metrics::Registry& registry, std::string_view limiter, std::string_view failure,
                   metrics::Counter** counters) {
  const std::string_view names[kResultCount] = {"admitted", "refused", failure};
  for (int i = 0; i < kResultCount; i++) {
    counters[i] = registry.counter(metrics::Family::kLimiterDecisions,
                                   metrics::Labels().add("limiter", limiter).add("result", names[i]).text());
  }
}

/// The layout of `mg_verdict`.
struct Answer {
  int is_admitted;
  double remaining;
  double reset_s;
  double retry_after_s;
};

int answer(limit::Outcome outcome, const limit::Verdict& verdict, metrics::Counter* const* counters,
           Answer* out) {
  const Result result = outcome != limit::Outcome::kDecided ? kNoRoom
                        : verdict.is_admitted               ? kAdmitted
                                                            : kRefused;
  if (counters[result] != nullptr) counters[result]->add();
  *out = Answer{verdict.is_admitted ? 1 : 0, verdict.remaining, verdict.reset_s, verdict.retry_after_s};
  return outcome == limit::Outcome::kDecided ? 0 : 1;
}

}  // namespace

void bind_limit_tables(const limit::Tables* tables) { bound_tables = tables; }

void bind_limit_metrics(const metrics::Registry& registry) {
  bind_counters(registry, "token_bucket", "table_full", token_counters);
  bind_counters(registry, "window", "table_full", window_counters);
  bind_counters(registry, "redis", "unavailable", redis_counters);
}

extern "C" {

__attribute__((visibility("default"), used)) int mg_limit_take_token(const char* key, size_t key_size,
                                                                     double rate, double burst, double cost,
                                                                     Answer* out) {
  limit::Verdict verdict;
  limit::Outcome outcome = limit::Outcome::kTableFull;
  if (bound_tables != nullptr) {
    outcome = bound_tables->rate.take({key, key_size}, limit::Rate{rate, burst}, cost, base::Clock::steady(),
                                      verdict);
  }
  return answer(outcome, verdict, token_counters, out);
}

__attribute__((visibility("default"), used)) int mg_limit_take_window(const char* key, size_t key_size,
                                                                      double count, double window_s,
                                                                      double cost, Answer* out) {
  limit::Verdict verdict;
  limit::Outcome outcome = limit::Outcome::kTableFull;
  if (bound_tables != nullptr) {
    outcome = bound_tables->window.take({key, key_size}, limit::Window{count, window_s}, cost,
                                        base::Clock::steady(), verdict);
  }
  return answer(outcome, verdict, window_counters, out);
}

// The decision itself was made elsewhere: 0 admitted, 1 refused, 2 none could be had.
__attribute__((visibility("default"), used)) void mg_limit_count_redis(int result) {
  if (result >= kAdmitted && result < kResultCount && redis_counters[result] != nullptr)
    redis_counters[result]->add();
}

}  // extern "C"

}  // namespace moongate::script
