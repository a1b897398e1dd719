// SPDX-License-Identifier: Apache-2.0
#include "redis/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "redis/command.h"

namespace moongate::redis {

using base::Clock;
using base::ErrorKind;
using base::Result;
using net::IoStatus;

namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr int kReadsPerTurn = 16;
constexpr auto kRetryFirst = std::chrono::milliseconds(50);
constexpr auto kRetryMax = std::chrono::seconds(1);
constexpr auto kAttemptMin = std::chrono::seconds(1);  // however short the questions' limits are
constexpr auto kSilenceMin = std::chrono::milliseconds(500);
constexpr auto kHeldMin = std::chrono::seconds(1);  // a connection that stood for less did not hold

char scratch[kReadBytes];  // one for the process: the reader copies its bytes at once

base::Duration retry_delay(uint32_t failures) {
  const base::Duration delay = base::Duration(kRetryFirst) * (int64_t{1} << std::min(failures - 1, 10u));
  return std::min(delay, base::Duration(kRetryMax));
}

}  // namespace

Connection::Connection(net::EventLoop& loop, net::Resolver* resolver, Place place, Access access)
    : loop_(loop),
      resolver_(resolver),
      place_(std::move(place)),
      access_(std::move(access)),
      lookup_(std::shared_ptr<const net::Resolver::Addresses>()),
      attempt_(on_attempt, this),
      flush_(on_flush, this),
      attempt_timer_(on_limit, this),
      retry_timer_(on_retry, this) {}

base::Error Connection::make_error(ErrorKind kind, const std::string& reason) const {
  return base::Error{kind, base::Side::kUpstream, false, "redis " + place_.text() + ": " + reason};
}

Result<void> Connection::ask(Question question, base::Duration limit) {
  limit_ = is_down_ ? std::max(limit_, limit) : limit;
  if (is_down_) {
    base::Error error = make_error(ErrorKind::kUnreachable, "down: " + reason_);
    error.is_retryable = true;
    return error;
  }
  base::ByteQueue& queue = state_ == State::kReady ? output_ : backlog_;
  if (calls_.size() >= kCallsMax || queue.size() + question.bytes.size() > kUnsentMaxBytes)
    return make_error(ErrorKind::kLimit, "too many questions wait for an answer");
  queue.append(question.bytes);
  calls_.push_back({question.skipped, std::move(question.on_answer)});
  if (state_ == State::kIdle)
    begin_attempt();
  else if (state_ == State::kReady)
    flush_.schedule(loop_);
  return {};
}

void Connection::note_overdue(base::Duration limit) {
  // A question's own impatience is no sign that the server does not answer the others.
  const base::Duration silence_max = std::max<base::Duration>(limit / 2, kSilenceMin);
  if (state_ == State::kReady && Clock::steady() - heard_at_ >= silence_max)
    lose(ErrorKind::kTimeout, "it does not answer");
}

// --- the beginning

base::Duration Connection::attempt_limit() const { return std::max<base::Duration>(limit_, kAttemptMin); }

void Connection::begin_attempt() {
  state_ = State::kResolving;
  attempt_timer_.start(loop_.timers(), attempt_limit());
  attempt_.schedule(loop_);  // what fails at once must not fail inside `ask`
}

void Connection::on_attempt(void* self) {
  const auto connection = static_cast<Connection*>(self)->shared_from_this();
  if (connection->state_ != State::kResolving) return;
  if (!connection->has_lookup_) return connection->resolve();
  connection->has_lookup_ = false;
  if (!connection->lookup_) return connection->fail_attempt(connection->lookup_.error().detail);
  connection->addresses_ = connection->lookup_.take();
  if (connection->addresses_->empty()) return connection->fail_attempt("its name has no address");
  connection->next_address_ = 0;
  connection->try_next_address();
}

