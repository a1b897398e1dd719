// SPDX-License-Identifier: Apache-2.0
#include "control/acme.h"

#include <algorithm>

#include "base/log.h"
#include "control/times.h"
#include "control/trusted_file.h"
#include "snapshot/shown_certificate.h"
#include "tls/issued.h"
#include "tls/private_key.h"

namespace moongate::control {

using base::Clock;
using base::Duration;
using base::Result;
using base::Value;
using base::WallTime;

namespace {

constexpr Duration kFirstRetry = std::chrono::minutes(1);
constexpr Duration kLastRetry = std::chrono::hours(6);
constexpr Duration kRetryAfterMax = std::chrono::hours(24);
constexpr Duration kPauseMax = kRetryAfterMax + kRetryAfterMax / 10;
constexpr int kShortestPart = 6;  // of its lifetime that a certificate is served before another is ordered
constexpr Duration kLookAtLeast = std::chrono::minutes(1);  // the calendar may be set meanwhile

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

}  // namespace

Acme::Acme(net::EventLoop& loop, const std::string& directory, Callbacks callbacks)
    : loop_(loop),
      callbacks_(std::move(callbacks)),
      store_(directory),
      timer_([](void* self) { static_cast<Acme*>(self)->go_on(); }, this),
      random_(std::random_device{}()) {}

void Acme::set_snapshot(const snapshot::BlobView& view, const config::Settings& settings) {
  std::vector<std::pair<std::string, uint64_t>> prints;
  for (const snapshot::Record& record : view.records_of(snapshot::RecordKind::kSsl))
    prints.emplace_back(record.id, record.hash);
  const bool is_same_authority = settings.acme == settings_;
  if (resolver_) resolver_->set_options({settings.dns.hosts, settings.dns.servers, settings.dns.timeout});
  if (prints == prints_ && is_same_authority) return;
  Entries entries = settings.acme.is_used() ? read_entries(view) : Entries();
  const bool is_any = !entries.empty() || !entries_.empty();
  if (!is_any || !prepare(settings)) {
    settings_ = settings.acme;
    prints_ = std::move(prints);
    return;
  }
  settings_ = settings.acme;
  prints_ = std::move(prints);
  for (auto& [names, entry] : entries) {
    const auto known = entries_.find(names);
    const bool is_new = known == entries_.end() || !is_same_authority;
    const std::string where = entry.where;
    if (!is_new) entry = known->second;
    if (is_new) entry.due = find_due(names);
    entry.where = where;
  }
  entries_ = std::move(entries);
  if (client_ && (!is_same_authority || entries_.count(ordered_) == 0)) end_order();
  callbacks_.on_certificates();
  go_on();
}

Acme::Entries Acme::read_entries(const snapshot::BlobView& view) const {
  Entries entries;
  for (const snapshot::Record& record : view.records_of(snapshot::RecordKind::kSsl)) {
    if (record.body.find("\"acme\"") == record.body.npos) continue;  // parsing certificates takes its time
    Result<config::Ssl> ssl = snapshot::read_certificate(record);
    if (!ssl || !ssl->is_issued || !ssl->is_enabled) continue;
    Names names = std::move(ssl->snis);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    entries.emplace(std::move(names), Entry{"ssls/" + std::string(record.id), {}, 0, ""});
  }
  return entries;
}

/// What only those need who want certificates.
bool Acme::prepare(const config::Settings& settings) {
  if (!resolver_) {
    auto made = net::Resolver::make(loop_, {settings.dns.hosts, settings.dns.servers, settings.dns.timeout});
    if (!made) {
      MG_LOG(kError) << "ACME: the authority cannot be looked up: " << made.error().detail;
      return false;
    }
    resolver_ = made.take();
  }
  if (std::exchange(is_loaded_, true)) return true;
  store_.load(Clock::wall());
  challenge_number_ = 1;  // of none: a process before this one may have left some with the workers
  return true;
}

void Acme::start() {
  is_started_ = true;
  if (!entries_.empty()) go_on();
}

/// When the certificate for these names is to be renewed; now, when there is none that would do.
WallTime Acme::find_due(const Names& names) const {
  const AcmeCertificate* known = store_.find(names);
  if (known == nullptr || known->directory != settings_.directory || known->is_rsa != settings_.is_rsa)
    return Clock::wall();
  const auto& [from, until] = known->validity;
  const Duration lifetime = until - from;
  const Duration wanted = settings_.renew_before;
  const Duration before = wanted == Duration(0) ? lifetime / 3 : std::min(wanted, lifetime / 2);
  return until - before;
}

std::string Acme::packed() const {
  std::map<const AcmeCertificate*, tls::IssuedCertificate> served;
  const WallTime now = Clock::wall();
  for (const auto& [names, entry] : entries_) {
    const AcmeCertificate* own = store_.find(names);
    for (const std::string& name : names) {
      // Names that were added to a resource must not leave the others without: what they had is served on.
      const AcmeCertificate* certificate =
          own != nullptr && own->validity.until > now ? own : store_.find_for(name, now);
      if (certificate == nullptr) continue;
      tls::IssuedCertificate& issued = served[certificate];
      issued.pair = certificate->pair;
      issued.names.push_back(name);
    }
  }
  std::vector<tls::IssuedCertificate> list;
  for (auto& [certificate, issued] : served) list.push_back(std::move(issued));
  return tls::Issued::pack(list);
}

/// Begins the order that is due longest, if none is under way, and comes again for the next.
void Acme::go_on() {
  if (!is_started_ || client_ || entries_.empty()) return;
  // A pause counts from the calendar, which may have been ahead when it began.
  for (auto& [names, entry] : entries_) {
    if (entry.failures > 0) entry.due = std::min<WallTime>(entry.due, Clock::wall() + kPauseMax);
  }
  const auto first = std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
    return a.second.due < b.second.due;
  });
  const WallTime now = Clock::wall();
  if (first->second.due > now) {
    timer_.start(loop_.timers(), std::min<Duration>(first->second.due - now, kLookAtLeast));
    return;
  }
  begin(Names(first->first));
}

