// SPDX-License-Identifier: Apache-2.0
// Asks etcd: chooses among its members, authenticates, tells a question that was not acted on from one of
// which nobody knows. What is asked is etcd_wire.h's, when and why etcd_store.h's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "config/settings.h"
#include "control/http_question.h"

namespace moongate::control {

/// Questions to one etcd.
///
/// Shape:   each question has a connection of its own; one member is asked until it fails, then the next.
/// Owner:   the store; destroying it ends all questions without a call.
/// Runs in: control's loop.
/// Fails:   a question with an error that is retryable when it certainly was not acted on.
class EtcdClient {
 public:
  struct Question {
    std::string path;  // "/v3/kv/range"
    std::string body;
    base::Duration deadline;
    size_t answer_max_bytes = 0;
    bool is_repeatable = true;                                 // asking twice does no harm
    std::function<bool(std::string_view)> on_piece = nullptr;  // see HttpQuestion
  };
  using Callback = std::function<void(base::Result<std::string>)>;
  using Id = uint64_t;

  /// Fails: when a file that `settings.tls` names cannot be used.
  static base::Result<std::unique_ptr<EtcdClient>> make(net::EventLoop& loop,
                                                        const config::EtcdSettings& settings,
                                                        const config::DnsSettings& dns);

  /// Names the question, for cancel(); `done` comes once, later.
  Id ask(Question question, Callback done);
  void cancel(Id id) { running_.erase(id); }
  /// The member that is asked.
  const std::string& endpoint() const { return settings_.host[host_]; }
  void use_next() { host_ = (host_ + 1) % settings_.host.size(); }
  /// The next question authenticates anew.
  void forget_token() { token_.clear(); }

 private:
  struct Running {
    Question question;
    Callback done;
    std::unique_ptr<HttpQuestion> asked;
    size_t hosts_tried = 0;
    bool has_new_token = false;
  };

  EtcdClient(net::EventLoop& loop, const config::EtcdSettings& settings) : loop_(loop), settings_(settings) {}
  base::Result<void> prepare_tls();
  void go_on(Id id);
  void send(Id id, HttpQuestion::Options options, void (EtcdClient::*take)(Id, base::Result<std::string>));
  void take_token(Id id, base::Result<std::string> answer);
  void take_answer(Id id, base::Result<std::string> answer);
  /// The error, when the answer is none of 200; and whether to ask again.
  base::Result<std::string> judge(Running& running, uint16_t status, base::Result<std::string> answer,
                                  bool* is_again);
  void conclude(Id id, base::Result<std::string> result);

  net::EventLoop& loop_;
  config::EtcdSettings settings_;
  std::unique_ptr<net::Resolver> resolver_;
  std::shared_ptr<const tls::ClientContext> tls_;
  std::shared_ptr<tls::SessionStore> sessions_ = std::make_shared<tls::SessionStore>();
  size_t host_ = 0;
  std::string token_;
  Id last_id_ = 0;
  std::map<Id, Running> running_;
};

}  // namespace moongate::control