// The outcome is looked at in a turn of its own: nobody may be told of a failure inside the resolver.
void Connection::resolve() {
  const auto note =
      [weak = weak_from_this()](const Result<std::shared_ptr<const net::Resolver::Addresses>>& result) {
        const auto connection = weak.lock();
        if (!connection || connection->state_ != State::kResolving) return;
        connection->lookup_ = result;
        connection->has_lookup_ = true;
        connection->attempt_.schedule(connection->loop_);
      };
  if (net::is_ip_literal(place_.host)) {
    auto address = net::make_ip_address(place_.host, place_.port);
    if (!address) return note(address.error());
    return note(std::make_shared<const net::Resolver::Addresses>(1, *address));
  }
  if (resolver_ == nullptr) return fail_attempt("there is no resolver for its name");
  resolver_->resolve(place_.host, note);
}

void Connection::try_next_address() {
  std::string reason;
  while (next_address_ < addresses_->size()) {
    auto address = net::make_ip_address(
        (*addresses_)[(first_address_ + next_address_++) % addresses_->size()].host_text(), place_.port);
    stream_.close();
    state_ = State::kConnecting;
    auto started = address ? stream_.start_connect(loop_, *address, on_stream_ready, this)
                           : Result<void>(address.error());
    if (started) return;
    reason = started.error().detail;
  }
  fail_attempt("connecting failed: " + reason);
}

void Connection::step_connect() {
  const int fault = stream_.finish_connect();
  if (fault != 0) {
    if (next_address_ < addresses_->size()) return try_next_address();
    return fail_attempt(std::string("connecting failed: ") + std::strerror(fault));
  }
  addresses_.reset();
  if (!access_.tls) return greet();
  const std::string& name = access_.tls_name.empty() ? place_.host : access_.tls_name;
  auto session = tls::Session::connect(stream_.socket(), access_.tls, {name, nullptr});
  if (!session) return fail_attempt("no memory for a TLS handshake");
  stream_.start_tls(std::move(session));
  state_ = State::kHandshaking;
  step_handshake();
}

void Connection::step_handshake() {
  const IoStatus status = stream_.handshake();
  if (status == IoStatus::kBlocked) return;
  if (status != IoStatus::kOk) return fail_attempt("the TLS handshake failed: " + describe_fault());
  greet();
}

// PING tells whether the server works: one that loads its data, has no room for us or wants a password says
// so here.
void Connection::greet() {
  state_ = State::kGreeting;
  greetings_ = 1;
  if (!access_.password.empty()) {
    greetings_++;
    output_.append(access_.username.empty() ? format_command({"AUTH", access_.password})
                                            : format_command({"AUTH", access_.username, access_.password}));
  }
  if (access_.database != 0) {
    greetings_++;
    output_.append(format_command({"SELECT", std::to_string(access_.database)}));
  }
  output_.append(format_command({"PING"}));
  write();
  if (state_ == State::kGreeting) read();
}

void Connection::take_greeting(const Reply& reply) {
  greetings_--;
  // Users who may run scripts and nothing else are welcome.
  const bool is_permitted = greetings_ > 0 || !reply.is_error_of("NOPERM");
  if (reply.is_error() && is_permitted) return fail_attempt("it refuses the connection: " + reply.text);
  if (greetings_ == 0) become_ready();
}

void Connection::become_ready() {
  state_ = State::kReady;
  attempt_timer_.stop();
  if (is_down_) MG_LOG(kNotice) << "redis " << place_.text() << ": back again";
  is_down_ = false;
  ready_since_ = heard_at_ = Clock::steady();
  output_.append(backlog_.view());
  backlog_.clear();
  flush_.schedule(loop_);
}

// --- questions and answers

void Connection::on_stream_ready(void* self) {
  const auto connection = static_cast<Connection*>(self)->shared_from_this();
  switch (connection->state_) {
    case State::kIdle:
    case State::kResolving:
      return;
    case State::kConnecting:
      return connection->step_connect();
    case State::kHandshaking:
      return connection->step_handshake();
    case State::kGreeting:
    case State::kReady:
      connection->write();
      if (connection->stream_.is_open()) connection->read();
  }
}

void Connection::on_flush(void* self) {
  const auto connection = static_cast<Connection*>(self)->shared_from_this();
  if (connection->state_ == State::kReady) connection->write();
}

