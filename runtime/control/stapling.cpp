// SPDX-License-Identifier: Apache-2.0
#include "control/stapling.h"

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"

namespace moongate::control {

using base::Clock;
using base::Duration;
using base::Result;
using base::WallTime;

namespace {

constexpr auto kDeadline = std::chrono::seconds(15);
constexpr auto kFirstRetry = std::chrono::seconds(30);
constexpr auto kLastRetry = std::chrono::hours(1);
constexpr auto kLookAtLeast = std::chrono::minutes(1);  // the calendar may be set meanwhile
constexpr std::string_view kSuffix = ".der";

std::string file_name(const std::string& key) { return base::to_hex(key).append(kSuffix); }

}  // namespace

Stapling::Stapling(net::EventLoop& loop, const std::string& directory, std::function<void()> on_change)
    : loop_(loop),
      folder_(directory + "/ocsp"),
      on_change_(std::move(on_change)),
      timer_([](void* self) { static_cast<Stapling*>(self)->go_on(); }, this),
      random_(std::random_device{}()) {}

std::string Stapling::path_of(const std::string& key) const { return folder_ + "/" + file_name(key); }

void Stapling::set_snapshot(const snapshot::BlobView& view, const config::DnsSettings& dns) {
  const auto records = view.records_of(snapshot::RecordKind::kSsl);
  std::vector<std::pair<std::string, uint64_t>> prints;
  for (const snapshot::Record& record : records) prints.emplace_back(record.id, record.hash);
  if (prints == prints_) return;  // parsing thousands of certificates takes its time
  prints_ = std::move(prints);
  Entries entries;
  for (const snapshot::Record& record : records) add(record, &entries);
  const bool is_changed = !entries.empty() || !entries_.empty();
  entries_ = std::move(entries);
  if (!is_changed) return;
  if (!resolver_) {
    auto made = net::Resolver::make(loop_, {dns.hosts, dns.servers, dns.timeout});
    if (!made) {
      MG_LOG(kError) << "OCSP responders cannot be looked up: " << made.error().detail;
      return;
    }
    resolver_ = made.take();
  }
  resolver_->set_options({dns.hosts, dns.servers, dns.timeout});
  drop_files();
  on_change_();
  go_on();
}

void Stapling::add(const snapshot::Record& record, Entries* entries) {
  const Result<base::Value> body = base::parse_json(record.body);
  if (!body) return;
  const Result<config::Ssl> ssl = config::parse_ssl(*body);
  if (!ssl || ssl->is_client || !ssl->is_enabled) return;
  const std::string where = "ssls/" + std::string(record.id);
  for (const config::CertificatePair& pair : ssl->certificates) {
    const bool is_needed = tls::must_be_stapled(pair.cert);
    if (!ssl->ocsp_stapling.is_enabled) {
      if (is_needed)
        MG_LOG(kWarn) << where << ": the certificate must be stapled, and clients will refuse it; set "
                      << "ocsp_stapling.enabled";
      continue;
    }
    Result<tls::StapleSubject> subject = tls::StapleSubject::read(pair.cert);
    if (!subject) {
      MG_LOG(kWarn) << where << ": nothing is stapled: " << subject.error().detail;
      continue;
    }
    if (subject->responder_url.empty() && ssl->ocsp_stapling.file.empty()) {
      MG_LOG(kWarn) << where << ": nothing is stapled: the certificate names no OCSP responder, and "
                    << "ocsp_stapling.file no answer";
      continue;
    }
    Entry entry{where, ssl->ocsp_stapling, subject.take(), is_needed, {}, Clock::wall(), 0, nullptr};
    const std::string key = entry.subject.key;
    const auto known = entries_.find(key);
    if (known != entries_.end()) {
      entry.staple = std::move(known->second.staple);
      const bool is_as_it_was = entry.conf == known->second.conf && !known->second.asked;
      if (is_as_it_was && !entry.staple.response.empty()) entry.due = known->second.due;
    } else {
      load(entry);
    }
    entries->emplace(key, std::move(entry));
  }
}

/// What an earlier process has fetched serves until there is something newer.
void Stapling::load(Entry& entry) {
  const auto bytes = base::read_file(path_of(entry.subject.key), tls::kStapleSizeMaxBytes);
  if (!bytes) return;
  auto staple = tls::check_staple(entry.subject, *bytes, {Clock::wall(), !entry.conf.skip_verify});
  if (staple && staple->until != WallTime::max()) entry.staple = staple.take();
}

/// Of certificates that are not served any more.
void Stapling::drop_files() const {
  std::error_code error;
  std::vector<std::filesystem::path> known;
  for (const auto& [key, entry] : entries_) known.emplace_back(path_of(key));
  for (std::filesystem::directory_iterator at(folder_, error), end; !error && at != end;
       at.increment(error)) {
    if (std::find(known.begin(), known.end(), at->path()) == known.end() && at->path().extension() == kSuffix)
      std::filesystem::remove(at->path(), error);
  }
}

std::string Stapling::packed() const {
  std::vector<tls::Staple> staples;
  for (const auto& [key, entry] : entries_) {
    if (!entry.staple.response.empty()) staples.push_back(entry.staple);
  }
  return tls::Staples::pack(staples);
}

/// Asks whoever is due, as far as there is room, and comes again for the next.
void Stapling::go_on() {
  size_t asked = 0;
  for (const auto& [key, entry] : entries_) asked += entry.asked ? 1 : 0;
  Duration wait = kLookAtLeast;
  for (auto& [key, entry] : entries_) {
    if (entry.asked || asked >= kAskedMax) continue;
    if (entry.due <= Clock::wall()) {
      ask(entry);
      asked += entry.asked ? 1 : 0;
    }
    if (!entry.asked) wait = std::min(wait, entry.due - Clock::wall());
  }
  if (!entries_.empty()) timer_.start(loop_.timers(), wait);
}

void Stapling::ask(Entry& entry) {
  if (!entry.conf.file.empty())
    return take(entry, base::read_file(entry.conf.file, tls::kStapleSizeMaxBytes));
  const HttpQuestion::Options options{entry.subject.responder_url, "application/ocsp-request",
                                      entry.subject.request, tls::kStapleSizeMaxBytes, kDeadline};
  entry.asked = std::make_unique<HttpQuestion>(loop_, *resolver_, options,
                                               [this, &entry](const Result<std::string>& answer) {
                                                 const auto over = std::move(entry.asked);
                                                 take(entry, answer);
                                                 go_on();
                                               });
}

void Stapling::take(Entry& entry, const Result<std::string>& answer) {
  if (!answer) return note_failure(entry, answer.error());
  const WallTime now = Clock::wall();
  Result<tls::Staple> staple = tls::check_staple(entry.subject, *answer, {now, !entry.conf.skip_verify});
  if (!staple) return note_failure(entry, staple.error());
  const Duration ttl = std::chrono::seconds(entry.conf.cache_ttl);
  if (staple->until == WallTime::max()) staple->until = now + 2 * ttl;
  entry.due = now + vary(std::min(ttl, (staple->until - now) / 2));
  entry.failures = 0;
  if (staple->response == entry.staple.response) return;
  if (entry.staple.response.empty())
    MG_LOG(kNotice) << entry.where << ": an OCSP answer is stapled from now on";
  entry.staple = staple.take();
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (auto written = base::write_file(path_of(entry.subject.key), entry.staple.response); !written)
    MG_LOG(kError) << "the OCSP answer is not kept on disk: " << written.error().detail;
  on_change_();
}

void Stapling::note_failure(Entry& entry, const base::Error& error) {
  const WallTime now = Clock::wall();
  const bool is_revoked = error.kind == base::ErrorKind::kConflict;
  const bool had = entry.staple.until > now && !entry.staple.response.empty();
  const bool is_left = had && !is_revoked;
  entry.due = now + vary(std::min<Duration>(kFirstRetry * (1U << std::min(entry.failures, 7U)), kLastRetry));
  entry.failures++;
  const std::string_view outcome = is_left           ? "; the last answer is stapled while it holds"
                                   : entry.is_needed ? "; nothing is stapled, and clients will refuse the "
                                                       "certificate, which must be"
                                                     : "; nothing is stapled";
  MG_LOG(kWarn) << entry.where << ": no OCSP answer: " << error.detail << outcome;
  if (is_left || entry.staple.response.empty()) return;
  entry.staple = {};
  on_change_();
}

/// Up to a tenth shorter, so that certificates that came together are not asked for together for ever.
Duration Stapling::vary(Duration period) {
  return period - period / 1000 * static_cast<int64_t>(random_() % 100);
}

}  // namespace moongate::control
