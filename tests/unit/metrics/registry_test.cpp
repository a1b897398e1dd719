// SPDX-License-Identifier: Apache-2.0
#include "metrics/registry.h"

#include <catch2/catch.hpp>

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "metrics/export.h"
#include "metrics/labels.h"

using namespace moongate;
using namespace moongate::metrics;

namespace {

struct Fixture {
  explicit Fixture(uint32_t series_max = 1000)
      : segment(shm::Segment::make(Registry::size_bytes(series_max) + 8192).take()),
        registry(Registry::make(segment, series_max).take()) {}
  std::string page(const std::vector<Sample>& samples = {}) const { return export_text(registry, samples); }
  bool has_line(const std::string& line, const std::vector<Sample>& samples = {}) const {
    return ("\n" + page(samples)).find("\n" + line + "\n") != std::string::npos;
  }
  shm::Segment segment;
  Registry registry;
};

std::string route(int number) { return "route=\"" + std::to_string(number) + "\""; }

}  // namespace

TEST_CASE("the same labels give the same counter, others another") {
  Fixture f;
  Counter* first = f.registry.counter(Family::kRequests, route(1));
  REQUIRE(f.registry.counter(Family::kRequests, route(1)) == first);
  REQUIRE(f.registry.counter(Family::kRequests, route(2)) != first);
  REQUIRE(f.registry.counter(Family::kUpstreamRetries, route(1)) != first);
  first->add();
  first->add(4);
  REQUIRE(f.has_line("moongate_requests_total{route=\"1\"} 5"));
}

TEST_CASE("gauges, divisors and samples appear on the page") {
  Fixture f;
  f.registry.gauge(Family::kSnapshotNumber)->set(12);
  f.registry.gauge(Family::kBreakerState, "node=\"a\"")->add(-3);
  f.registry.counter(Family::kPluginSeconds, "plugin=\"p\"")->add(1500000000);
  const std::vector<Sample> samples = {{Family::kUpstreamStatus, "name=\"u\"", 1},
                                       {Family::kSnapshotNumber, "", 13},
                                       {Family::kSharedDictFreeSpace, "name=\"d\"", 1.5e9}};
  REQUIRE(f.has_line("moongate_snapshot_number 12"));
  REQUIRE(f.has_line("moongate_snapshot_number 13", samples));
  REQUIRE_FALSE(f.has_line("moongate_snapshot_number 12", samples));
  REQUIRE(f.has_line("moongate_breaker_state{node=\"a\"} -3"));
  REQUIRE(f.has_line("moongate_plugin_seconds_total{plugin=\"p\"} 1.5"));
  REQUIRE(f.has_line("apisix_upstream_status{name=\"u\"} 1", samples));
  REQUIRE(f.has_line("apisix_shared_dict_free_space_bytes{name=\"d\"} 1500000000", samples));
}

TEST_CASE("a histogram counts each value in its bucket and shows cumulative counts") {
  Fixture f;
  const Histogram latency = f.registry.histogram(Family::kHttpLatency, "type=\"request\"");
  latency.observe(500);
  latency.observe(1000);
  latency.observe(1001);
  latency.observe(90000000);
  REQUIRE(f.has_line("apisix_http_latency_bucket{type=\"request\",le=\"1\"} 2"));
  REQUIRE(f.has_line("apisix_http_latency_bucket{type=\"request\",le=\"2\"} 3"));
  REQUIRE(f.has_line("apisix_http_latency_bucket{type=\"request\",le=\"60000\"} 3"));
  REQUIRE(f.has_line("apisix_http_latency_bucket{type=\"request\",le=\"+Inf\"} 4"));
  REQUIRE(f.has_line("apisix_http_latency_sum{type=\"request\"} 90002.501"));
  REQUIRE(f.has_line("apisix_http_latency_count{type=\"request\"} 4"));
  f.registry.histogram(Family::kRequestDuration).observe(300);
  REQUIRE(f.has_line("moongate_request_duration_seconds_bucket{le=\"0.0005\"} 1"));
}

