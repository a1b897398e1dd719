// SPDX-License-Identifier: Apache-2.0
// Who is asked, when, and what comes of it. What is told about it is in health_report.cpp.
#include "control/health_checks.h"

#include <strings.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "http/head.h"
#include "net/address.h"
#include "snapshot/health.h"
#include "snapshot/shown_certificate.h"

namespace moongate::control {

using base::Clock;
using base::Duration;
using base::Result;
using snapshot::Record;
using snapshot::RecordKind;

namespace {

constexpr auto kTick = std::chrono::seconds(1);
constexpr std::ptrdiff_t kPlainAhead = 16;         // so many that have gone are passed over
constexpr auto kSpread = std::chrono::seconds(1);  // nodes that come together are asked within this

/// Most resources have no checks: those are not worth parsing.
bool mentions_checks(std::string_view body) {
  constexpr std::string_view kWord = "\"checks\"";
  return ::memmem(body.data(), body.size(), kWord.data(), kWord.size()) != nullptr;
}

/// The upstream inside a resource of this kind, if it serves.
std::optional<config::Upstream> find_upstream(const Record& record) {
  const Result<base::Value> body = base::parse_json(record.body);
  if (!body) return std::nullopt;
  if (record.kind == RecordKind::kUpstream) {
    Result<config::Upstream> upstream = config::parse_upstream(*body);
    return upstream ? std::optional(upstream.take()) : std::nullopt;
  }
  if (record.kind == RecordKind::kService) {
    Result<config::Service> service = config::parse_service(*body);
    return service ? std::move(service->upstream) : std::nullopt;
  }
  Result<config::Route> route = config::parse_route(*body);
  return route && route->is_enabled ? std::move(route->upstream) : std::nullopt;
}

std::string host_of(const config::Upstream& conf) {
  const bool is_rewritten = conf.pass_host == config::PassHost::kRewrite;
  return is_rewritten ? conf.upstream_host : conf.checks->active->host;
}

/// 0 without one.
uint64_t hash_of_certificate(const snapshot::BlobView& view, const std::string& id) {
  const Record* record = id.empty() ? nullptr : view.find(RecordKind::kSsl, id);
  return record == nullptr ? 0 : record->hash;
}

}  // namespace

HealthChecks::HealthChecks(net::EventLoop& loop, shm::HealthBoard* board)
    : loop_(loop),
      board_(board),
      tick_([](void* self) { static_cast<HealthChecks*>(self)->look_around(); }, this),
      random_(std::random_device{}()) {}

void HealthChecks::set_snapshot(const snapshot::BlobView& view, const config::Settings& settings) {
  if (board_ == nullptr) return;
  const std::string_view pem = view.body_of(RecordKind::kTrusted, "");
  if (pem != trust_pem_) {
    trust_pem_ = pem;
    trust_.reset();
    for (auto& [key, checker] : checkers_) checker->record_hash = 0;  // made anew
  }
  Checkers next;
  if (settings.upstream.health_checks) read_all(view, &next);
  if (next.empty() && checkers_.empty()) return;
  if (!next.empty() && !make_resolver(settings.dns)) next.clear();
  ready_.clear();
  std::swap(checkers_, next);
  for (auto& [key, former] : next) {
    if (former) probe_count_ -= former->probe_count;
  }
  claim_slots();
  for (auto& [key, checker] : checkers_) {
    checker->is_queued = !checker->waiting.empty();
    if (checker->is_queued) ready_.push_back(checker.get());
    const auto former = next.find(key);
    if (former != next.end() && former->second) take_over(*checker, *former->second);
    for (const auto& node : checker->nodes) plan(*node);
  }
  next.clear();
  start_waiting();
  if (checkers_.empty()) return tick_.stop();
  if (!tick_.is_running()) tick_.start(loop_.timers(), kTick);
}

bool HealthChecks::make_resolver(const config::DnsSettings& dns) {
  if (!resolver_) {
    auto made = net::Resolver::make(loop_, {dns.hosts, dns.servers, dns.timeout});
    if (!made) {
      MG_LOG(kError) << "no node is checked: " << made.error().detail;
      return false;
    }
    resolver_ = made.take();
  }
  resolver_->set_options({dns.hosts, dns.servers, dns.timeout});
  return true;
}

/// Bodies are looked through only where the snapshot before had another at their place.
void HealthChecks::read_all(const snapshot::BlobView& view, Checkers* next) {
  const std::vector<uint64_t> before = std::exchange(plain_, {});
  plain_.reserve(before.size() + kPlainAhead);
  auto at = before.begin();
  for (const RecordKind kind : {RecordKind::kUpstream, RecordKind::kService, RecordKind::kRoute}) {
    for (const Record& record : view.records_of(kind)) {
      const auto end = before.end() - at > kPlainAhead ? at + kPlainAhead : before.end();
      const auto same = std::find(at, end, record.hash);
      if (same != end) {
        at = same + 1;
      } else if (mentions_checks(record.body)) {
        read(view, record, next);
        continue;
      }
      plain_.push_back(record.hash);
    }
  }
}

void HealthChecks::read(const snapshot::BlobView& view, const Record& record, Checkers* next) {
  const std::string kind = record.kind == RecordKind::kUpstream  ? "upstreams"
                           : record.kind == RecordKind::kService ? "services"
                                                                 : "routes";
  const std::string key = kind + "/" + std::string(record.id);
  const auto had = checkers_.find(key);
  if (had != checkers_.end() && had->second && had->second->record_hash == record.hash &&
      had->second->shown_hash == hash_of_certificate(view, had->second->shown_id)) {
    next->emplace(key, std::move(had->second));
    return;
  }
  add(view, record, kind, next);
}

void HealthChecks::add(const snapshot::BlobView& view, const Record& record, const std::string& kind,
                       Checkers* next) {
  const std::optional<config::Upstream> found = find_upstream(record);
  if (!found || !found->checks || found->nodes.empty()) return;
  const config::Upstream& conf = *found;
  auto checker = std::make_unique<Checker>();
  checker->kind = kind;
  checker->id = record.id;
  checker->upstream = (kind == "routes" ? "route#" : kind == "services" ? "service#" : "") + checker->id;
  checker->record_hash = record.hash;
  checker->conf = *conf.checks;
  if (checker->conf.active) {
    checker->host_sent = host_of(conf);
    if (checker->conf.active->type == config::ActiveCheck::Type::kHttps) choose_tls(view, conf, *checker);
  }
  const auto watched = snapshot::find_watched_nodes(conf, checker->upstream);
  for (size_t i = 0; i < watched.size(); i++) {
    auto node = std::make_unique<Node>(*this, *checker);
    node->watched = watched[i];
    node->host = conf.nodes[i].host;
    const bool has_own_port = checker->conf.active && checker->conf.active->port != 0;
    node->port = has_own_port ? checker->conf.active->port : conf.nodes[i].port;
    checker->nodes.push_back(std::move(node));
  }
  next->emplace(kind + "/" + checker->id, std::move(checker));
}

/// Without a context nothing is asked: a node that must be verified is not spoken to in clear.
void HealthChecks::choose_tls(const snapshot::BlobView& view, const config::Upstream& conf,
                              Checker& checker) {
  if (!trust_) {
    auto made = tls::TrustStore::make(trust_pem_);
    if (made) trust_ = made.take();
  }
  tls::ClientOptions options;
  options.trust = trust_;
  options.is_verifying = checker.conf.active->verifies_certificate;
  options.protocols = {"http/1.1"};
  Result<tls::CertificatePair> shown = tls::CertificatePair{};
  if (conf.tls) {
    checker.shown_id = conf.tls->client_cert_id;
    checker.shown_hash = hash_of_certificate(view, checker.shown_id);
    shown = snapshot::find_shown_certificate(view, *conf.tls);
  }
  Result<std::shared_ptr<const tls::ClientContext>> context =
      base::invalid("moongate.upstream.tls_trusted_certificate holds no certificates");
  if (!shown) {
    context = shown.error();
  } else if (trust_) {
    options.certificate = shown.take();
    context = tls::ClientContext::make(options);
  }
  if (context) {
    checker.tls = context.take();
  } else {
    MG_LOG(kError) << "upstream " << checker.upstream << " is not checked: " << context.error().detail;
    checker.conf.active.reset();
  }
}

void HealthChecks::claim_slots() {
  std::vector<uint64_t> keys;
  for (const auto& [key, checker] : checkers_)
    for (const auto& node : checker->nodes) keys.push_back(node->watched.key);
  std::sort(keys.begin(), keys.end());
  board_->keep_only(keys);
  size_t without = 0;
  for (const auto& [key, checker] : checkers_) {
    for (const auto& node : checker->nodes) {
      if (!board_->is_of(node->slot, node->watched.key)) node->slot = board_->claim(node->watched.key);
      without += node->slot == shm::HealthBoard::kNone ? 1 : 0;
    }
  }
  if (without > 0)
    MG_LOG(kError) << without << " nodes are not checked: there are checks for more than "
                   << shm::HealthBoard::kNodesMax;
}

/// An upstream that is edited again and again must not put its checks off for ever, and not end each before
/// its timeout.
void HealthChecks::take_over(Checker& checker, Checker& former) {
  std::map<uint64_t, Node*> nodes;
  for (const auto& node : former.nodes) nodes.emplace(node->watched.key, node.get());
  for (const auto& node : checker.nodes) {
    const auto had = nodes.find(node->watched.key);
    if (had == nodes.end()) continue;
    node->asked_at = had->second->asked_at;
    node->address = had->second->address;
    node->failure = had->second->failure;
    node->turn = had->second->turn;
    take_probe(*node, *had->second);
  }
}

/// What is asked already goes on, when it is what would be asked now.
void HealthChecks::take_probe(Node& node, Node& former) {
  if (!former.probe || !node.of.conf.active || node.slot == shm::HealthBoard::kNone) return;
  if (!former.probe->target().is_same(make_target(node))) return;
  node.probe = std::move(former.probe);
  node.probe->hand_to(on_over(node));
  node.of.probe_count++;
  probe_count_++;
}

/// When the node is asked next: its state's interval after the last time. What requests find may change the
/// state at any time.
void HealthChecks::plan(Node& node) {
  const auto& active = node.of.conf.active;
  if (!active || node.slot == shm::HealthBoard::kNone || node.probe || node.is_waiting) return;
  const Duration interval =
      shm::is_usable(board_->health(node.slot)) ? active->interval_healthy : active->interval_unhealthy;
  if (interval.count() == 0) return node.timer.stop();
  const base::SteadyTime now = Clock::steady();
  Duration wait = node.asked_at + interval - now;
  if (node.asked_at == base::SteadyTime{}) {
    wait = std::min<Duration>(kSpread, interval) / 1000 * static_cast<int64_t>(random_() % 1000);
    node.asked_at = now + wait - interval;
  }
  wait = std::max<Duration>(wait, Duration(0));
  if (!node.timer.is_running() || node.timer.deadline() > now + wait) node.timer.start(loop_.timers(), wait);
}

/// Once a second: what requests found changes who is asked how often, and who is not asked may return.
void HealthChecks::look_around() {
  board_->call_attention();
  for (const auto& [key, checker] : checkers_) {
    for (const auto& node : checker->nodes) {
      plan(*node);
      let_return(*node);
    }
  }
  tick_.start(loop_.timers(), kTick);
}

void HealthChecks::let_return(Node& node) {
  const auto& active = node.of.conf.active;
  if (node.slot == shm::HealthBoard::kNone || (active && active->interval_unhealthy.count() > 0)) return;
  if (shm::is_usable(board_->health(node.slot))) return;
  if (board_->read(node.slot).changed_at + kUnaskedPause > Clock::steady()) return;
  if (board_->forget(node.slot, node.watched.key))
    MG_LOG(kNotice) << "upstream " << node.of.upstream << " node " << node.watched.text
                    << " was left alone for " << kUnaskedPause.count()
                    << " seconds; no check asks it, so requests try it again";
}

void HealthChecks::Node::on_due(void* self) {
  auto* node = static_cast<Node*>(self);
  node->owner.queue(*node);
  node->owner.start_waiting();
}

void HealthChecks::queue(Node& node) {
  node.is_waiting = true;
  node.of.waiting.push_back(&node);
  if (node.of.is_queued) return;
  node.of.is_queued = true;
  ready_.push_back(&node.of);
}

/// As many as may be asked, one of each upstream in turn.
void HealthChecks::start_waiting() {
  while (probe_count_ < kProbesMax && !ready_.empty()) {
    Checker& checker = *ready_.front();
    ready_.pop_front();
    const bool may_start = checker.probe_count < checker.conf.active->concurrency;
    checker.is_queued = may_start && checker.waiting.size() > 1;
    if (checker.is_queued) ready_.push_back(&checker);
    if (!may_start || checker.waiting.empty()) continue;  // on_outcome() queues it again
    Node& node = *checker.waiting.front();
    checker.waiting.pop_front();
    node.is_waiting = false;
    start(node);
  }
}

HealthProbe::Target HealthChecks::make_target(const Node& node) const {
  const config::ActiveCheck& active = *node.of.conf.active;
  HealthProbe::Target target;
  target.host = node.host;
  target.port = node.port;
  if (active.type != config::ActiveCheck::Type::kTcp) target.request = make_request(node);
  target.tls = node.of.tls;
  http::HostParts sent;
  const bool has_name = !node.of.host_sent.empty() && http::split_host(node.of.host_sent, &sent);
  target.server_name = !active.server_name.empty() ? active.server_name
                       : has_name                  ? std::string(sent.name)
                                                   : node.host;
  target.timeout = active.timeout;
  return target;
}

HealthProbe::Callback HealthChecks::on_over(Node& node) {
  return [this, &node](const HealthProbe::Outcome& outcome) {
    const auto over = std::move(node.probe);
    on_outcome(node, outcome);
  };
}

void HealthChecks::start(Node& node) {
  HealthProbe::Target target = make_target(node);
  target.turn = node.turn++;
  node.asked_at = Clock::steady();
  node.of.probe_count++;
  probe_count_++;
  node.probe = std::make_unique<HealthProbe>(loop_, *resolver_, std::move(target), on_over(node));
}

std::string HealthChecks::make_request(const Node& node) const {
  const config::ActiveCheck& active = *node.of.conf.active;
  std::string host = node.of.host_sent;
  if (host.empty() && node.host.starts_with("unix:")) host = "localhost";
  if (host.empty()) host = net::bracketed(node.host) + ":" + std::to_string(node.port);
  std::string request = active.method + " " + active.path + " HTTP/1.1\r\n";
  bool has_host = false;
  for (const std::string& field : active.fields) {
    has_host |= field.size() > 4 && ::strncasecmp(field.c_str(), "host:", 5) == 0;
    request += field + "\r\n";
  }
  if (!has_host) request += "Host: " + host + "\r\n";
  if (!active.body.empty()) request += "Content-Length: " + std::to_string(active.body.size()) + "\r\n";
  return request + "Connection: close\r\n\r\n" + active.body;
}

void HealthChecks::on_outcome(Node& node, const HealthProbe::Outcome& outcome) {
  using Kind = HealthProbe::Outcome::Kind;
  const config::CheckRules& rules = node.of.conf.active->rules;
  node.of.probe_count--;
  probe_count_--;
  if (!outcome.address.empty()) node.address = outcome.address;
  node.failure = outcome.detail;
  shm::HealthReport report;
  if (outcome.kind == Kind::kConnected)
    report = {{shm::HealthEvent::kSuccess, false, 0}, rules.successes};
  else if (outcome.kind == Kind::kAnswered)
    report = upstream::judge_status(rules, outcome.status, false);
  else
    report = upstream::judge_failure(rules, outcome.kind == Kind::kTimedOut, false);
  const auto change = board_->report(node.slot, node.watched.key, report);
  if (change.is_verdict())
    upstream::log_verdict(node.of.upstream, node.watched.text, change, report, outcome.detail);
  if (!node.of.waiting.empty() && !node.of.is_queued) {
    node.of.is_queued = true;
    ready_.push_back(&node.of);
  }
  plan(node);
  start_waiting();
}

}  // namespace moongate::control
