// SPDX-License-Identifier: Apache-2.0
#include "cli/explanation.h"

#include <algorithm>

#include "base/json.h"
#include "cli/route_text.h"
#include "config/resources.h"
#include "exchange/variables.h"
#include "http/head.h"
#include "proxy/context.h"
#include "proxy/route_search.h"
#include "proxy/steps.h"
#include "script/hook_list.h"

namespace moongate::cli {

using base::Result;
using base::Value;
using router::Verdict;

namespace {

constexpr size_t kTrialsMax = 50;

Value text(std::string_view view) { return Value::string(std::string(view)); }

/// The bytes a client would send; the Host of the URL unless a header gives one.
Result<std::string> make_head(const Question& question) {
  std::string target = question.url;
  std::string host = "localhost";
  if (const std::string_view authority = http::absolute_authority(question.url); !authority.empty()) {
    host = authority;
    target = target.substr(target.find(authority, target.find("//")) + authority.size());
    if (!target.starts_with('/')) target = "/" + target;
    target = target.substr(0, target.find('#'));
  } else if (!target.starts_with('/') && target != "*") {
    return base::invalid("`" + question.url +
                         "` is no URL; write /path?query, or http://host:port/path?query");
  }
  std::string fields;
  bool has_host = false;
  for (const std::string& header : question.headers) {
    const size_t colon = header.find(':');
    if (colon == std::string::npos || !http::is_field_name(std::string_view(header).substr(0, colon)) ||
        !http::is_field_value(std::string_view(header).substr(colon + 1)))
      return base::invalid("`" + header + "` is no header; write 'Name: value'");
    has_host = has_host || http::equals_ignoring_case(std::string_view(header).substr(0, colon), "host");
    fields += header + "\r\n";
  }
  return question.method + " " + target + " HTTP/1.1\r\n" + (has_host ? "" : "Host: " + host + "\r\n") +
         fields + "\r\n";
}

/// "`arg_x` is unset", or "`arg_x` is \"1\"".
std::string variable_text(exchange::Exchange& exchange, const std::string& name) {
  std::string_view value;
  if (!exchange::find_variable(exchange, name, &value)) return "`" + name + "` is unset";
  return "`" + name + "` is " + base::to_json(text(value));
}

/// The first of the rules that does not hold, and what its variable is.
std::string vars_reason(exchange::Exchange& exchange, const Value& vars) {
  exchange::ExchangeVariables variables(exchange);
  const bool is_list = vars.is_array() && !vars.items().empty() && vars.items()[0].is_array();
  for (const Value& rule : is_list ? vars.items() : std::vector<Value>()) {
    Value single = Value::array();
    single.items().push_back(rule);
    const auto compiled = router::Expression::compile(single);
    if (!compiled || (*compiled)->evaluate(variables)) continue;
    const bool is_plain =
        rule.items().size() >= 2 && rule.items()[0].is_string() && !rule.items()[1].is_array();
    return "vars: " + base::to_json(rule) + " does not hold" +
           (is_plain ? ": " + variable_text(exchange, rule.items()[0].as_string()) : "");
  }
  return "vars: " + base::to_json(vars) + " does not hold";
}

/// Why a route was passed over, in the words of its configuration.
std::string reason_of(exchange::Exchange& exchange, const router::Trial& trial,
                      const snapshot::Route& route) {
  const Result<Value> body = base::parse_json(route.body_json);
  const auto conf = body ? config::parse_route(*body) : Result<config::Route>(body.error());
  switch (trial.verdict) {
    case Verdict::kMethod:
      return "method: " + std::string(exchange.request.method_text) + " is none of " +
             joined(texts_value(methods_of(*trial.spec)), "any");
    case Verdict::kHost:
      return "host: " + std::string(exchange.request.host) + " is none of " +
             joined(texts_value(trial.spec->hosts), "any");
    case Verdict::kRemoteAddress:
      return "remote_addr: " + std::string(exchange.remote_address) + " is in none of " +
             (conf ? joined(texts_value(conf->remote_addrs), "any") : "its networks");
    case Verdict::kVars:
      return conf ? vars_reason(exchange, conf->vars) : "vars do not hold";
    case Verdict::kFilter:
      return "filter_func: does not say true";
    case Verdict::kPath:
    case Verdict::kTaken:
      break;
  }
  return "";
}

Value describe_trials(exchange::Exchange& exchange, const std::vector<router::Trial>& trials) {
  Value list = Value::array();
  for (const router::Trial& trial : trials) {
    const snapshot::Route& route = *exchange.snapshot->routes[trial.target];
    Value one = Value::object();
    one.set("id", text(route.id));
    one.set("uri", text(trial.pattern));
    one.set("host", text(trial.host_pattern));
    one.set("is_taken", Value::boolean(trial.verdict == Verdict::kTaken));
    one.set("reason", Value::string(reason_of(exchange, trial, route)));
    list.items().push_back(std::move(one));
  }
  return list;
}

/// "/apisix/routes/1" to "route 1".
std::string source_text(std::string key) {
  constexpr std::pair<std::string_view, std::string_view> kSources[] = {
      {"/apisix/routes/", "route "},
      {"/apisix/services/", "service "},
      {"/apisix/plugin_configs/", "plugin_config "},
      {"/apisix/global_rules/", "global rule "},
      {"/apisix/consumers/", "consumer "},
      {"/apisix/consumer_groups/", "consumer group "}};
  for (const auto& [prefix, word] : kSources) {
    if (key.starts_with(prefix)) return std::string(word) + key.substr(prefix.size());
  }
  return key;
}

Value describe_hooks(const std::vector<script::ListedHook>& hooks) {
  Value list = Value::array();
  for (const script::ListedHook& hook : hooks) {
    Value one = Value::object();
    one.set("phase", text(hook.phase));
    one.set("plugin", text(hook.plugin));
    one.set("priority", Value::number(hook.priority));
    one.set("source", Value::string(source_text(hook.source)));
    list.items().push_back(std::move(one));
  }
  return list;
}

Value describe_fault(uint16_t status, std::string_view reason) {
  Value fault = Value::object();
  fault.set("status", Value::number(status));
  fault.set("reason", text(reason));
  return fault;
}

/// One explanation: the parts of a worker that it needs, and the answer it fills in.
class Explainer {
 public:
  Explainer(Inspection& inspection, const Question& question)
      : inspection_(inspection), question_(question), context_(inspection.loop(), inspection.pool()) {}
  ~Explainer() {
    if (exchange_ == nullptr) return;
    exchange_->end();
    context_.exchanges.give(exchange_);
  }
  Explainer(const Explainer&) = delete;
  Explainer& operator=(const Explainer&) = delete;

