// SPDX-License-Identifier: Apache-2.0
// One order of a certificate, from the authority's directory to the chain (RFC 8555). The protocol alone:
// which certificates are wanted and when is acme.h's business, what is written acme_wire.h's.
//
//   directory ─► nonce ─► account (found, or made) ─► order ─► each authorization ─► offer the tokens
//                                                                                        │ all workers answer
//        chain ◄─ order valid ◄─ finalize ◄─ order ready ◄─ authorizations valid ◄─ challenges
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/settings.h"
#include "control/acme_wire.h"
#include "control/http_question.h"

namespace moongate::control {

/// What became of an order.
struct AcmeOutcome {
  base::Result<std::string> chain{std::string()};  // PEM
  base::Duration retry_after{0};                   // after a failure, when the authority has said so
  bool is_limited = false;                         // it does not want to be asked anything for a while
  bool is_limited_for_all = false;                 // and that is not for the names of this order
};

/// An order under way.
///
/// Owner:   whoever waits for it; destroying it ends it without a call. `on_over` comes once and may destroy
/// it.
/// Runs in: control's loop.
/// Fails:   with what the authority says, its type and detail, and the remedy where it is known; after
/// kDeadline in any case. A question that fails for a reason which may pass (the way there, 5xx, a limit that
/// is over soon) is asked again: an order that ends in the middle loses what is about to be issued.
class AcmeClient {
 public:
  struct Options {
    config::AcmeSettings settings;
    std::string account_key;  // PEM
    std::vector<std::string> names;
    std::string key;  // PEM, that the certificate is for
    std::shared_ptr<const tls::ClientContext> tls;
  };
  struct Callbacks {
    /// To be answered under /.well-known/acme-challenge/: lines of "TOKEN ANSWER". go_on() when that is so.
    std::function<void(std::string lines)> on_offer;
    std::function<void(AcmeOutcome)> on_over;
  };
  AcmeClient(net::EventLoop& loop, net::Resolver& resolver, Options options, Callbacks callbacks);

  /// Every worker answers what was offered.
  void go_on();

 private:
  using Take = void (AcmeClient::*)(const std::string& body);
  struct Challenge {
    std::string authorization;  // URLs
    std::string url;
  };
  void get(const std::string& url, Take take);
  void post(const std::string& url, std::string payload, Take take);
  void begin_question(const std::string& url, Take take);
  void ask();
  void send(http::Method method, const std::string& url, std::string body);
  void on_answer(base::Result<std::string> answer);
  void on_problem(uint16_t status, const std::string& body);
  bool ask_again_later(const std::string& trouble);

  void take_directory(const std::string& body);
  void ask_account(bool is_new);
  void take_account(const std::string& body);
  void take_new_order(const std::string& body);
  void ask_authorization();
  void take_authorization(const std::string& body);
  void offer();
  void ask_challenge();
  void take_challenge(const std::string& body);
  void poll_authorization();
  void take_polled(const std::string& body);
  void poll_order();
  void take_order(const std::string& body);
  void finalize();
  void take_chain(const std::string& body);
  void poll_later(void (AcmeClient::*poll)());
  void fail(const std::string& what);
  void finish(base::Result<std::string> chain);

  net::EventLoop& loop_;
  net::Resolver& resolver_;
  Options options_;
  Callbacks callbacks_;
  AcmeDirectory directory_;
  std::string account_;  // URL, once it is known
  std::string nonce_;    // for the next signed question
  std::string order_;    // URL
  AcmeOrder known_;      // of the order, as told last
  size_t next_authorization_ = 0;
  std::vector<Challenge> challenges_;  // that the authority is to look at
  size_t next_challenge_ = 0;
  std::string lines_;  // to be offered
  bool is_making_account_ = false;
  bool is_finalized_ = false;

  std::unique_ptr<HttpQuestion> question_;
  std::string url_;  // of the question
  std::string payload_;
  bool is_signed_ = false;
  Take take_ = nullptr;
  std::string location_;  // of the answer
  base::Duration retry_after_{0};
  bool is_asking_nonce_ = false;  // before the question
  int nonces_refused_ = 0;        // of this question
  int repeats_ = 0;               // of this question, after troubles that may pass
  std::string last_trouble_;
  int polls_ = 0;  // of the same thing
  void (AcmeClient::*later_)() = nullptr;
  net::Timer later_timer_;
  net::Timer deadline_;
  net::Deferred over_;
  AcmeOutcome outcome_;
  bool is_over_ = false;
};

}  // namespace moongate::control
