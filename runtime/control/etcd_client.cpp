// SPDX-License-Identifier: Apache-2.0
#include "control/etcd_client.h"

#include "base/file.h"
#include "control/etcd_wire.h"
#include "control/trusted_file.h"

namespace moongate::control {

using base::Result;

namespace {

constexpr size_t kTokenMaxBytes = 64 * 1024;
constexpr size_t kPemMaxBytes = size_t{1} << 20;

}  // namespace

Result<std::unique_ptr<EtcdClient>> EtcdClient::make(net::EventLoop& loop,
                                                     const config::EtcdSettings& settings,
                                                     const config::DnsSettings& dns) {
  std::unique_ptr<EtcdClient> client(new EtcdClient(loop, settings));
  auto resolver = net::Resolver::make(loop, {dns.hosts, dns.servers, dns.timeout});
  if (!resolver) return resolver.error();
  client->resolver_ = resolver.take();
  if (auto prepared = client->prepare_tls(); !prepared)
    return base::invalid("moongate.etcd.tls: " + prepared.error().detail);
  return client;
}

Result<void> EtcdClient::prepare_tls() {
  bool is_wanted = false;
  for (const std::string& host : settings_.host) is_wanted = is_wanted || host.starts_with("https://");
  if (!is_wanted) return {};
  const config::EtcdTls& tls = settings_.tls;
  tls::ClientOptions options;
  options.is_verifying = tls.verify;
  if (tls.verify) {
    Result<std::string> trusted = std::string();
    if (!tls.trusted_certificate.empty()) trusted = read_trusted_file(tls.trusted_certificate);
    if (!trusted) return trusted.error();
    auto trust = tls::TrustStore::make(*trusted);
    if (!trust) return trust.error();
    options.trust = trust.take();
  }
  if (!tls.cert.empty()) {
    Result<std::string> cert = base::read_file(tls.cert, kPemMaxBytes);
    if (!cert) return cert.error();
    Result<std::string> key = base::read_file(tls.key, kPemMaxBytes);
    if (!key) return key.error();
    options.certificate = {cert.take(), key.take()};
  }
  auto context = tls::ClientContext::make(options);
  if (!context) return context.error();
  tls_ = context.take();
  return {};
}

EtcdClient::Id EtcdClient::ask(Question question, Callback done) {
  const Id id = ++last_id_;
  running_.emplace(id, Running{std::move(question), std::move(done), nullptr});
  go_on(id);
  return id;
}

void EtcdClient::go_on(Id id) {
  const Question& question = running_.at(id).question;
  if (!settings_.user.empty() && token_.empty()) {
    HttpQuestion::Options login;
    login.url = endpoint() + "/v3/auth/authenticate";
    login.body = authentication_request(settings_.user, settings_.password);
    login.answer_max_bytes = kTokenMaxBytes;
    login.deadline = question.deadline;
    return send(id, std::move(login), &EtcdClient::take_token);
  }
  HttpQuestion::Options asked;
  asked.url = endpoint() + question.path;
  asked.body = question.body;
  asked.answer_max_bytes = question.answer_max_bytes;
  asked.deadline = question.deadline;
  if (!token_.empty()) asked.fields = "Authorization: " + token_ + "\r\n";
  asked.on_piece = question.on_piece;
  send(id, std::move(asked), &EtcdClient::take_answer);
}

void EtcdClient::send(Id id, HttpQuestion::Options options,
                      void (EtcdClient::*take)(Id, Result<std::string>)) {
  options.content_type = "application/json";
  options.takes_any_status = true;
  if (options.url.starts_with("https://")) {
    options.tls = tls_;
    options.peer = {settings_.tls.sni, sessions_};
  }
  running_.at(id).asked = std::make_unique<HttpQuestion>(
      loop_, *resolver_, options,
      [this, id, take](Result<std::string> answer) { (this->*take)(id, std::move(answer)); });
}

void EtcdClient::take_token(Id id, Result<std::string> answer) {
  Running& running = running_.at(id);
  const uint16_t status = running.asked->status();
  running.has_new_token = true;  // one that is refused at once is not asked for again
  bool is_again = false;
  Result<std::string> judged = judge(running, status, std::move(answer), &is_again);
  if (is_again) return go_on(id);
  // Nothing has been asked yet but who we are.
  const auto fail = [&](base::Error error) {
    error.is_retryable = true;
    conclude(id, std::move(error));
  };
  if (!judged) return fail(judged.error());
  Result<std::string> token = parse_token(*judged);
  if (!token) return fail(token.error());
  token_ = token.take();
  go_on(id);
}

void EtcdClient::take_answer(Id id, Result<std::string> answer) {
  Running& running = running_.at(id);
  const uint16_t status = running.asked->status();
  bool is_again = false;
  Result<std::string> judged = judge(running, status, std::move(answer), &is_again);
  if (is_again) return go_on(id);
  conclude(id, std::move(judged));
}

Result<std::string> EtcdClient::judge(Running& running, uint16_t status, Result<std::string> answer,
                                      bool* is_again) {
  if (!answer) {
    const bool is_too_large = answer.error().kind == base::ErrorKind::kLimit;
    const bool is_harmless = answer.error().is_retryable || running.question.is_repeatable;
    if (is_harmless && !is_too_large && ++running.hosts_tried < settings_.host.size()) {
      use_next();
      *is_again = true;
    }
    return answer;
  }
  if (status == 200) return answer;
  EtcdRefusal refusal = parse_refusal(status, *answer);
  if (refusal.is_of_token && !settings_.user.empty()) {
    token_.clear();
    *is_again = !std::exchange(running.has_new_token, true);
  }
  return base::Error{base::ErrorKind::kInvalid, base::Side::kUpstream, refusal.is_certain,
                     endpoint() + ": " + refusal.text};
}

void EtcdClient::conclude(Id id, Result<std::string> result) {
  auto running = running_.extract(id);
  running.mapped().done(std::move(result));
}

}  // namespace moongate::control
