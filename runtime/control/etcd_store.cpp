// SPDX-License-Identifier: Apache-2.0
#include "control/etcd_store.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"

namespace moongate::control {

using base::Result;

namespace {

constexpr size_t kPageEntries = 500;
constexpr size_t kAnswerMaxBytes = size_t{16} << 20;
constexpr size_t kReadMaxBytes = size_t{256} << 20;
constexpr auto kProbePeriod = std::chrono::seconds(5);
constexpr auto kWriteDeadlineMax = std::chrono::seconds(10);
constexpr auto kFirstRetry = std::chrono::milliseconds(100);
constexpr auto kLastRetry = std::chrono::seconds(5);

}  // namespace

EtcdStore::EtcdStore(net::EventLoop& loop, config::EtcdSettings settings, Callbacks callbacks)
    : loop_(loop),
      settings_(std::move(settings)),
      callbacks_(std::move(callbacks)),
      retry_([](void* self) { static_cast<EtcdStore*>(self)->connect(); }, this),
      probe_timer_([](void* self) { static_cast<EtcdStore*>(self)->probe(); }, this),
      random_(std::random_device{}()),
      page_limit_(kPageEntries),
      cutter_(kAnswerMaxBytes) {}

Result<std::unique_ptr<EtcdStore>> EtcdStore::make(net::EventLoop& loop, const config::EtcdSettings& settings,
                                                   const config::DnsSettings& dns, Callbacks callbacks) {
  std::unique_ptr<EtcdStore> store(new EtcdStore(loop, settings, std::move(callbacks)));
  auto client = EtcdClient::make(loop, settings, dns);
  if (!client) return client.error();
  store->client_ = client.take();
  return store;
}

EtcdClient::Question EtcdStore::question(const char* path, std::string body) const {
  return {path, std::move(body), settings_.timeout, kAnswerMaxBytes};
}

void EtcdStore::connect() {
  if (watched_revision_ == 0)
    read_all();
  else
    watch();
}

SharedNews EtcdStore::take_news() {
  SharedNews news = std::move(news_);
  news_ = {};
  news.revision = watched_revision_;
  return news;
}

// ---------------------------------------------------------------- reading all there is

void EtcdStore::read_all() {
  state_ = State::kReading;
  read_ = {};
  read_bytes_ = 0;
  next_key_.clear();
  is_reading_keys_only_ = false;
  read_page();
}

void EtcdStore::read_page() {
  const size_t limit = is_reading_keys_only_ ? 1 : page_limit_;
  const EtcdPageQuestion page{settings_.prefix, next_key_, limit, read_.revision, is_reading_keys_only_};
  session_ = client_->ask(question("/v3/kv/range", page_request(page)),
                          [this](Result<std::string> answer) { take_page(std::move(answer)); });
}

void EtcdStore::take_page(Result<std::string> answer) {
  session_ = 0;
  if (!answer) return take_page_error(answer.error());
  const Result<EtcdPage> page = parse_page(*answer, is_reading_keys_only_);
  if (!page) return lose(client_->endpoint() + ": " + page.error().detail);
  if (read_.revision == 0) read_.revision = page->revision;
  (void)is_of_another_cluster(page->cluster_id);
  is_reading_keys_only_ = false;
  for (const EtcdEntry& entry : page->entries) {
    if (!add_read(entry)) return;
  }
  if (page->has_more && !page->entries.empty()) {
    next_key_ = page->entries.back().key + '\0';
    return read_page();
  }
  page_limit_ = kPageEntries;
  watched_revision_ = read_.revision;
  revision_ = read_.revision;
  news_ = std::exchange(read_, {});
  news_.is_whole = true;
  watch();
  callbacks_.on_news();
}

/// A page that is too large is asked for in smaller ones; an entry that is too large by itself, without its
/// value.
void EtcdStore::take_page_error(const base::Error& error) {
  if (error.kind == base::ErrorKind::kLimit && !is_reading_keys_only_) {
    is_reading_keys_only_ = page_limit_ == 1;
    page_limit_ = std::max<size_t>(page_limit_ / 8, 1);
    return read_page();
  }
  lose(error.detail);
}

/// False when there is more than can be had.
bool EtcdStore::add_read(const EtcdEntry& entry) {
  const auto key = resource_of(settings_.prefix, entry.key);
  if (!key) return true;
  read_bytes_ += entry.key.size() + entry.value.size();
  read_.changes[*key] = change_of(entry);
  const bool is_too_much = read_.changes.size() > ResourceStore::kResourcesMax || read_bytes_ > kReadMaxBytes;
  if (is_too_much)
    lose(client_->endpoint() + ": there is more below " + settings_.prefix +
         " than the 200000 resources of 256 MB that a gateway takes");
  return !is_too_much;
}

SharedChange EtcdStore::change_of(const EtcdEntry& entry) {
  if (entry.is_deleted) return {std::nullopt, entry.mod_revision};
  StoredResource value;
  value.created_index = entry.create_revision;
  value.modified_index = entry.mod_revision;
  const Result<base::Value> parsed = base::parse_json(entry.value);
  if (entry.is_too_large)
    value.fault = "the value in etcd is larger than 1.5 MB";
  else if (!parsed)
    value.fault = "the value in etcd is no JSON: " + parsed.error().detail;
  else if (!parsed->is_object())
    value.fault = "the value in etcd is no JSON object";
  else
    value.json = entry.value;
  return {std::move(value), entry.mod_revision};
}

// ---------------------------------------------------------------- being told of changes

void EtcdStore::watch() {
  cutter_ = EtcdMessageCutter(kAnswerMaxBytes);
  fragment_revision_ = 0;
  watch_fault_.clear();
  is_history_lost_ = false;
  EtcdClient::Question asked = question("/v3/watch", watch_request(settings_.prefix, watched_revision_ + 1));
  asked.deadline = settings_.watch_timeout;
  asked.is_repeatable = false;  // another one begins where this one ends
  asked.on_piece = [this](std::string_view piece) {
    const auto fed = cutter_.feed(piece, [this](std::string_view message) { return take_message(message); });
    if (!fed) watch_fault_ = fed.error().detail;
    return watch_fault_.empty() && !is_history_lost_;
  };
  session_ = client_->ask(std::move(asked), [this](const Result<std::string>& answer) {
    session_ = 0;
    if (is_history_lost_) return read_all();
    if (!watch_fault_.empty()) return lose(client_->endpoint() + ": " + watch_fault_);
    // A watch of which nothing was heard for long is no sign that anything is wrong.
    const bool is_silence = !answer && answer.error().kind == base::ErrorKind::kTimeout && is_watching();
    if (is_silence) return watch();
    lose(answer ? client_->endpoint() + ": the watch ended" : answer.error().detail);
  });
}

/// False when the watch is over by that.
bool EtcdStore::take_message(std::string_view message) {
  const Result<EtcdNews> news = parse_news(message);
  if (!news) {
    watch_fault_ = news.error().detail;
    return false;
  }
  if (news->compact_revision != 0 || is_of_another_cluster(news->cluster_id)) {
    MG_LOG(kNotice) << "etcd does not have what changed since revision " << watched_revision_
                    << "; all of it is read again";
    is_history_lost_ = true;
    return false;
  }
  if (!news->end.empty()) {
    client_->forget_token();  // it may be that this one is not good any more
    watch_fault_ = news->end;
    return false;
  }
  revision_ = std::max(revision_, news->revision);
  if (news->is_created) on_watching();
  add_news(*news);
  return true;
}

/// An etcd that was set up anew counts its revisions from the beginning.
bool EtcdStore::is_of_another_cluster(const std::string& id) {
  if (id.empty() || id == cluster_id_) return false;
  return !std::exchange(cluster_id_, id).empty();
}

void EtcdStore::add_news(const EtcdNews& news) {
  for (const EtcdEntry& entry : news.entries) {
    fragment_revision_ = std::max(fragment_revision_, entry.mod_revision);
    const auto key = resource_of(settings_.prefix, entry.key);
    if (key && entry.mod_revision > watched_revision_) news_.changes[*key] = change_of(entry);
  }
  if (news.is_fragment) return;
  // Without an event it tells how far the watch has come; at its beginning it does not.
  const uint64_t reached = news.entries.empty() && !news.is_created ? news.revision : fragment_revision_;
  watched_revision_ = std::max(watched_revision_, reached);
  fragment_revision_ = 0;
  if (has_news()) callbacks_.on_news();
}

void EtcdStore::on_watching() {
  state_ = State::kWatching;
  failures_ = 0;
  fault_.clear();
  probe_timer_.start(loop_.timers(), kProbePeriod);
  const bool was_away = std::exchange(is_away_, false);
  if (!std::exchange(has_watched_, true) || was_away) callbacks_.on_state();
}

/// A watch alone does not tell an etcd that has nothing to say from one that is not there.
void EtcdStore::probe() {
  EtcdClient::Question asked = question("/v3/kv/range", probe_request(settings_.prefix));
  asked.deadline = std::min<base::Duration>(settings_.timeout, kProbePeriod);
  probe_ = client_->ask(std::move(asked), [this](const Result<std::string>& answer) {
    probe_ = 0;
    if (!answer) return lose(answer.error().detail);
    const Result<EtcdPage> page = parse_page(*answer, true);
    if (!page) return lose(client_->endpoint() + ": " + page.error().detail);
    if (page->revision < watched_revision_) {
      watched_revision_ = 0;
      return lose(client_->endpoint() +
                  ": its revisions are behind those it had; it was put back or set up anew");
    }
    revision_ = std::max(revision_, page->revision);
    probe_timer_.start(loop_.timers(), kProbePeriod);
  });
}

void EtcdStore::lose(const std::string& reason) {
  probe_timer_.stop();
  client_->cancel(std::exchange(session_, 0));
  client_->cancel(std::exchange(probe_, 0));
  client_->use_next();
  state_ = State::kAway;
  fault_ = reason;
  const auto longest =
      std::min<base::Duration>(kFirstRetry * (1U << std::min(failures_, 6U)), base::Duration(kLastRetry));
  failures_++;
  // Gateways that lost it together do not come back together.
  retry_.start(loop_.timers(), longest / 2 + longest / 2 / 1000 * static_cast<int64_t>(random_() % 1000));
  if (!std::exchange(is_away_, true)) callbacks_.on_state();
}

// ---------------------------------------------------------------- writing

void EtcdStore::write(std::vector<EtcdTransaction> transactions, std::function<void(SharedOutcome)> done) {
  MG_ASSERT(write_ == nullptr);
  write_ = std::make_unique<Write>(Write{std::move(transactions), std::move(done), {}});
  go_on_writing();
}

void EtcdStore::go_on_writing() {
  using Kind = SharedOutcome::Kind;
  const size_t made = write_->outcome.revisions.size();
  if (made == write_->transactions.size()) return end_write(Kind::kMade, "");
  if (ask_for_lease()) return;
  for (EtcdCompare& compare : write_->transactions[made].compares) {  // our own are no news
    if (made > 0 && compare.kind == EtcdCompare::Kind::kNothingNewer)
      compare.revision = std::max(compare.revision, write_->outcome.revisions.back());
  }
  EtcdClient::Question asked = question("/v3/kv/txn", transaction_request(write_->transactions[made]));
  asked.deadline = std::min<base::Duration>(settings_.timeout, kWriteDeadlineMax);
  asked.is_repeatable = false;
  client_->ask(std::move(asked), [this](const Result<std::string>& answer) {
    if (!answer)
      return end_write(answer.error().is_retryable ? Kind::kRefused : Kind::kUnknown, answer.error().detail);
    const Result<EtcdVerdict> verdict = parse_verdict(*answer);
    if (!verdict) return end_write(Kind::kUnknown, verdict.error().detail);
    if (!verdict->is_made) return end_write(Kind::kConflict, "");
    write_->outcome.revisions.push_back(verdict->revision);
    revision_ = std::max(revision_, verdict->revision);
    go_on_writing();
  });
}

/// What is to go by itself needs a lease first.
bool EtcdStore::ask_for_lease() {
  auto& operations = write_->transactions[write_->outcome.revisions.size()].operations;
  const auto needy = std::find_if(operations.begin(), operations.end(), [](const EtcdOperation& operation) {
    return operation.ttl_s != 0 && operation.lease_id.empty();
  });
  if (needy == operations.end()) return false;
  EtcdClient::Question asked = question("/v3/lease/grant", lease_request(needy->ttl_s));
  asked.deadline = std::min<base::Duration>(settings_.timeout, kWriteDeadlineMax);
  client_->ask(std::move(asked),
               [this, place = needy - operations.begin()](const Result<std::string>& answer) {
                 Result<std::string> lease = answer ? parse_lease(*answer) : answer;
                 // A lease that nothing hangs on goes by itself.
                 if (!lease) return end_write(SharedOutcome::Kind::kRefused, lease.error().detail);
                 auto& again = write_->transactions[write_->outcome.revisions.size()].operations;
                 again[static_cast<size_t>(place)].lease_id = lease.take();
                 go_on_writing();
               });
  return true;
}

void EtcdStore::end_write(SharedOutcome::Kind kind, std::string reason) {
  const std::unique_ptr<Write> write = std::move(write_);
  write->outcome.kind = kind;
  write->outcome.reason = std::move(reason);
  write->done(std::move(write->outcome));
}

}  // namespace moongate::control
