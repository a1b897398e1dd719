// SPDX-License-Identifier: Apache-2.0
#include "redis/client.h"

#include <algorithm>

#include "base/log.h"

namespace moongate::redis {

using base::Clock;
using base::ErrorKind;
using base::Result;

namespace {

constexpr auto kRefreshPause = std::chrono::seconds(1);

base::Error failure(ErrorKind kind, std::string detail) {
  return base::Error{kind, base::Side::kUpstream, false, std::move(detail)};
}

}  // namespace

// --- runs

Run::Run(Client& client, Job job)
    : client_(client.weak_from_this()), job_(std::move(job)), outcome_(Reply{}), timer_(on_limit, this) {
  if (!job_.input.keys.empty()) slot_ = slot_of(job_.input.keys.front());
}

void Run::on_limit(void* self) {
  const auto run = static_cast<Run*>(self)->shared_from_this();
  run->is_over_ = true;  // what note_overdue makes fail is not this run any more
  const auto connection = run->connection_.lock();
  if (connection) connection->note_overdue(run->job_.limit);
  const auto limit_ms = run->job_.limit / std::chrono::milliseconds(1);
  const std::string who = connection ? "redis " + connection->place().text() : "redis";
  run->finish(failure(ErrorKind::kTimeout, who + ": no answer within " + std::to_string(limit_ms) + " ms"));
}

void Run::finish(Result<Reply> outcome) {
  is_over_ = true;
  timer_.stop();
  outcome_ = std::move(outcome);
  const auto on_over = std::move(on_over_);
  on_over_ = nullptr;
  if (on_over) on_over();
}

void Run::send() {
  const auto client = client_.lock();
  if (!client) return finish(failure(ErrorKind::kClosed, "redis: nobody uses this server any more"));
  Result<void> sent;
  do {
    auto connection = connection_.lock();
    if (!connection) connection = client->choose(slot_);
    connection_ = connection;
    Connection::Question question;
    if (is_asking_) {
      question.bytes = format_command({"ASKING"});
      question.skipped = 1;
    }
    question.bytes += format_script(*job_.script, job_.input, is_whole_);
    question.on_answer = [run = shared_from_this()](Result<Reply> result) {
      if (!run->is_over_) run->take(std::move(result));
    };
    sent = connection->ask(std::move(question), job_.limit);
    if (sent) return;
    connection_.reset();
    is_asking_ = false;
  } while (client->options_.is_cluster && sent.error().is_retryable && ++hops_ < kHopsMax);
  finish(sent.error());
}

void Run::take(Result<Reply> result) {
  const auto client = client_.lock();
  if (!result) {
    const bool is_other_possible = client && client->options_.is_cluster && result.error().is_retryable;
    if (!is_other_possible || ++hops_ >= kHopsMax) return finish(std::move(result));
    connection_.reset();
    is_asking_ = false;
    return send();
  }
  if (!result->is_error()) return finish(std::move(result));
  if (result->is_error_of("NOSCRIPT") && !is_whole_) {
    is_whole_ = true;
    return send();
  }
  const auto connection = connection_.lock();
  if (client && client->options_.is_cluster && connection) {
    const auto redirection = parse_redirection(result->text, connection->place().host);
    if (redirection && ++hops_ < kHopsMax && follow(*redirection)) return send();
  }
  finish(std::move(result));
}

bool Run::follow(const Redirection& redirection) {
  const auto client = client_.lock();
  const auto target = client ? client->find_or_add(redirection.place) : nullptr;
  if (!target) return false;
  if (redirection.is_lasting) client->note_owner(redirection.slot, target);
  connection_ = target;
  is_asking_ = !redirection.is_lasting;
  is_whole_ = false;
  return true;
}

// --- servers

std::shared_ptr<Client> Client::make(net::EventLoop& loop, net::Resolver* resolver, ClientOptions options) {
  return std::make_shared<Client>(loop, resolver, std::move(options));
}

Client::Client(net::EventLoop& loop, net::Resolver* resolver, ClientOptions options)
    : loop_(loop), resolver_(resolver), options_(std::move(options)) {
  MG_ASSERT(!options_.places.empty());
  for (const Place& place : options_.places) find_or_add(place);
  if (options_.is_cluster) owners_.resize(kSlotCount);
}

std::shared_ptr<Run> Client::start(Run::Job job) {
  auto run = std::make_shared<Run>(*this, std::move(job));
  run->timer_.start(loop_.timers(), run->job_.limit);
  run->send();
  return run;
}

std::shared_ptr<Connection> Client::find_or_add(const Place& place) {
  for (const auto& server : servers_) {
    if (server->place() == place) return server;
  }
  if (servers_.size() >= kServersMax) return nullptr;
  servers_.push_back(std::make_shared<Connection>(loop_, resolver_, place, options_.access));
  return servers_.back();
}

// Who does not own the slot says who does: any server that works will do.
std::shared_ptr<Connection> Client::choose(uint16_t slot) {
  if (!options_.is_cluster) return servers_.front();
  auto owner = owners_[slot].lock();
  if (owner && !owner->is_down()) return owner;
  for (size_t i = 0; i < servers_.size(); i++) {
    const auto& server = servers_[next_server_++ % servers_.size()];
    if (!server->is_down()) return server;
  }
  return owner ? owner : servers_.front();
}

void Client::note_owner(uint16_t slot, const std::shared_ptr<Connection>& owner) {
  owners_[slot] = owner;
  if (Clock::steady() < refresh_after_) return;
  refresh_after_ = Clock::steady() + kRefreshPause;
  refresh_slots(owner);
}

// One slot has moved, so others will have: asks for all of them at once. Until the answer is there, and if
// there is none, each slot's first command finds its server by a redirection.
void Client::refresh_slots(const std::shared_ptr<Connection>& asked) {
  Connection::Question question;
  question.bytes = format_command({"CLUSTER", "SLOTS"});
  question.on_answer = [weak = weak_from_this(), host = asked->place().host](const Result<Reply>& result) {
    const auto client = weak.lock();
    if (!client) return;
    auto ranges = result ? parse_slots(*result, host) : Result<std::vector<SlotRange>>(result.error());
    if (ranges)
      client->take_slots(*ranges);
    else
      MG_LOG(kWarn) << "redis cluster: " << ranges.error().detail;
  };
  [[maybe_unused]] const auto sent = asked->ask(std::move(question), std::chrono::seconds(1));
}

// Servers that own nothing any more go, unless the configuration names them or they still have to answer.
void Client::take_slots(const std::vector<SlotRange>& ranges) {
  std::vector<std::shared_ptr<Connection>> owning;
  for (const SlotRange& range : ranges) {
    const auto owner = find_or_add(range.owner);
    if (!owner || range.last < range.first) continue;
    owning.push_back(owner);
    std::fill(owners_.begin() + range.first, owners_.begin() + range.last + 1, owner);
  }
  std::erase_if(servers_, [&](const std::shared_ptr<Connection>& server) {
    const auto& places = options_.places;
    return server->is_quiet() && std::find(places.begin(), places.end(), server->place()) == places.end() &&
           std::find(owning.begin(), owning.end(), server) == owning.end();
  });
}

}  // namespace moongate::redis
