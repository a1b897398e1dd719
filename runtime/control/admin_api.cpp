// SPDX-License-Identifier: Apache-2.0
#include "control/admin_api.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/arena.h"
#include "base/json.h"
#include "control/admin_version.h"
#include "control/status_page.h"
#include "http/uri.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;
using Verb = AdminWrite::Verb;

namespace {

constexpr std::string_view kPrefix = "/apisix/admin";
constexpr std::string_view kInstancePrefix = "/moongate/admin";
constexpr size_t kSegmentsMax = 32;

AdminArguments parse_arguments(std::string_view query) {
  AdminArguments arguments;
  std::string_view name;
  std::string_view value;
  bool has_value = false;
  base::Arena arena;
  while (http::next_query_argument(&query, &name, &value, &has_value)) {
    arguments.emplace(std::string(http::unescape(name, true, &arena)),
                      std::string(http::unescape(value, true, &arena)));
  }
  return arguments;
}

bool is_below(std::string_view path, std::string_view prefix) {
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

std::string argument(const AdminArguments& arguments, const std::string& name) {
  const auto found = arguments.find(name);
  return found == arguments.end() ? "" : found->second;
}

HttpResponse text_response(uint16_t status, std::string_view text) {
  return {status, "text/plain; charset=utf-8", std::string(text) + "\n", {}};
}

HttpResponse not_supported(const HttpRequest& request, const AdminResource& resource) {
  return admin_error(405, "not supported `" + request.method + "` method for " + std::string(resource.noun));
}

/// The verb of a write, or nothing when the resource does not have it.
std::optional<Verb> find_verb(const std::string& method, const AdminTarget& target) {
  const AdminResource& resource = *target.resource;
  if (method == "PUT" && target.sub_path.empty()) return Verb::kPut;
  if (method == "POST" && resource.has_post && target.sub_path.empty()) return Verb::kPost;
  if (method == "PATCH" && resource.has_patch) return Verb::kPatch;
  if (method == "DELETE" && target.sub_path.empty()) return Verb::kDelete;
  return std::nullopt;
}

/// The seconds in `ttl`; a fault when they are no number.
Result<std::optional<double>> parse_ttl(const AdminArguments& arguments) {
  const std::string text = argument(arguments, "ttl");
  if (text.empty()) return std::optional<double>();
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool is_number = error == std::errc() && end == text.data() + text.size() && seconds > 0 &&
                         std::isfinite(seconds) && seconds < 4e9;
  if (!is_number) return base::invalid("invalid argument ttl: should be a number");
  return std::optional<double>(seconds);
}

}  // namespace

Result<Value> parse_body(const HttpRequest& request, std::optional<HttpResponse>* refusal) {
  if (request.body_excess != 0) {
    *refusal = admin_error(400, "invalid request body: request size " + std::to_string(request.body_excess) +
                                    " is greater than the maximum size " +
                                    std::to_string(kAdminBodyMaxBytes) + " allowed");
    return Value();
  }
  if (request.body.empty()) return Value();
  Result<Value> body = base::parse_json(request.body);
  if (body) return body;
  std::string text = "{\"error_msg\":";
  base::append_json_string(text, "invalid request body: " + body.error().detail);
  text += ",\"req_body\":";
  base::append_json_string(text, request.body);
  *refusal = HttpResponse{400, "application/json", text + "}\n", {}};
  return Value();
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty() && segments.size() < kSegmentsMax) {
    const size_t end = path.find('/');
    base::Arena arena;
    if (end != 0) segments.emplace_back(http::unescape(path.substr(0, end), false, &arena));
    path.remove_prefix(end == path.npos ? path.size() : end + 1);
  }
  return segments;
}

AdminApi::AdminApi(net::EventLoop& loop, const ResourceStore& store, Callbacks callbacks)
    : store_(store),
      callbacks_(std::move(callbacks)),
      server_(loop, {64, kAdminBodyMaxBytes, std::chrono::seconds(30), {16 * 1024, 100}},
              [this](const HttpRequest& request, const Answer& answer) { on_request(request, answer); }) {}

