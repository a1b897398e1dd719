// SPDX-License-Identifier: Apache-2.0
// The whole of what the API has made, as APISIX's API-driven standalone mode has it: one body, with a digest
// and versions of its lists that its client chooses. What the client said of it is not stored; after a
// restart versions count from the store's revisions.
#include "base/clock.h"
#include "base/json.h"
#include "config/yaml_reader.h"
#include "config/yaml_writer.h"
#include "control/admin_api.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;

namespace {

constexpr std::string_view kYaml = "application/yaml";
constexpr std::string_view kVersion = "_conf_version";

/// JSON, or YAML when the client says so. An answer instead: why it is no configuration.
Value parse_configuration(const HttpRequest& request, std::optional<HttpResponse>* refusal) {
  const bool is_yaml = request.field("Content-Type").starts_with(kYaml);
  if (is_yaml && request.body_excess == 0 && !request.body.empty()) {
    Result<Value> body = config::read_yaml(request.body, 0);
    if (body && body->is_object()) return body.take();
    *refusal = admin_error(400, "invalid request body: invalid yaml request body");
    return {};
  }
  Result<Value> body = parse_body(request, refusal);
  if (*refusal || !body) return {};
  if (!body->is_object()) *refusal = admin_error(400, "invalid request body: empty request body");
  return body.take();
}

template <class Visit>
void each_listed(Visit visit) {
  for (size_t i = 0; i < config::kKindCount; i++) {
    const auto kind = static_cast<Kind>(i);
    if (config::find_owned(kind) == nullptr) visit(kind, std::string(config::kind_list_name(kind)));
  }
}

}  // namespace

void AdminApi::on_configs(const Call& call) {
  const std::string& method = call.request.method;
  if (call.segments.size() == 2 && call.segments[1] == "validate" && method == "POST") {
    std::optional<HttpResponse> refusal;
    const Value body = parse_configuration(call.request, &refusal);
    return call.answer(refusal ? std::move(*refusal) : callbacks_.validate_all(body));
  }
  if (call.segments.size() != 1) return call.answer(admin_not_found());
  if (method == "PUT") return replace_configs(call);
  if (method != "GET" && method != "HEAD")
    return call.answer(admin_error(405, "not supported `" + method + "` method for configs"));
  read_configs(call);
}

/// With the versions that the client gave, where nothing was changed by other means since.
Value AdminApi::everything() const {
  Value all = entries().everything();
  each_listed([&](Kind, const std::string& name) {
    const auto given = last_put_.versions.find(name);
    if (given == last_put_.versions.end()) return;
    const double revision = all.get_number(name + std::string(kVersion), 0);
    const bool is_newer = revision > static_cast<double>(last_put_.revision);
    all.set(name + std::string(kVersion), Value::number(given->second + (is_newer ? 1 : 0)));
  });
  return all;
}

void AdminApi::read_configs(const Call& call) {
  const bool is_yaml = call.request.field("Accept").starts_with(kYaml);
  HttpResponse response{200, "application/json", "", {}};
  if (is_yaml) response.content_type = kYaml;
  response.body = is_yaml ? config::write_yaml(everything()) : base::to_json(everything()) + "\n";
  if (!last_put_.digest.empty())
    response.fields.emplace_back("X-Last-Modified", std::to_string(last_put_.at_s));
  // A digest is of one content: after a change by other means it would be a lie.
  if (!last_put_.digest.empty() && last_put_.revision == store_.revision())
    response.fields.emplace_back("X-Digest", last_put_.digest);
  call.answer(std::move(response));
}

/// Takes the versions out of the body. A list whose version is the present one stays as it is.
std::optional<HttpResponse> AdminApi::take_versions(AdminWrite* write,
                                                    std::map<std::string, double>* versions) const {
  const Value present = everything();
  Value* body = &write->body;
  std::optional<HttpResponse> refusal;
  each_listed([&](Kind kind, const std::string& name) {
    if (refusal) return;
    const std::string key = name + std::string(kVersion);
    const double current = present.get_number(key, 0);
    const Value* given = body->find(key);
    if (given == nullptr) {
      (*versions)[name] = current + 1;
      return;
    }
    if (!given->is_number()) {
      refusal = admin_error(400, key + " must be a number");
      return;
    }
    const double version = given->as_number();
    if (version < current) {
      refusal = admin_error(
          400, key + " must be greater than or equal to (" + base::to_json(Value::number(current)) + ")");
      return;
    }
    (*versions)[name] = version;
    body->remove(key);
    if (version != current) return;
    body->remove(name);
    write->kept.insert(kind);
    if (const config::OwnedKind* owned = config::find_owned_by(kind)) write->kept.insert(owned->kind);
  });
  return refusal;
}

void AdminApi::replace_configs(const Call& call) {
  LastPut put;
  put.digest = call.request.field("X-Digest");
  if (put.digest.empty()) return call.answer(admin_error(400, "missing digest header"));
  std::optional<HttpResponse> refusal;
  AdminWrite write;
  write.verb = AdminWrite::Verb::kReplaceAll;
  write.body = parse_configuration(call.request, &refusal);
  if (refusal) return call.answer(std::move(*refusal));
  if (put.digest == last_put_.digest && last_put_.revision == store_.revision())
    return call.answer(HttpResponse{204, "", "", {}});
  refusal = take_versions(&write, &put.versions);
  if (refusal) return call.answer(std::move(*refusal));
  write.actor = call.caller.name;
  write.peer = call.request.peer.host_text();
  write.size_bytes = call.request.body.size();
  write.answer = [this, put = std::move(put), answer = call.answer](HttpResponse response) mutable {
    if (response.status == 202) {
      put.revision = store_.revision();
      put.at_s = static_cast<uint64_t>(base::Clock::wall().time_since_epoch() / std::chrono::seconds(1));
      response.fields.emplace_back("X-Last-Modified", std::to_string(put.at_s));
      response.fields.emplace_back("X-Digest", put.digest);
      last_put_ = std::move(put);
    }
    answer(std::move(response));
  };
  callbacks_.write(std::move(write));
}

}  // namespace moongate::control
