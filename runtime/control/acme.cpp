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
// Limits are often those of one list of names: the others wait for a while, not for as long as that one.
constexpr Duration kAuthorityPauseMax = std::chrono::hours(1);
constexpr int kServedDivisor =
    6;  // a certificate is served for a sixth of its time before another is ordered
constexpr int kPauseDivisor = 10;  // a pause is no longer than a tenth of what is left of the certificate
constexpr Duration kLookEvery = std::chrono::minutes(1);  // the calendar may be set meanwhile

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
      timer_([](void* self) { static_cast<Acme*>(self)->look(); }, this),
      others_([](void* self) { static_cast<Acme*>(self)->go_on(); }, this),
      random_(std::random_device{}()) {}

void Acme::set_snapshot(const snapshot::BlobView& view, const config::Settings& settings) {
  std::vector<std::pair<std::string, uint64_t>> prints;
  for (const snapshot::Record& record : view.records_of(snapshot::RecordKind::kSsl))
    prints.emplace_back(record.id, record.hash);
  const bool is_same = settings.acme == settings_;
  const bool is_same_kind =
      settings.acme.directory == settings_.directory && settings.acme.is_rsa == settings_.is_rsa;
  dns_ = {settings.dns.hosts, settings.dns.servers, settings.dns.timeout};
  if (resolver_) resolver_->set_options(dns_);
  if (prints == prints_ && is_same) return;
  if (settings.acme.directory != settings_.directory) authority_not_before_ = {};
  settings_ = settings.acme;
  prints_ = std::move(prints);
  Entries entries = settings_.is_used() ? read_entries(view) : Entries();
  if (entries.empty() && entries_.empty()) return;
  if (!std::exchange(is_loaded_, true)) {
    store_.load();
    challenge_number_ = 1;  // of none: a process before this one may have left some with the workers
  }
  for (auto& [names, entry] : entries) {
    const auto known = entries_.find(names);
    // Whoever changes the settings wants to see what comes of it. A pause after a success stays.
    const bool is_known = known != entries_.end() && is_same_kind && (is_same || known->second.failures == 0);
    const std::string where = entry.where;
    if (is_known) entry = known->second;
    entry.where = where;
  }
  entries_ = std::move(entries);
  if (client_ && (!is_same_kind || entries_.count(ordered_) == 0)) end_order();
  look();
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
    entries.emplace(std::move(names), Entry{"ssls/" + std::string(record.id), Clock::steady(), 0, ""});
  }
  return entries;
}

void Acme::start() {
  is_started_ = true;
  if (!entries_.empty()) go_on();
}

/// When the certificate for these names is to be renewed; long ago, when there is none that would do.
WallTime Acme::find_due(const Names& names) const {
  const AcmeCertificate* known = store_.find(names);
  if (known == nullptr || known->directory != settings_.directory || known->is_rsa != settings_.is_rsa)
    return {};
  const auto& [from, until] = known->validity;
  const Duration lifetime = until - from;
  const Duration wanted = settings_.renew_before;
  const Duration before = wanted == Duration(0) ? lifetime / 3 : std::min(wanted, lifetime / 2);
  return until - before;
}

/// How long until an order may begin, whatever others do. Below 0: for how long it could have begun.
Duration Acme::find_wait(const Names& names, const Entry& entry) const {
  return std::max<Duration>(find_due(names) - Clock::wall(), entry.not_before - Clock::steady());
}

/// What is to be served and what is to be ordered depends on the calendar.
void Acme::look() {
  hand_out();
  go_on();
}