/// What every answer has is put on here.
void AdminApi::on_request(const HttpRequest& request, const Answer& answer) {
  if (auto refusal = access_.refuse_sender(request)) return answer(std::move(*refusal));
  if (auto page = status_page(request)) return answer(std::move(*page));
  if (is_below(request.path, kInstancePrefix)) return on_instance(request, answer);
  Call call{request, parse_arguments(request.query), {}, {}, [answer](HttpResponse response) {
              response.fields.emplace_back("Server", "Moongate");
              response.fields.emplace_back("Access-Control-Allow-Origin", "*");
              response.fields.emplace_back("Access-Control-Allow-Credentials", "true");
              response.fields.emplace_back("Access-Control-Expose-Headers", "*");
              response.fields.emplace_back("Access-Control-Max-Age", "3600");
              answer(std::move(response));
            }};
  if (!is_below(request.path, kPrefix)) return call.answer(admin_error(404, "not found"));
  if (request.method == "OPTIONS") {
    HttpResponse response;
    response.fields.emplace_back("Access-Control-Allow-Methods", "POST, GET, PUT, OPTIONS, DELETE, PATCH");
    response.fields.emplace_back("Access-Control-Allow-Headers", "*");
    return call.answer(std::move(response));
  }
  call.segments = split_path(std::string_view(request.path).substr(kPrefix.size()));
  // Clients ask thus whether somebody is there, and give no key: ADC does before all else.
  if (request.method == "HEAD" && call.segments.empty()) return call.answer(HttpResponse{});
  call.caller = access_.identify(request, argument(call.arguments, "api_key"));
  if (call.caller.refusal) return call.answer(std::move(*call.caller.refusal));
  dispatch(call);
}

/// Ours, and for the status page: no other page is told that it may read the answers.
void AdminApi::on_instance(const HttpRequest& request, const Answer& answer) {
  Call call{request, parse_arguments(request.query), {}, {}, [answer](HttpResponse response) {
              response.fields.emplace_back("Server", "Moongate");
              response.fields.emplace_back("Cache-Control", "no-store");
              response.fields.emplace_back("X-Content-Type-Options", "nosniff");
              answer(std::move(response));
            }};
  call.caller = access_.identify(request, argument(call.arguments, "api_key"));
  if (call.caller.refusal) return call.answer(std::move(*call.caller.refusal));
  call.segments = split_path(std::string_view(request.path).substr(kInstancePrefix.size()));
  dispatch_instance(call);
}

void AdminApi::dispatch(Call& call) {
  const std::string first = call.segments.empty() ? "" : call.segments[0];
  if (first.empty() && call.request.method == "GET") return call.answer(HttpResponse{});
  if (first == "plugins") return on_plugins(call);
  if (first == "schema") return on_schema(call);
  if (first == "configs") return on_configs(call);
  const std::optional<AdminTarget> target = find_target(call.segments);
  if (!target) return call.answer(admin_error(404, "Unsupported resource type: " + first));
  const Answer answer = call.answer;
  call.answer = [answer, is_older = is_older_](HttpResponse response) {
    response.fields.emplace_back("X-API-VERSION", is_older ? "v2" : "v3");
    answer(std::move(response));
  };
  on_resource(call, *target);
}

void AdminApi::on_resource(Call& call, AdminTarget target) {
  const std::string& method = call.request.method;
  const bool is_read = method == "GET" || method == "HEAD";
  if (is_read && target.sub_path.empty()) return on_read(call, target);
  on_write(call, std::move(target));
}

void AdminApi::on_read(const Call& call, const AdminTarget& target) {
  const AdminEntries all = entries();
  const Kind kind = target.resource->kind;
  if (kind == Kind::kCredential && !all.has({Kind::kConsumer, target.parent}))
    return call.answer(admin_error(404, "consumer not found"));
  // A service without any has no such list.
  if (kind == Kind::kGraphqlCostDecoration && target.id.empty() && !all.has_any(kind, target.parent))
    return call.answer(admin_not_found());
  if (target.id.empty())
    return call.answer(is_older_ ? all.directory(kind, target.parent)
                                 : all.list(kind, target.parent, call.arguments));
  HttpResponse found = all.get({kind, target.id});
  call.answer(is_older_ ? in_older_form(std::move(found), kReadAction) : std::move(found));
}