TEST_CASE("the buckets of latencies are those that the store was made with") {
  const uint64_t bounds[] = {5, 250000};
  shm::Segment segment = shm::Segment::make(Registry::size_bytes(1000) + 8192).take();
  const Registry registry = Registry::make(segment, 1000, bounds).take();
  const Histogram latency = registry.histogram(Family::kHttpLatency, "type=\"request\"");
  for (const uint64_t value : {5, 6, 300000}) latency.observe(value);
  registry.histogram(Family::kRequestDuration).observe(300);
  const std::string page = export_text(registry, {});
  REQUIRE(page.find("apisix_http_latency_bucket{type=\"request\",le=\"0.005\"} 1\n"
                    "apisix_http_latency_bucket{type=\"request\",le=\"250\"} 2\n"
                    "apisix_http_latency_bucket{type=\"request\",le=\"+Inf\"} 3\n"
                    "apisix_http_latency_sum{type=\"request\"} 300.011\n") != std::string::npos);
  REQUIRE(page.find("moongate_request_duration_seconds_bucket{le=\"0.0005\"} 1") != std::string::npos);
}

TEST_CASE("names of APISIX's can have another prefix, or none") {
  Fixture f;
  f.registry.counter(Family::kBandwidth)->add(7);
  const std::string page = export_text(f.registry, {}, {.prefix = "shop_"});
  REQUIRE(page.find("# TYPE shop_bandwidth counter\nshop_bandwidth 7\n") != std::string::npos);
  REQUIRE(page.find("\nmoongate_metric_series ") != std::string::npos);
  REQUIRE(export_text(f.registry, {}, {.prefix = ""}).find("\nbandwidth 7\n") != std::string::npos);
}

TEST_CASE("a series that was not added to for long leaves the page, and comes back with its count") {
  Fixture f;
  Counter* bytes = f.registry.counter(Family::kBandwidth, "type=\"ingress\"");
  const Histogram latency = f.registry.histogram(Family::kHttpLatency, "type=\"request\"");
  bytes->add(3);
  latency.observe(uint64_t{1});
  Registry::date(bytes, 100);
  Registry::date(latency, 200);
  const auto has = [&](uint64_t now_s, std::string_view name) {
    const ExportOptions options{.now_s = now_s,
                                .expire_s = {{Family::kBandwidth, 60}, {Family::kHttpLatency, 0}}};
    return export_text(f.registry, {}, options).find(name) != std::string::npos;
  };
  REQUIRE(has(160, "apisix_bandwidth{type=\"ingress\"} 3\n"));
  REQUIRE_FALSE(has(161, "apisix_bandwidth{"));
  REQUIRE(has(1000000, "apisix_http_latency_count{type=\"request\"} 1\n"));
  bytes->add(1);
  Registry::date(bytes, 300);
  REQUIRE(has(310, "apisix_bandwidth{type=\"ingress\"} 4\n"));
}

TEST_CASE("the page has help and type once a family, in a stable order") {
  Fixture f;
  for (int i : {3, 1, 2}) f.registry.counter(Family::kRequests, route(i))->add();
  const std::string page = f.page();
  REQUIRE(page == f.page());
  const size_t head = page.find(
      "# HELP moongate_requests_total Requests by route and status code\n"
      "# TYPE moongate_requests_total counter\n"
      "moongate_requests_total{route=\"1\"} 1\n"
      "moongate_requests_total{route=\"2\"} 1\n"
      "moongate_requests_total{route=\"3\"} 1\n");
  REQUIRE(head != std::string::npos);
  REQUIRE(page.find("# TYPE moongate_requests_total", head + 100) == std::string::npos);
  REQUIRE(page.find("# TYPE apisix_bandwidth") == std::string::npos);
  REQUIRE(page.back() == '\n');
}