void Acme::hand_out() {
  std::map<const AcmeCertificate*, tls::IssuedCertificate> served;
  std::vector<const AcmeCertificate*> in_order;  // of entries: the same list is the same text
  for (const auto& [names, entry] : entries_) {
    for (const std::string& name : names) {
      const AcmeCertificate* certificate = store_.choose(names, name, Clock::wall());
      if (certificate == nullptr) continue;
      tls::IssuedCertificate& issued = served[certificate];
      if (issued.names.empty()) in_order.push_back(certificate);
      issued.names.push_back(name);
    }
  }
  std::vector<tls::IssuedCertificate> list;
  for (const AcmeCertificate* certificate : in_order) {
    list.push_back(std::move(served[certificate]));
    list.back().pair = certificate->pair;
  }
  std::string packed = tls::Issued::pack(list);
  if (packed == packed_) return;
  packed_ = std::move(packed);
  callbacks_.on_certificates();
}

Acme::Service Acme::find_service(const Names& names) const {
  Service service;
  const AcmeCertificate* own = store_.find(names);
  for (const std::string& name : names) {
    const AcmeCertificate* certificate = store_.choose(names, name, Clock::wall());
    if (certificate == nullptr) {
      service.without.push_back(name);
      continue;
    }
    const auto [from, until] = certificate->validity;
    service.until = std::min(service.until.value_or(until), until);
    service.is_former |= certificate != own;
    service.is_early |= from > Clock::wall();
  }
  return service;
}

std::string Acme::describe_service(const Names& names) const {
  const Service service = find_service(names);
  if (!service.until) return "no certificate yet";
  std::string text = service.is_former ? "a former certificate" : "a certificate";
  if (*service.until <= Clock::wall())
    text += " that has run out, " + time_text(to_ms(*service.until));
  else
    text +=
        (service.is_early ? " that does not hold yet, until " : " until ") + time_text(to_ms(*service.until));
  return text + (service.without.empty() ? "" : " and none yet for " + join(service.without));
}

/// Begins the order that could have begun for the longest time, if none is under way, and comes again. Those
/// that have failed come after those that have not: many that fail for one reason hold up nobody else.
void Acme::go_on() {
  if (!is_started_ || entries_.empty()) return;
  timer_.start(loop_.timers(), kLookEvery);
  if (client_) return;
  const Names* first = nullptr;
  std::pair<bool, Duration> best;
  for (const auto& [names, entry] : entries_) {
    const Duration its_wait = find_wait(names, entry);
    const std::pair rank(its_wait > Duration(0) || entry.failures > 0, its_wait);
    if (first != nullptr && rank >= best) continue;
    first = &names;
    best = rank;
  }
  Duration wait = best.second;
  wait = std::max<Duration>(wait, authority_not_before_ - Clock::steady());
  if (wait <= Duration(0)) return begin(Names(*first));
  timer_.start(loop_.timers(), std::min(wait, kLookEvery));
}

void Acme::begin(const Names& names) {
  ordered_ = names;
  const Result<void> resolver = make_resolver();
  Result<AcmeClient::Options> options =
      resolver ? make_options(names) : Result<AcmeClient::Options>(resolver.error());
  if (!options) {
    note_failure(options.error().detail, Duration(0));
    others_.schedule(loop_);  // not from here: they may be due as well
    return;
  }
  ordered_key_ = options->key;
  client_ = std::make_unique<AcmeClient>(
      loop_, *resolver_, options.take(),
      AcmeClient::Callbacks{[this](std::string lines) { offer(std::move(lines)); },
                            [this](AcmeOutcome outcome) { take(std::move(outcome)); }});
}

/// What only those need who order.
Result<void> Acme::make_resolver() {
  if (resolver_) return {};
  auto made = net::Resolver::make(loop_, dns_);
  if (!made) return base::invalid("the authority cannot be looked up: " + made.error().detail);
  resolver_ = made.take();
  return {};
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
  if (outcome.is_limited)
    authority_not_before_ =
        Clock::steady() + std::clamp(outcome.is_limited_for_all ? outcome.retry_after : Duration(0),
                                     kFirstRetry, kAuthorityPauseMax);
  if (!taken) note_failure(taken.error().detail, outcome.retry_after);
  ordered_key_.clear();
  look();
}