void AdminApi::on_write(Call& call, AdminTarget target) {
  const std::optional<Verb> verb = find_verb(call.request.method, target);
  if (!verb) return call.answer(not_supported(call.request, *target.resource));
  std::optional<HttpResponse> refusal;
  Result<Value> body = parse_body(call.request, &refusal);
  if (refusal) return call.answer(std::move(*refusal));
  const Result<std::optional<double>> ttl = parse_ttl(call.arguments);
  if (!ttl) return call.answer(admin_error(400, ttl.error().detail));
  const bool needs_object = *verb == Verb::kPut || *verb == Verb::kPost;
  const bool has_body = !call.request.body.empty() && !body->is_null();
  if ((needs_object && !body->is_object()) || (*verb == Verb::kPatch && call.request.body.empty()))
    return call.answer(admin_error(
        400, has_body ? "invalid configuration: wrong type: expected object" : "missing configurations"));
  if (*verb == Verb::kPatch && target.id.empty())
    return call.answer(admin_error(400, "missing " + std::string(target.resource->noun) + " id"));
  AdminWrite write;
  write.verb = *verb;
  write.target = std::move(target);
  write.body = body.take();
  write.is_forced = argument(call.arguments, "force") == "true";
  write.is_waiting = argument(call.arguments, "wait") != "false";
  write.ttl_s = *ttl;
  write.if_match = call.request.field("If-Match");
  write.actor = call.caller.name;
  write.peer = call.request.peer.host_text();
  write.size_bytes = call.request.body.size();
  write.answer = call.answer;
  if (is_older_) {
    write.answer = [answer = call.answer, action = action_of(*verb)](HttpResponse response) {
      answer(in_older_form(std::move(response), action));
    };
  }
  callbacks_.write(std::move(write));
}

void AdminApi::on_plugins(const Call& call) {
  const std::string name = call.segments.size() > 1 ? call.segments[1] : "";
  if (name == "reload") {
    if (call.request.method != "PUT") {
      return call.answer(text_response(405, "please use PUT method to reload the plugins, " +
                                                call.request.method + " method is not allowed."));
    }
    return callbacks_.reload([answer = call.answer](const std::vector<std::string>& errors) {
      answer(errors.empty() ? text_response(200, "done") : admin_error(400, errors.front()));
    });
  }
  if (call.request.method != "GET" && call.request.method != "HEAD")
    return call.answer(admin_error(405, "not supported `" + call.request.method + "` method for plugins"));
  const std::string subsystem = argument(call.arguments, "subsystem");
  if (!subsystem.empty() && subsystem != "http" && subsystem != "stream")
    return call.answer(text_response(400, "invalid subsystem passed"));
  const bool is_stream = subsystem == "stream";
  if (name == "list") {
    if (is_stream) return call.answer({200, "application/json", "[]\n", {}});
    return ask_schemas(call, {"list_plugins"});
  }
  if (name.empty() && argument(call.arguments, "all") == "true") {
    if (is_stream) return call.answer({200, "application/json", "{}\n", {}});
    return ask_schemas(call, {"all_plugins"});
  }
  if (name.empty() || is_stream)
    return call.answer(admin_error(404, "plugin not found in subsystem " + (is_stream ? subsystem : "http")));
  ask_schemas(call, {"plugin", name});
}

void AdminApi::on_schema(const Call& call) {
  const auto& parts = call.segments;
  const bool is_read = call.request.method == "GET" || call.request.method == "HEAD";
  if (parts.size() == 3 && parts[1] == "validate" && call.request.method == "POST") {
    const AdminResource* resource = find_admin_resource(parts[2]);
    if (resource == nullptr) return call.answer(admin_error(400, "not found schema: " + parts[2]));
    std::optional<HttpResponse> refusal;
    const Result<Value> body = parse_body(call.request, &refusal);
    if (refusal) return call.answer(std::move(*refusal));
    return ask_schemas(call,
                       {"validate", std::string(config::kind_name(resource->kind)), base::to_json(*body)});
  }
  if (!is_read)
    return call.answer(admin_error(405, "not supported `" + call.request.method + "` method for schema"));
  if (parts.size() == 3 && parts[1] == "plugins")
    return ask_schemas(call, {"plugin_schema", parts[2], argument(call.arguments, "schema_type")});
  if (parts.size() != 2)
    return call.answer(admin_error(400, "not found schema: " + (parts.size() > 1 ? parts[1] : "")));
  ask_schemas(call, {"schema", parts[1]});
}

void AdminApi::ask_schemas(const Call& call, const std::vector<std::string>& question) {
  Result<std::pair<int, std::string>> answer = callbacks_.ask_schemas(question);
  if (!answer) return call.answer(admin_error(500, answer.error().detail));
  std::string body = std::move(answer->second);
  if (!body.empty()) body += "\n";
  call.answer({static_cast<uint16_t>(answer->first), "application/json", std::move(body), {}});
}

}  // namespace moongate::control
