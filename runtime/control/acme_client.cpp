// SPDX-License-Identifier: Apache-2.0
#include "control/acme_client.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "control/one_line.h"
#include "tls/private_key.h"

namespace moongate::control {

using base::Duration;
using base::Result;
using base::Value;

namespace {

constexpr size_t kAnswerMaxBytes = 256 * 1024;
constexpr size_t kOfferMaxBytes = 50'000;  // of the lines, which go to the workers in one message
constexpr auto kQuestionDeadline = std::chrono::seconds(30);
constexpr auto kDeadline = std::chrono::minutes(10);
constexpr int kNoncesRefusedMax = 20;
constexpr int kPollsMax = 100;
constexpr Duration kFirstPoll = std::chrono::milliseconds(250);
constexpr Duration kLastPoll = std::chrono::seconds(10);
constexpr Duration kPollWaitMax = std::chrono::minutes(1);
constexpr Duration kFirstRepeat = std::chrono::seconds(1);
constexpr Duration kLastRepeat = std::chrono::seconds(30);
constexpr Duration kRepeatWaitMax = std::chrono::minutes(1);  // a longer one ends the order
constexpr int kEarlyRepeatsMax = 3;     // of a question before there is an order: nothing is lost
constexpr int kRepeatsMax = 30;         // of a question of the order
constexpr int kAnsweredRepeatsMax = 6;  // and where the authority is there, but cannot

/// What helps against a refusal, where that is known.
std::string_view remedy_of(std::string_view type) {
  if (type == "externalAccountRequired") return "; set moongate.acme.external_account";
  if (type == "rateLimited") return "; it is asked again when it allows";
  if (type == "rejectedIdentifier" || type == "unsupportedIdentifier")
    return "; take the name out of the resource's snis, or give cert and key";
  if (type == "caa") return "; add the authority to the domain's CAA records";
  if (type == "unsupportedContact" || type == "invalidContact") return "; mend moongate.acme.contact";
  return "";
}

}  // namespace

AcmeClient::AcmeClient(net::EventLoop& loop, net::Resolver& resolver, Options options, Callbacks callbacks)
    : loop_(loop),
      resolver_(resolver),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      later_timer_(
          [](void* self) {
            auto* client = static_cast<AcmeClient*>(self);
            (client->*client->later_)();
          },
          this),
      deadline_(
          [](void* self) {
            auto* client = static_cast<AcmeClient*>(self);
            client->fail("the order took more than 10 minutes" +
                         (client->last_trouble_.empty() ? "" : "; " + client->last_trouble_));
          },
          this),
      over_(
          [](void* self) {
            auto* client = static_cast<AcmeClient*>(self);
            const auto tell = std::move(client->callbacks_.on_over);
            tell(std::move(client->outcome_));
          },
          this) {
  deadline_.start(loop_.timers(), kDeadline);
  get(options_.settings.directory, &AcmeClient::take_directory);
}

// --- questions

void AcmeClient::get(const std::string& url, Take take) {
  is_signed_ = false;
  begin_question(url, take);
}

void AcmeClient::post(const std::string& url, std::string payload, Take take) {
  is_signed_ = true;
  payload_ = std::move(payload);
  begin_question(url, take);
}

void AcmeClient::begin_question(const std::string& url, Take take) {
  url_ = url;
  take_ = take;
  nonces_refused_ = 0;
  repeats_ = 0;
  ask();
}

/// For the first time, or again.
void AcmeClient::ask() {
  is_asking_nonce_ = is_signed_ && nonce_.empty();  // the first one, and where the last answer brought none
  if (is_asking_nonce_) return send(http::Method::kHead, directory_.new_nonce, "");
  if (!is_signed_) return send(http::Method::kGet, url_, "");
  Result<std::string> body =
      sign_acme({options_.account_key, account_}, std::exchange(nonce_, ""), url_, payload_);
  if (!body) return fail("the account's key: " + body.error().detail);
  send(http::Method::kPost, url_, body.take());
}

void AcmeClient::send(http::Method method, const std::string& url, std::string body) {
  HttpQuestion::Options options{.url = url,
                                .content_type = "application/jose+json",
                                .body = std::move(body),
                                .answer_max_bytes = kAnswerMaxBytes,
                                .deadline = kQuestionDeadline,
                                .method = method};
  options.fields = "User-Agent: Moongate\r\nAccept: application/json, application/pem-certificate-chain\r\n";
  options.tls = options_.tls;
  options.takes_any_status = true;
  question_ = std::make_unique<HttpQuestion>(
      loop_, resolver_, options, [this](Result<std::string> answer) { on_answer(std::move(answer)); });
}

void AcmeClient::on_answer(Result<std::string> answer) {
  const std::unique_ptr<HttpQuestion> asked = std::move(question_);
  retry_after_ = Duration(0);
  if (!answer) {
    const base::Error& error = answer.error();
    const bool may_pass = error.kind != base::ErrorKind::kInvalid && error.kind != base::ErrorKind::kLimit;
    if (!may_pass || !ask_again_later(error.detail)) fail(error.detail);
    return;
  }
  if (const std::string_view nonce = asked->find_field("replay-nonce"); !nonce.empty()) nonce_ = nonce;
  location_ = asked->find_field("location");
  retry_after_ =
      parse_retry_after(asked->find_field("retry-after"), base::Clock::wall()).value_or(Duration(0));
  if (asked->status() >= 300) return on_problem(asked->status(), *answer);
  last_trouble_.clear();
  if (!is_asking_nonce_) return (this->*take_)(*answer);
  if (nonce_.empty()) return fail(directory_.new_nonce + ": the authority gives no nonce");
  ask();
}

void AcmeClient::on_problem(uint16_t status, const std::string& body) {
  const AcmeProblem problem = parse_acme_problem(status, body);
  if (is_signed_ && problem.type == "badNonce" && ++nonces_refused_ <= kNoncesRefusedMax) return ask();
  const bool is_of_account = take_ == &AcmeClient::take_account;
  if (is_of_account && !is_making_account_ && problem.type == "accountDoesNotExist") return ask_account(true);
  std::string what = (is_asking_nonce_ ? directory_.new_nonce : url_) + ": " + problem.text();
  const bool is_limit = status == 429 || problem.type == "rateLimited";
  const bool is_fault = status >= 500 && status != 501 && repeats_ < kAnsweredRepeatsMax;
  const bool may_pass = is_limit ? retry_after_ > Duration(0) : is_fault;
  if (may_pass && ask_again_later(what)) return;
  // What was asked before may have been understood, and only the answer to it was lost.
  const bool is_again = repeats_ > 0 && !may_pass && !is_limit && !is_asking_nonce_;
  if (is_again && take_ == &AcmeClient::take_challenge) return take_challenge("");
  if (is_again && is_finalized_ && problem.type == "orderNotReady") return poll_order();
  const bool is_about_binding = problem.type == "unauthorized" || problem.type == "malformed" ||
                                problem.type == "externalAccountRequired";
  if (is_of_account && is_about_binding && !options_.settings.external_key_id.empty())
    what += "; check key_id and key of moongate.acme.external_account";
  else
    what += remedy_of(problem.type);
  outcome_.is_limited = is_limit || status == 503;
  // A limit that an order meets may be one of its names.
  outcome_.is_limited_for_all = outcome_.is_limited && (status == 503 || is_of_account || is_asking_nonce_ ||
                                                        take_ == &AcmeClient::take_directory);
  fail(what);
}

/// Whether the question is asked again, for what may pass; not when the authority wants too long a pause.
bool AcmeClient::ask_again_later(const std::string& trouble) {
  last_trouble_ = trouble;
  if (retry_after_ > kRepeatWaitMax || repeats_ == (order_.empty() ? kEarlyRepeatsMax : kRepeatsMax))
    return false;
  Duration wait = std::min(kFirstRepeat * (1 << std::min(repeats_, 6)), kLastRepeat);
  wait = std::max(wait, retry_after_);
  repeats_++;
  MG_LOG(kInfo) << "ACME: " << one_line(trouble) << "; it is asked again in "
                << std::chrono::duration_cast<std::chrono::seconds>(wait).count() << " s";
  later_ = &AcmeClient::ask;
  later_timer_.start(loop_.timers(), wait);
  return true;
}

// --- the account

void AcmeClient::take_directory(const std::string& body) {
  Result<AcmeDirectory> directory = parse_acme_directory(body);
  if (!directory) return fail(url_ + ": " + directory.error().detail);
  directory_ = directory.take();
  ask_account(false);
}

/// An account that is there already is asked for by its key alone: what made it may not be valid any more.
void AcmeClient::ask_account(bool is_new) {
  is_making_account_ = is_new;
  Value payload = Value::object();
  if (!is_new) {
    payload.set("onlyReturnExisting", Value::boolean(true));
    return post(directory_.new_account, base::to_json(payload), &AcmeClient::take_account);
  }
  const config::AcmeSettings& settings = options_.settings;
  payload.set("termsOfServiceAgreed", Value::boolean(true));
  Value& contact = payload.set("contact", Value::array());
  for (const std::string& address : settings.contact) contact.items().push_back(Value::string(address));
  if (settings.external_key_id.empty()) {
    if (directory_.needs_external_account)
      return fail(url_ + ": the authority makes accounts only for those it knows" +
                  std::string(remedy_of("externalAccountRequired")));
  } else {
    Result<Value> binding = bind_external_account(options_.account_key, settings.external_key_id,
                                                  settings.external_key, directory_.new_account);
    if (!binding) return fail(binding.error().detail);
    payload.set("externalAccountBinding", binding.take());
  }
  post(directory_.new_account, base::to_json(payload), &AcmeClient::take_account);
}

void AcmeClient::take_account(const std::string&) {
  if (location_.empty()) return fail(url_ + ": the authority does not say where the account is");
  account_ = location_;
  Value payload = Value::object();
  Value& list = payload.set("identifiers", Value::array());
  for (const std::string& name : options_.names) {
    Value one = Value::object();
    one.set("type", Value::string("dns"));
    one.set("value", Value::string(name));
    list.items().push_back(std::move(one));
  }
  post(directory_.new_order, base::to_json(payload), &AcmeClient::take_new_order);
}

// --- the order and its authorizations

void AcmeClient::take_new_order(const std::string& body) {
  Result<AcmeOrder> order = parse_acme_order(body);
  if (!order) return fail(url_ + ": " + order.error().detail);
  if (location_.empty()) return fail(url_ + ": the authority does not say where the order is");
  order_ = location_;
  known_ = order.take();
  ask_authorization();
}

void AcmeClient::ask_authorization() {
  if (next_authorization_ == known_.authorizations.size()) return offer();
  post(known_.authorizations[next_authorization_], "", &AcmeClient::take_authorization);
}

void AcmeClient::take_authorization(const std::string& body) {
  const Result<AcmeAuthorization> authorization = parse_acme_authorization(body);
  if (!authorization) return fail(url_ + ": " + authorization.error().detail);
  next_authorization_++;
  if (authorization->status == "valid") return ask_authorization();  // of an order before this one
  if (authorization->status != "pending")
    return fail("the authorization of " + authorization->name + " is " + authorization->status);
  if (authorization->url.empty())
    return fail("the authority offers no challenge http-01 for " + authorization->name +
                ", and no other is in this version; give cert and key");
  if (!is_acme_token(authorization->token)) return fail(url_ + ": its token is none");
  const Result<std::string> answer = key_authorization(options_.account_key, authorization->token);
  if (!answer) return fail("the account's key: " + answer.error().detail);
  challenges_.push_back({url_, authorization->url});
  lines_.append(authorization->token).append(" ").append(*answer).append("\n");
  ask_authorization();
}

void AcmeClient::offer() {
  if (challenges_.empty()) return poll_order();
  if (lines_.size() > kOfferMaxBytes) return fail("the authority's tokens are too long");
  callbacks_.on_offer(lines_);
}

void AcmeClient::go_on() { ask_challenge(); }

/// Tells the authority that it may look.
void AcmeClient::ask_challenge() {
  if (next_challenge_ < challenges_.size())
    return post(challenges_[next_challenge_].url, "{}", &AcmeClient::take_challenge);
  next_challenge_ = 0;
  polls_ = 0;
  poll_authorization();
}

void AcmeClient::take_challenge(const std::string&) {
  next_challenge_++;
  ask_challenge();
}

void AcmeClient::poll_authorization() {
  if (next_challenge_ < challenges_.size())
    return post(challenges_[next_challenge_].authorization, "", &AcmeClient::take_polled);
  polls_ = 0;
  poll_order();
}

void AcmeClient::take_polled(const std::string& body) {
  const Result<AcmeAuthorization> authorization = parse_acme_authorization(body);
  if (!authorization) return fail(url_ + ": " + authorization.error().detail);
  const AcmeAuthorization& told = *authorization;
  if (told.status == "pending") return poll_later(&AcmeClient::poll_authorization);
  if (told.status != "valid")
    return fail(told.name + ": " + (told.error.empty() ? "its authorization is " + told.status : told.error) +
                "; the authority must reach this gateway under http://" + told.name + "/ on port 80");
  next_challenge_++;
  polls_ = 0;
  poll_authorization();
}

void AcmeClient::poll_order() { post(order_, "", &AcmeClient::take_order); }

void AcmeClient::take_order(const std::string& body) {
  Result<AcmeOrder> order = parse_acme_order(body);
  if (!order) return fail(url_ + ": " + order.error().detail);
  known_ = order.take();
  if (known_.status == "ready" && !is_finalized_) return finalize();
  if (known_.status == "valid" && !known_.certificate.empty())
    return post(known_.certificate, "", &AcmeClient::take_chain);
  if (known_.status == "invalid")
    return fail(known_.error.empty() ? "the order became invalid" : "the order: " + known_.error);
  poll_later(&AcmeClient::poll_order);
}

void AcmeClient::finalize() {
  const Result<std::string> request = tls::make_certificate_request(options_.key, options_.names);
  if (!request) return fail("the certificate's key: " + request.error().detail);
  is_finalized_ = true;
  Value payload = Value::object();
  payload.set("csr", Value::string(to_url_base64(*request)));
  post(known_.finalize, base::to_json(payload), &AcmeClient::take_order);
}

void AcmeClient::take_chain(const std::string& body) { finish(body); }

/// Sooner at first than the authority's own word, which is in whole seconds and often none.
void AcmeClient::poll_later(void (AcmeClient::*poll)()) {
  if (++polls_ > kPollsMax) return fail(url_ + ": it does not come to an end");
  Duration wait = std::min(kFirstPoll * (1 << std::min(polls_ - 1, 6)), kLastPoll);
  wait = std::max(wait, std::min(retry_after_, kPollWaitMax));
  later_ = poll;
  later_timer_.start(loop_.timers(), wait);
}

void AcmeClient::fail(const std::string& what) {
  constexpr size_t kReasonMaxBytes = 1000;
  finish(base::Error{base::ErrorKind::kInvalid, base::Side::kUpstream, false,
                     one_line(what.substr(0, kReasonMaxBytes))});
}

void AcmeClient::finish(Result<std::string> chain) {
  if (is_over_) return;
  is_over_ = true;
  question_.reset();
  later_timer_.stop();
  deadline_.stop();
  outcome_.chain = std::move(chain);
  outcome_.retry_after = retry_after_;
  over_.schedule(loop_);
}

}  // namespace moongate::control