/// It is taken whatever the calendar says of it: what was issued cannot be had again, and the clock may be
/// wrong.
Result<void> Acme::take_chain(const std::string& chain) {
  AcmeCertificate certificate{ordered_, settings_.directory, settings_.is_rsa, {chain, ordered_key_}, {}};
  if (auto checked = store_.check(&certificate); !checked)
    return base::invalid("what the authority sent cannot be served: " + checked.error().detail);
  const auto [from, until] = certificate.validity;
  const bool holds = certificate.holds(Clock::wall());
  Entry& entry = entries_.at(ordered_);
  if (auto added = store_.add(std::move(certificate)); !added)
    MG_LOG(kError) << entry.where << ": the certificate is not kept on disk: " << added.error().detail;
  entry.failures = 0;
  entry.last_error.clear();
  // Where clocks differ, a new certificate may be due already: it is not ordered in a circle.
  entry.not_before = Clock::steady() + (until - from) / kServedDivisor;
  MG_LOG(kNotice) << entry.where << ": a certificate for " << join(ordered_) << " was issued, it holds until "
                  << time_text(to_ms(until));
  if (!holds)
    MG_LOG(kWarn) << entry.where
                  << ": by this machine's clock the new certificate does not hold now, but from "
                  << time_text(to_ms(from)) << " until " << time_text(to_ms(until))
                  << "; is the clock right?";
  return {};
}

/// Each pause is twice the one before, and up to a tenth longer, so that gateways that failed together do not
/// come back together. Towards the end of what is served they become shorter.
void Acme::note_failure(const std::string& what, Duration retry_after) {
  Entry& entry = entries_.at(ordered_);
  const Service service = find_service(ordered_);
  Duration pause = std::min(kFirstRetry * (1 << std::min(entry.failures, 10U)), kLastRetry);
  pause = std::max(pause, std::min(retry_after, kRetryAfterMax));
  if (const WallTime now = Clock::wall(); service.until && *service.until > now)
    pause = std::min(pause, std::max<Duration>((*service.until - now) / kPauseDivisor, kFirstRetry));
  pause += pause / 1000 * static_cast<int64_t>(random_() % 100);
  entry.not_before = Clock::steady() + pause;
  entry.failures++;
  entry.last_error = what;
  const WallTime next = Clock::wall() + std::max<Duration>(pause, authority_not_before_ - Clock::steady());
  MG_LOG(kWarn) << entry.where << ": no certificate for " << join(ordered_) << ": " << what << "; "
                << (service.without.empty() ? std::string()
                                            : "TLS for " + join(service.without) + " is refused, ")
                << (service.until ? "what is served is " + describe_service(ordered_) + ", " : "")
                << "the next try is at " << time_text(to_ms(next));
}

Value Acme::describe() const {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? Value::null() : Value::string(text);
  };
  const auto to_list = [](const Names& names) {
    Value list = Value::array();
    for (const std::string& name : names) list.items().push_back(Value::string(name));
    return list;
  };
  const Duration authority_wait = std::max<Duration>(authority_not_before_ - Clock::steady(), Duration(0));
  Value list = Value::array();
  for (const auto& [names, entry] : entries_) {
    const Service service = find_service(names);
    const WallTime next = Clock::wall() + std::max(find_wait(names, entry), authority_wait);
    Value one = Value::object();
    one.set("resource", Value::string(entry.where));
    one.set("names", to_list(names));
    one.set("state", Value::string(describe_service(names)));
    one.set("until", text_or_null(service.until ? time_text(to_ms(*service.until)) : ""));
    one.set("names_without", to_list(service.without));
    one.set("next_try", Value::string(time_text(to_ms(next))));
    one.set("last_error", text_or_null(entry.last_error));
    list.items().push_back(std::move(one));
  }
  return list;
}

}  // namespace moongate::control