TEST_CASE("label values are escaped, cut and made valid text") {
  const auto text_of = [](std::string_view value) { return std::string(Labels().add("l", value).text()); };
  REQUIRE(text_of("plain") == "l=\"plain\"");
  REQUIRE(text_of("a\"b\\c\nd") == "l=\"a\\\"b\\\\c\\nd\"");
  REQUIRE(text_of(std::string_view("\x01\x7f\0", 3)) == "l=\"\\\\x01\\\\x7f\\\\x00\"");
  REQUIRE(text_of("\xff\xc3\xa9") == "l=\"\xEF\xBF\xBD\xc3\xa9\"");
  REQUIRE(text_of(std::string(500, 'x')) == "l=\"" + std::string(128, 'x') + "\"");
  REQUIRE(text_of(std::string(127, 'x') + "\xc3\xa9") == "l=\"" + std::string(127, 'x') + "\"");
  Labels both;
  both.add("a", "1").add("b", "");
  REQUIRE(both.text() == "a=\"1\",b=\"\"");
}

TEST_CASE("a million label values stay within the limit and are counted as dropped") {
  Fixture f(500);
  const uint32_t made_at_start = f.registry.series_count();
  for (int i = 0; i < 1000000; ++i) f.registry.counter(Family::kRequests, route(i))->add();
  REQUIRE(f.registry.series_count() == 500);
  const uint32_t kept = 500 - made_at_start;
  const std::string dropped = std::to_string(1000000 - kept);
  REQUIRE(f.has_line("moongate_requests_total{overflow=\"true\"} " + dropped));
  REQUIRE(f.has_line("moongate_metric_series_dropped_total{metric=\"moongate_requests_total\"} " + dropped));
  // Known series and other families go on.
  f.registry.counter(Family::kRequests, route(0))->add();
  REQUIRE(f.has_line("moongate_requests_total{route=\"0\"} 2"));
  f.registry.histogram(Family::kHttpLatency, "type=\"new\"").observe(1);
  REQUIRE(f.has_line("apisix_http_latency_count{overflow=\"true\"} 1"));
  f.registry.gauge(Family::kBreakerState, "node=\"new\"")->set(2);
  REQUIRE(f.has_line("moongate_breaker_state{overflow=\"true\"} 2"));
}

TEST_CASE("label texts longer than any real one go to the overflow series") {
  Fixture f;
  f.registry.counter(Family::kRequests, std::string(5000, 'x'))->add();
  REQUIRE(f.has_line("moongate_requests_total{overflow=\"true\"} 1"));
}

TEST_CASE("long label texts that use the memory up before the limit overflow, too") {
  Fixture f(1000);
  for (int i = 0; i < 1000; ++i) {
    const std::string labels = "l=\"" + std::to_string(i) + std::string(4000, 'x') + "\"";
    f.registry.counter(Family::kRequests, labels)->add();
  }
  uint64_t sum = 0;
  for (const Registry::Series& series : f.registry.list()) {
    if (series.family == Family::kRequests) sum += series.values[0].load();
  }
  REQUIRE(sum == 1000);
  REQUIRE(f.page().find("moongate_requests_total{overflow=\"true\"}") != std::string::npos);
}

TEST_CASE("ids that come and go give their places back, many more than there are places") {
  Fixture f(500);
  const Expiry expiry{{Family::kRequests, 60}, {Family::kHttpLatency, 60}};
  for (int i = 0; i < 20'000; ++i) {
    const auto now_s = static_cast<uint64_t>(1 + i);
    Counter* requests = f.registry.counter(Family::kRequests, route(i));
    Registry::date(requests, now_s);
    requests->add();
    const Histogram latency = f.registry.histogram(Family::kHttpLatency, route(i));
    Registry::date(latency, now_s);
    latency.observe(uint64_t{i % 2 == 0 ? 1u : 9000u});
    if (i % 10 == 0) f.registry.give_back(now_s, expiry);
  }
  const std::string page = f.page();
  CHECK(page.find("overflow") == std::string::npos);
  CHECK(page.find("route=\"1\"") == std::string::npos);
  CHECK(f.has_line("moongate_requests_total{route=\"19999\"} 1"));
  CHECK(f.has_line("apisix_http_latency_bucket{route=\"19998\",le=\"1\"} 1"));
  CHECK(f.has_line("apisix_http_latency_bucket{route=\"19999\",le=\"5\"} 0"));
  CHECK(f.has_line("apisix_http_latency_count{route=\"19999\"} 1"));
}

