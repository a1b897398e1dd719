// SPDX-License-Identifier: Apache-2.0
// Limits for Lua: the functions that lua/lib/moongate/native.lua declares under "limits".
#include <cstddef>
#include <string_view>

#include "base/clock.h"
#include "limit/tables.h"
#include "script/api_shared.h"

namespace moongate::script {

namespace {

const limit::Tables* bound_tables = nullptr;

/// The layout of `mg_verdict`.
struct Answer {
  int is_admitted;
  double remaining;
  double reset_s;
  double retry_after_s;
};

int answer(limit::Outcome outcome, const limit::Verdict& verdict, Answer* out) {
  *out = Answer{verdict.is_admitted ? 1 : 0, verdict.remaining, verdict.reset_s, verdict.retry_after_s};
  return outcome == limit::Outcome::kDecided ? 0 : 1;
}

}  // namespace

void bind_limit_tables(const limit::Tables* tables) { bound_tables = tables; }

extern "C" {

__attribute__((visibility("default"), used)) int mg_limit_take_token(const char* key, size_t key_size, double rate,
                                                                     double burst, double cost, Answer* out) {
  limit::Verdict verdict;
  limit::Outcome outcome = limit::Outcome::kTableFull;
  if (bound_tables != nullptr) {
    outcome = bound_tables->rate.take({key, key_size}, limit::Rate{rate, burst}, cost, base::Clock::steady(), verdict);
  }
  return answer(outcome, verdict, out);
}

__attribute__((visibility("default"), used)) int mg_limit_take_window(const char* key, size_t key_size, double count,
                                                                      double window_s, double cost, Answer* out) {
  limit::Verdict verdict;
  limit::Outcome outcome = limit::Outcome::kTableFull;
  if (bound_tables != nullptr) {
    outcome = bound_tables->window.take({key, key_size}, limit::Window{count, window_s}, cost, base::Clock::steady(),
                                        verdict);
  }
  return answer(outcome, verdict, out);
}

}  // extern "C"

}  // namespace moongate::script