  Result<Value> run() {
    answer_ = Value::object();
    answer_.set("snapshot", Value::number(static_cast<double>(inspection_.snapshot().number)));
    for (const char* part :
         {"request", "refused", "candidates", "body_variable", "route", "plugins", "upstream", "fault"})
      answer_.set(part, Value::null());
    if (auto opened = open(); !opened) return opened.error();
    const Result<std::string> head = make_head(question_);
    if (!head) return head.error();
    http::HeadFault refusal;
    exchange::Exchange& exchange = *exchange_;
    const std::string_view bytes = exchange.arena.copy(*head);
    std::string_view reason;
    if (!http::parse_request_head(bytes, context_.client.head, &exchange.request, &refusal)) {
      answer_.set("refused", describe_fault(refusal.status, refusal.reason));
    } else if (!proxy::settle_request(context_, exchange, &reason)) {
      answer_.set("refused", describe_fault(400, reason));
    } else if (auto found = find_route(); !found) {
      return found.error();
    }
    return std::move(answer_);
  }

 private:
  /// A script host and an exchange, as a worker has them; no init() runs.
  Result<void> open() {
    snapshot::Snapshot& snapshot = inspection_.snapshot();
    script::HostOptions options;
    options.vm.lua_root = inspection_.lua_root();
    options.vm.cpu_budget_ms = snapshot.settings->script.cpu_budget_ms;
    options.vm.memory_max_bytes = size_t{snapshot.settings->script.memory_max_mb} << 20;
    options.worker_index = -1;
    auto host = script::Host::make(inspection_.loop(), nullptr, context_.exchanges, std::move(options),
                                   [](exchange::Exchange&, exchange::StepResult) {});
    if (!host) return host.error();
    host_ = host.take();
    if (auto prepared = host_->prepare_snapshot(snapshot, false); !prepared) return prepared;
    host_->adopt_snapshot(snapshot);
    context_.script = host_.get();
    context_.client = proxy::make_client_options(*snapshot.settings);
    exchange_ = context_.exchanges.take();
    exchange_->snapshot = inspection_.pin();
    const auto address = router::parse_address(question_.from);
    if (!address) return base::invalid("--from " + question_.from + ": " + address.error().detail);
    exchange_->peer_address = exchange_->arena.copy(question_.from);
    exchange_->remote = *address;
    exchange_->is_tls = question_.url.starts_with("https://");
    return {};
  }

  Result<void> find_route() {
    exchange::Exchange& exchange = *exchange_;
    Value request = Value::object();
    request.set("method", text(exchange.request.method_text));
    request.set("target", text(exchange.request.target));
    request.set("path", text(exchange.uri.path));
    request.set("query", text(exchange.uri.query));
    request.set("host", text(exchange.host));
    request.set("port", Value::number(exchange.host_port));
    request.set("remote_addr", text(exchange.remote_address));
    answer_.set("request", std::move(request));
    std::vector<router::Trial> trials;
    proxy::BodySearch body;
    const bool is_found = proxy::explain_route(context_, exchange, kTrialsMax, &trials, &body);
    answer_.set("candidates", describe_trials(exchange, trials));
    if (!body.asked.empty()) answer_.set("body_variable", text(body.asked));
    if (body.fault_status != 0) {
      answer_.set("fault", describe_fault(body.fault_status, body.fault_reason));
      return {};
    }
    if (is_found) {
      const snapshot::Route& route = *exchange.route;
      answer_.set("route", describe_route(route, *exchange.match.spec));
      answer_.set("upstream", describe_upstream(route.upstream.get()));
      if (route.fault_status != 0) {
        answer_.set("fault", describe_fault(route.fault_status, route.fault_reason));
        return {};
      }
    }
    return list_plugins();
  }

  Result<void> list_plugins() {
    if (!question_.consumer.empty() && inspection_.snapshot().consumer_by_name.count(question_.consumer) == 0)
      return base::invalid("--consumer " + question_.consumer + ": there is no such consumer");
    const auto hooks = script::list_hooks(*host_, *exchange_, question_.consumer);
    if (hooks)
      answer_.set("plugins", describe_hooks(*hooks));
    else
      answer_.set("fault", describe_fault(503, hooks.error().detail));
    return {};
  }

  Inspection& inspection_;
  const Question& question_;
  proxy::Context context_;
  std::unique_ptr<script::Host> host_;
  exchange::Exchange* exchange_ = nullptr;
  Value answer_;
};

}  // namespace

Result<Value> explain(Inspection& inspection, const Question& question) {
  return Explainer(inspection, question).run();
}

}  // namespace moongate::cli