TEST_CASE("memory of shorter labels that was given back serves longer ones, and the other way") {
  Fixture f(1000);
  const uint32_t made_at_start = f.registry.series_count();
  uint64_t now_s = 1000;
  int id = 0;
  // Each time as many as there is memory for, and so much together that the next need what these had.
  for (const size_t size : {900u, 4000u, 100u, 2500u, 4000u, 900u}) {
    for (size_t i = 0; i < std::min<size_t>(900, 900'000 / (size + 200)); i++) {
      Counter* counter = f.registry.counter(Family::kRequests, route(id++) + std::string(size, 'x'));
      Registry::date(counter, now_s);
      counter->add();
    }
    CHECK(f.page().find("overflow") == std::string::npos);
    now_s += 100;
    f.registry.give_back(now_s, {{Family::kRequests, 60}});
    now_s += SeriesTable::kGraceSeconds;
    f.registry.give_back(now_s, {{Family::kRequests, 60}});
    CHECK(f.registry.series_count() == made_at_start);
  }
}

TEST_CASE("a series that was given back begins anew, and others keep what they have") {
  Fixture f;
  for (const int i : {1, 2}) {
    Counter* requests = f.registry.counter(Family::kRequests, route(i));
    Registry::date(requests, i == 1 ? 100 : 150);
    requests->add(5);
  }
  const uint32_t before = f.registry.generation();
  f.registry.give_back(161, {{Family::kRequests, 60}});
  CHECK(f.registry.generation() != before);
  CHECK(f.page().find("route=\"1\"") == std::string::npos);
  f.registry.counter(Family::kRequests, route(1))->add(2);
  CHECK(f.has_line("moongate_requests_total{route=\"1\"} 2"));
  CHECK(f.has_line("moongate_requests_total{route=\"2\"} 5"));
  const uint32_t after = f.registry.generation();
  f.registry.give_back(162, {{Family::kRequests, 0}, {Family::kBandwidth, 1}});
  CHECK(f.registry.generation() == after);
}

TEST_CASE("what is added to a series while it is given back is counted") {
  Fixture f;
  const Expiry expiry{{Family::kRequests, 60}, {Family::kHttpLatency, 60}};
  Counter* requests = f.registry.counter(Family::kRequests, route(1));
  const Histogram latency = f.registry.histogram(Family::kHttpLatency, route(1));
  requests->add(7);
  latency.observe(uint64_t{1});
  Registry::date(requests, 100);
  Registry::date(latency, 100);
  f.registry.give_back(200, expiry);
  Registry::date(requests, 200);
  requests->add(3);
  Registry::date(latency, 200);
  latency.observe(uint64_t{1});
  f.registry.give_back(200 + SeriesTable::kGraceSeconds, expiry);
  CHECK(f.has_line("moongate_requests_total{route=\"1\"} 3"));
  CHECK(f.has_line("apisix_http_latency_count{route=\"1\"} 1"));
}

TEST_CASE("a store that is nearly full gives back what had nothing for an hour") {
  Fixture f(200);
  const auto add = [&](int id, uint64_t now_s) {
    Counter* requests = f.registry.counter(Family::kRequests, route(id));
    Registry::date(requests, now_s);
    requests->add();
  };
  for (int id = 0; id < 100; id++) add(id, 1000);
  f.registry.give_back(5000, {});
  CHECK(f.has_line("moongate_requests_total{route=\"0\"} 1"));
  for (int id = 100; id < 150; id++) add(id, 5000);
  f.registry.give_back(5000, {});
  CHECK(f.page().find("route=\"0\"") == std::string::npos);
  CHECK(f.has_line("moongate_requests_total{route=\"149\"} 1"));
}

TEST_CASE("processes that are killed while series are given back leave a store that works") {
  Fixture f(1000);
  auto* shared = new (f.segment.area("progress", 128)) std::atomic<uint64_t>[2]();
  std::atomic<uint64_t>& done = shared[0];
  std::atomic<uint64_t>& now_s = shared[1];
  now_s = 1;
  const auto start = [&](unsigned seed) {
    const pid_t child = fork();
    if (child != 0) return child;
    std::mt19937 random(seed);
    uint32_t generation = f.registry.generation();
    std::vector<Counter*> known(3000);
    for (;;) {
      if (f.registry.generation() != generation) {
        generation = f.registry.generation();
        std::fill(known.begin(), known.end(), nullptr);
      }
      const auto id = static_cast<int>((now_s.load() / 8 * 100 + random() % 100) % known.size());
      Counter*& counter = known[static_cast<size_t>(id)];
      if (counter == nullptr) counter = f.registry.counter(Family::kRequests, route(id));
      Registry::date(counter, now_s);
      counter->add();
      done.fetch_add(1);
    }
  };
  pid_t children[3];
  unsigned seed = 1;
  for (pid_t& child : children) child = start(seed++);
  for (int i = 0; i < 300; ++i) {
    const uint64_t until = done.load() + 50;
    while (done.load() < until) sched_yield();
    now_s.fetch_add(2);
    f.registry.give_back(now_s, {{Family::kRequests, 20}});
    if (i % 5 != 0) continue;
    pid_t& child = children[i / 5 % 3];
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    child = start(seed++);
  }
  for (const pid_t child : children) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  std::set<std::string> seen;
  for (const Registry::Series& series : f.registry.list()) {
    if (series.family != Family::kRequests) continue;
    CHECK(seen.emplace(series.labels).second);
    CHECK(series.labels != "overflow=\"true\"");
  }
  CHECK(seen.size() <= 600);
  now_s.fetch_add(100);
  for (int i = 0; i < 2; i++) f.registry.give_back(now_s.fetch_add(100), {{Family::kRequests, 20}});
  for (int i = 0; i < 300; i++) f.registry.counter(Family::kRequests, route(i))->add();
  for (int i = 0; i < 300; i++) CHECK(f.registry.counter(Family::kRequests, route(i))->value() == 1);
}

TEST_CASE("a limit that makes no sense and a segment too small are errors") {
  shm::Segment segment = shm::Segment::make(1 << 20).take();
  REQUIRE_FALSE(Registry::make(segment, 0).ok());
  REQUIRE_FALSE(Registry::make(segment, 4000000000u).ok());
  REQUIRE_FALSE(Registry::make(segment, 20000).ok());
}

TEST_CASE("processes that make the same series at once share it, though some are killed") {
  Fixture f(2000);
  auto* progress = new (f.segment.area("progress", 64)) std::atomic<uint64_t>(0);
  const uint32_t made_at_start = f.registry.series_count();
  constexpr int kRoutes = 800;
  const auto start = [&](unsigned seed) {
    const pid_t child = fork();
    if (child != 0) return child;
    std::mt19937 random(seed);
    for (;;) {
      f.registry.counter(Family::kRequests, route(static_cast<int>(random() % kRoutes)))->add();
      progress->fetch_add(1);
    }
  };
  pid_t children[4];
  unsigned seed = 1;
  for (pid_t& child : children) child = start(seed++);
  for (int i = 0; i < 100; ++i) {
    const uint64_t until = progress->load() + 100;
    while (progress->load() < until) sched_yield();
    pid_t& child = children[i % 4];
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    child = start(seed++);
  }
  for (pid_t child : children) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  for (int i = 0; i < kRoutes; ++i) f.registry.counter(Family::kRequests, route(i))->add();
  uint64_t sum = 0;
  size_t count = 0;
  for (const Registry::Series& series : f.registry.list()) {
    if (series.family != Family::kRequests) continue;
    sum += series.values[0].load();
    ++count;
  }
  REQUIRE(count == kRoutes);
  // A killed process may have added without reporting it: at most one for each.
  REQUIRE(sum >= progress->load() + kRoutes);
  REQUIRE(sum <= progress->load() + kRoutes + 104);
  REQUIRE(f.registry.series_count() <= made_at_start + kRoutes);
}
