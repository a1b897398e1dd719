// SPDX-License-Identifier: Apache-2.0
#include "config/health_checks.h"

#include <algorithm>
#include <array>
#include <functional>
#include <span>

#include "base/ascii.h"
#include "base/json.h"
#include "config/setting_values.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr int64_t kCountMax = 255;
constexpr std::chrono::milliseconds kIntervalMin(100);
constexpr std::chrono::hours kIntervalMax(24);
constexpr int64_t kConcurrencyMax = 256;
constexpr std::array<std::string_view, 3> kTypes{"http", "https", "tcp"};
constexpr uint16_t kActiveHealthy[] = {200, 302};
constexpr uint16_t kActiveUnhealthy[] = {429, 404, 500, 501, 502, 503, 504, 505};
constexpr uint16_t kPassiveHealthy[] = {200, 201, 202, 203, 204, 205, 206, 207, 208, 226,
                                        300, 301, 302, 303, 304, 305, 306, 307, 308};
constexpr uint16_t kPassiveUnhealthy[] = {429, 500, 503};

bool is_visible(char c) { return c > ' ' && c < 0x7f; }
bool is_line_text(char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; }

/// One half of a check, `healthy` or `unhealthy`; an absent one is empty.
FieldReader read_half(FieldReader& check, std::string_view name) {
  static const Value kNone = Value::object();
  const Value* written = check.find_object(name);
  return {written != nullptr ? *written : kNone, check.path(name)};
}

void read_statuses(FieldReader& half, std::span<const uint16_t> usual, CheckRules::Statuses* statuses) {
  const Value* list = half.find_list("http_statuses");
  if (list == nullptr) {
    for (const uint16_t status : usual) statuses->set(status);
    return;
  }
  for (const Value& item : list->items()) {
    const double status = item.is_number() ? item.as_number() : 0;
    if (status != static_cast<int>(status) || status < 200 || status > 599)
      return half.fail("http_statuses", "expected status codes from 200 to 599, got " + describe_value(item));
    statuses->set(static_cast<size_t>(status));
  }
}

void read_count(FieldReader& half, std::string_view key, uint8_t usual, uint8_t* count) {
  int64_t read = usual;
  half.read_whole(key, 0, kCountMax, &read);
  *count = static_cast<uint8_t>(read);
}

/// What holds where nothing is written.
struct UsualRules {
  std::span<const uint16_t> healthy;
  std::span<const uint16_t> unhealthy;
  uint8_t successes, http_failures, tcp_failures, timeouts;
};
constexpr UsualRules kUsualActive{kActiveHealthy, kActiveUnhealthy, 2, 5, 2, 3};
constexpr UsualRules kUsualPassive{kPassiveHealthy, kPassiveUnhealthy, 5, 5, 2, 7};

void read_rules(FieldReader& healthy, FieldReader& unhealthy, const UsualRules& usual, CheckRules* rules) {
  read_statuses(healthy, usual.healthy, &rules->healthy);
  read_count(healthy, "successes", usual.successes, &rules->successes);
  read_statuses(unhealthy, usual.unhealthy, &rules->unhealthy);
  read_count(unhealthy, "http_failures", usual.http_failures, &rules->http_failures);
  read_count(unhealthy, "tcp_failures", usual.tcp_failures, &rules->tcp_failures);
  read_count(unhealthy, "timeouts", usual.timeouts, &rules->timeouts);
}