void Connection::write() {
  while (!output_.is_empty() && stream_.may_write()) {
    const std::string_view rest = output_.view();
    const net::IoResult result = stream_.write(rest.data(), rest.size());
    if (result.status == IoStatus::kError)
      return lose(ErrorKind::kClosed, "sending failed: " + describe_fault());
    output_.consume(result.size);
  }
}

void Connection::read() {
  for (int reads = 0; stream_.is_open() && stream_.may_read(); reads++) {
    if (reads == kReadsPerTurn) return stream_.call_again();
    const net::IoResult result = stream_.read(scratch, kReadBytes);
    if (result.status == IoStatus::kBlocked) return;
    if (result.status == IoStatus::kEof) return lose(ErrorKind::kClosed, "it closed the connection");
    if (result.status == IoStatus::kError)
      return lose(ErrorKind::kClosed, "receiving failed: " + describe_fault());
    auto fed = reader_.feed({scratch, result.size});
    if (!fed) return lose(ErrorKind::kInvalid, fed.error().detail);
    take_replies();
  }
}

void Connection::take_replies() {
  while (state_ == State::kGreeting || state_ == State::kReady) {
    auto taken = reader_.take();
    if (!taken) return lose(ErrorKind::kInvalid, taken.error().detail);
    if (*taken == nullptr) return;
    if (state_ == State::kGreeting)
      take_greeting(**taken);
    else
      deliver(std::move(**taken));
  }
}

void Connection::deliver(Reply reply) {
  if (calls_.empty()) return lose(ErrorKind::kInvalid, "it answers what nobody asked");
  heard_at_ = Clock::steady();
  if (calls_.front().skipped > 0) {
    calls_.front().skipped--;
    return;
  }
  const Callback on_answer = std::move(calls_.front().on_answer);
  calls_.pop_front();
  // A server that became a replica: its name may lead elsewhere by now.
  const bool is_replica = reply.is_error_of("READONLY");
  on_answer(std::move(reply));
  if (is_replica && state_ == State::kReady)
    lose(ErrorKind::kUnreachable, "it is a replica and takes no writes");
}

// --- the end

std::string Connection::describe_fault() const {
  const tls::Session* session = stream_.session();
  return session ? session->describe_failure() : std::strerror(errno);
}

void Connection::lose(ErrorKind kind, std::string reason) {
  const bool has_held =
      state_ == State::kReady && kind == ErrorKind::kClosed && Clock::steady() - ready_since_ >= kHeldMin;
  base::Error error = make_error(kind, reason);
  error.is_retryable = state_ != State::kReady;
  const bool was_down = is_down_;
  state_ = State::kIdle;
  stream_.close();
  attempt_timer_.stop();
  attempt_.cancel();
  flush_.cancel();
  has_lookup_ = false;
  addresses_.reset();
  reader_.reset();
  output_.clear();
  backlog_.clear();
  reason_ = std::move(reason);
  failures_ = has_held ? 0 : failures_ + 1;
  is_down_ = !has_held;
  if (is_down_) retry_timer_.start(loop_.timers(), retry_delay(failures_));
  if (is_down_ && !was_down) MG_LOG(kError) << error.detail << "; trying again, and refusing what needs it";
  fail_calls(error);
}

void Connection::fail_calls(const base::Error& error) {
  std::deque<Call> failed;
  failed.swap(calls_);
  for (Call& call : failed) call.on_answer(error);
}

void Connection::on_limit(void* self) {
  const auto connection = static_cast<Connection*>(self)->shared_from_this();
  // An address that swallows what is sent to it must not keep the next attempt from the others.
  if (connection->state_ == State::kConnecting) connection->first_address_ += connection->next_address_;
  connection->lose(ErrorKind::kTimeout,
                   "connecting took longer than " +
                       std::to_string(connection->attempt_limit() / std::chrono::milliseconds(1)) + " ms");
}

void Connection::on_retry(void* self) {
  auto* connection = static_cast<Connection*>(self);
  if (connection->state_ == State::kIdle) connection->begin_attempt();
}

}  // namespace moongate::redis