void Acme::begin(const Names& names) {
  ordered_ = names;
  Result<AcmeClient::Options> options = make_options(names);
  if (!options) {
    note_failure(options.error().detail, Duration(0));
    timer_.start(loop_.timers(), std::chrono::milliseconds(1));  // not from here: others may be due as well
    return;
  }
  ordered_key_ = options->key;
  client_ = std::make_unique<AcmeClient>(
      loop_, *resolver_, options.take(),
      AcmeClient::Callbacks{[this](std::string lines) { offer(std::move(lines)); },
                            [this](AcmeOutcome outcome) { take(std::move(outcome)); }});
}

Result<AcmeClient::Options> Acme::make_options(const Names& names) {
  AcmeClient::Options options;
  options.settings = settings_;
  options.names = names;
  Result<std::string> account = store_.account_key();
  if (!account) return account.error();
  options.account_key = account.take();
  Result<std::string> trusted = std::string();
  if (!settings_.trusted_certificate.empty()) trusted = read_trusted_file(settings_.trusted_certificate);
  if (!trusted) return trusted.error();
  auto trust = tls::TrustStore::make(*trusted);
  if (!trust) return trust.error();
  tls::ClientOptions client;
  client.trust = trust.take();
  auto context = tls::ClientContext::make(client);
  if (!context) return context.error();
  options.tls = context.take();
  Result<std::string> key = tls::make_key(settings_.is_rsa ? tls::KeyType::kRsa : tls::KeyType::kEcdsa);
  if (!key) return key.error();
  options.key = key.take();
  return options;
}

void Acme::offer(std::string lines) {
  is_offering_ = true;
  challenges_ = std::move(lines);
  challenge_number_++;
  callbacks_.on_challenges();
}

void Acme::note_offered() {
  if (!std::exchange(is_offering_, false)) return;
  client_->go_on();
}

void Acme::end_order() {
  client_.reset();
  is_offering_ = false;
  if (challenges_.empty()) return;
  challenges_.clear();
  challenge_number_++;
  callbacks_.on_challenges();
}

void Acme::take(AcmeOutcome outcome) {
  end_order();
  Result<void> taken = outcome.chain ? take_chain(*outcome.chain) : Result<void>(outcome.chain.error());
  if (!taken) note_failure(taken.error().detail, outcome.retry_after);
  ordered_key_.clear();
  go_on();
}

Result<void> Acme::take_chain(const std::string& chain) {
  AcmeCertificate certificate{ordered_, settings_.directory, settings_.is_rsa, {chain, ordered_key_}, {}};
  if (auto checked = store_.check(&certificate, Clock::wall()); !checked)
    return base::invalid("what the authority sent cannot be served: " + checked.error().detail);
  const auto [from, until] = certificate.validity;
  Entry& entry = entries_.at(ordered_);
  if (auto added = store_.add(std::move(certificate)); !added)
    MG_LOG(kError) << entry.where << ": the certificate is not kept on disk: " << added.error().detail;
  entry.failures = 0;
  entry.last_error.clear();
  // Where clocks differ, a new certificate may be due already: it is not ordered in a circle.
  entry.due = std::max(find_due(ordered_), Clock::wall() + (until - from) / kShortestPart);
  MG_LOG(kNotice) << entry.where << ": a certificate for " << join(ordered_) << " was issued, it holds until "
                  << time_text(to_ms(until));
  callbacks_.on_certificates();
  return {};
}

/// Each pause is twice the one before, and up to a tenth longer, so that gateways that failed together do not
/// come back together.
void Acme::note_failure(const std::string& what, Duration retry_after) {
  Entry& entry = entries_.at(ordered_);
  Duration pause = std::min(kFirstRetry * (1 << std::min(entry.failures, 10U)), kLastRetry);
  pause = std::max(pause, std::min(retry_after, kRetryAfterMax));
  pause += pause / 1000 * static_cast<int64_t>(random_() % 100);
  entry.due = Clock::wall() + pause;
  entry.failures++;
  entry.last_error = what;
  const AcmeCertificate* had = store_.find(ordered_);
  const bool is_served = had != nullptr && had->validity.until > Clock::wall();
  MG_LOG(kWarn) << entry.where << ": no certificate for " << join(ordered_) << ": " << what
                << (is_served ? "; the last one is served while it holds"
                              : "; TLS for these names is refused")
                << "; the next try is at " << time_text(to_ms(entry.due));
}

Value Acme::describe() const {
  Value list = Value::array();
  for (const auto& [names, entry] : entries_) {
    Value one = Value::object();
    one.set("resource", Value::string(entry.where));
    Value& shown = one.set("names", Value::array());
    for (const std::string& name : names) shown.items().push_back(Value::string(name));
    const AcmeCertificate* known = store_.find(names);
    one.set("until",
            known == nullptr ? Value::null() : Value::string(time_text(to_ms(known->validity.until))));
    one.set("next_try", Value::string(time_text(to_ms(entry.due))));
    one.set("last_error", entry.last_error.empty() ? Value::null() : Value::string(entry.last_error));
    list.items().push_back(std::move(one));
  }
  return list;
}

}  // namespace moongate::control