/// 0 when `enabled` is false.
void read_interval(FieldReader& half, std::chrono::milliseconds* interval) {
  std::chrono::milliseconds read(1'000);
  bool is_enabled = true;
  half.read_seconds("interval", &read);
  half.read("enabled", &is_enabled);
  if (read < kIntervalMin || read > kIntervalMax)
    return half.fail("interval", "expected a number of seconds from 0.1 to 86400");
  *interval = is_enabled ? read : std::chrono::milliseconds(0);
}

void read_type(FieldReader& check, ActiveCheck::Type* type) {
  std::string word;
  check.read("type", &word);
  if (word.empty()) return;
  const auto found = std::find(kTypes.begin(), kTypes.end(), word);
  if (found == kTypes.end()) return check.fail("type", describe_unknown("type", word, kTypes));
  *type = static_cast<ActiveCheck::Type>(found - kTypes.begin());
}

/// What goes into a request must not be able to end its line.
void check_request_texts(FieldReader& check, const ActiveCheck& active) {
  if (!active.path.starts_with('/') || !std::all_of(active.path.begin(), active.path.end(), is_visible))
    check.fail("http_path", "expected a path that begins with / and has no spaces");
  if (active.method.empty() ||
      !std::all_of(active.method.begin(), active.method.end(), base::is_alphanumeric))
    check.fail("http_method", "expected a method such as GET");
  if (!std::all_of(active.host.begin(), active.host.end(), is_visible))
    check.fail("host", "expected a host name or an address");
  if (!std::all_of(active.server_name.begin(), active.server_name.end(), is_visible))
    check.fail("https_sni", "expected a host name");
  for (const std::string& field : active.fields) {
    const size_t colon = field.find(':');
    const bool has_name =
        colon != field.npos && colon > 0 &&
        std::all_of(field.begin(), field.begin() + static_cast<ptrdiff_t>(colon), is_visible);
    if (!has_name || !std::all_of(field.begin(), field.end(), is_line_text))
      return check.fail("req_headers", "expected texts of the form \"Name: value\"");
  }
}

void read_request(FieldReader& check, ActiveCheck* active) {
  int64_t port = 0;
  int64_t concurrency = active->concurrency;
  check.read_seconds("timeout", &active->timeout);
  if (active->timeout.count() == 0) active->timeout = std::chrono::seconds(1);
  check.read_whole("concurrency", 0, 1'000'000'000, &concurrency);
  active->concurrency = static_cast<uint32_t>(std::clamp<int64_t>(concurrency, 1, kConcurrencyMax));
  check.read("host", &active->host);
  check.read_whole("port", 1, 65535, &port);
  active->port = static_cast<uint16_t>(port);
  check.read("http_method", &active->method);
  check.read("http_path", &active->path);
  check.read("http_req_body", &active->body);
  check.read("req_headers", &active->fields);
  check.read("https_verify_certificate", &active->verifies_certificate);
  check.read("https_sni", &active->server_name);
  check_request_texts(check, *active);
}

void read_active(FieldReader& checks, std::optional<ActiveCheck>* active) {
  const Value* written = checks.find_object("active");
  if (written == nullptr) return;
  FieldReader check(*written, checks.path("active"));
  ActiveCheck read;
  bool is_enabled = true;
  check.read("enabled", &is_enabled);
  read_type(check, &read.type);
  read_request(check, &read);
  FieldReader healthy = read_half(check, "healthy");
  FieldReader unhealthy = read_half(check, "unhealthy");
  read_rules(healthy, unhealthy, kUsualActive, &read.rules);
  read_interval(healthy, &read.interval_healthy);
  read_interval(unhealthy, &read.interval_unhealthy);
  for (const FieldReader* part : {&check, &healthy, &unhealthy}) {
    if (!part->ok()) return checks.fail_with(part->error());
  }
  const bool asks = read.interval_healthy.count() > 0 || read.interval_unhealthy.count() > 0;
  if (is_enabled && asks) *active = std::move(read);
}

void read_passive(FieldReader& checks, std::optional<CheckRules>* passive) {
  const Value* written = checks.find_object("passive");
  if (written == nullptr) return;
  FieldReader check(*written, checks.path("passive"));
  CheckRules read;
  ActiveCheck::Type type = ActiveCheck::Type::kHttp;
  read_type(check, &type);
  read.is_by_status = type != ActiveCheck::Type::kTcp;
  FieldReader healthy = read_half(check, "healthy");
  FieldReader unhealthy = read_half(check, "unhealthy");
  read_rules(healthy, unhealthy, kUsualPassive, &read);
  for (const FieldReader* part : {&check, &healthy, &unhealthy}) {
    if (!part->ok()) return checks.fail_with(part->error());
  }
  *passive = read;
}

}  // namespace

void read_health_checks(FieldReader& upstream, std::optional<HealthChecks>* checks) {
  const Value* written = upstream.find_object("checks");
  if (written == nullptr) return;
  FieldReader reader(*written, upstream.path("checks"));
  HealthChecks read;
  read_active(reader, &read.active);
  read_passive(reader, &read.passive);
  if (!reader.ok()) return upstream.fail_with(reader.error());
  if (!read.active && !read.passive) return;
  read.print = std::hash<std::string>()(base::to_json(*written));
  *checks = std::move(read);
}

}  // namespace moongate::config
