// SPDX-License-Identifier: Apache-2.0
#include "control/control_api.h"

#include <array>

#include "base/json.h"
#include "control/health_page.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;

namespace {

constexpr std::string_view kPrefix = "/v1/";

struct Listed {
  std::string_view many;
  std::string_view one;
  Kind kind;
};
constexpr std::array<Listed, 4> kListed{{{"routes", "route", Kind::kRoute},
                                         {"services", "service", Kind::kService},
                                         {"upstreams", "upstream", Kind::kUpstream},
                                         {"plugin_metadatas", "plugin_metadata", Kind::kPluginMetadata}}};

HttpResponse unknown_page() {
  return {404,
          "text/html; charset=utf-8",
          "<html><head><title>404 Not Found</title></head><body>404 Not Found</body></html>\n",
          {}};
}

HttpResponse json_answer(const Value& value) {
  return {200, "application/json", base::to_json(value) + "\n", {}};
}

HttpResponse health_answer(const Value& checkers, bool wants_page) {
  if (!wants_page) return json_answer(checkers);
  return {200, "text/html; charset=utf-8", health_page(checkers), {}};
}

/// Metadata is told without what is around it.
Value shown_item(Kind kind, const Value& item) {
  if (kind != Kind::kPluginMetadata) return item;
  Value value = *item.find("value");
  const std::string_view key = item.get_string("key");
  value.set("id", Value::string(std::string(key.substr(key.rfind('/') + 1))));
  return value;
}

}  // namespace

ControlApi::ControlApi(net::EventLoop& loop, const ResourceStore& store, AdminApi::Callbacks callbacks,
                       const HealthChecks& health, std::function<void()> collect_garbage)
    : store_(store),
      callbacks_(std::move(callbacks)),
      health_(health),
      collect_garbage_(std::move(collect_garbage)),
      server_(loop, {}, [this](const HttpRequest& request, const HttpServer::Answer& answer) {
        on_request(request, answer);
      }) {}

Result<void> ControlApi::start(int fd, const std::string& address) {
  // Who may connect is a matter of the address; pages that browsers were led to are still refused.
  config::AdminSettings open;
  open.allow_admin = {"0.0.0.0/0", "::/0"};
  if (auto set = access_.set(open, address, ""); !set) return set;
  server_.start(fd);
  return {};
}

void ControlApi::on_request(const HttpRequest& request, const HttpServer::Answer& answer) {
  if (auto refusal = access_.refuse_sender(request)) return answer(std::move(*refusal));
  if (!request.path.starts_with(kPrefix)) return answer(unknown_page());
  const std::vector<std::string> parts = split_path(std::string_view(request.path).substr(kPrefix.size()));
  if (parts.empty()) return answer(unknown_page());
  if (request.method == "PUT" && parts == std::vector<std::string>{"plugins", "reload"}) {
    return callbacks_.reload([answer](const std::vector<std::string>& errors) {
      answer(errors.empty() ? HttpResponse{200, "text/plain; charset=utf-8", "done\n", {}}
                            : admin_error(400, errors.front()));
    });
  }
  if (request.method == "POST" && parts == std::vector<std::string>{"gc"}) {
    collect_garbage_();
    return answer(HttpResponse{});
  }
  if (request.method != "GET" && request.method != "HEAD") return answer(unknown_page());
  if (parts[0] == "schema" && parts.size() == 1) {
    Result<std::pair<int, std::string>> told = callbacks_.ask_schemas({"everything"});
    if (!told) return answer(admin_error(500, told.error().detail));
    return answer({static_cast<uint16_t>(told->first), "application/json", told->second + "\n", {}});
  }
  if (parts[0] == "healthcheck") return answer(read_health(request, parts));
  if (parts[0] == "store" && parts.size() == 1)
    return answer(json_answer(*callbacks_.status().find("store")));
  if (parts.size() > 2) return answer(unknown_page());
  answer(read(parts[0], parts.size() > 1 ? parts[1] : ""));
}

HttpResponse ControlApi::read(const std::string& name, const std::string& id) const {
  const AdminEntries entries(store_, callbacks_.served(), callbacks_.encrypted_fields);
  for (const Listed& listed : kListed) {
    if (name == listed.many && id.empty()) {
      const Result<Value> list = base::parse_json(entries.list(listed.kind, "", {}).body);
      if (!list) return admin_error(500, list.error().detail);
      Value out = Value::array();
      for (const Value& item : list->find("list")->items())
        out.items().push_back(shown_item(listed.kind, item));
      return json_answer(out);
    }
    if (name != listed.one || id.empty()) continue;
    const bool is_metadata = listed.kind == Kind::kPluginMetadata;
    const HttpResponse found = entries.get({listed.kind, id});
    const Result<Value> item = base::parse_json(found.body);
    if (found.status != 200 || !item)
      return admin_error(404, (is_metadata ? "plugin metadata" : name) + "[" + id + "] not found");
    return json_answer(shown_item(listed.kind, *item));
  }
  return unknown_page();
}

HttpResponse ControlApi::read_health(const HttpRequest& request,
                                     const std::vector<std::string>& parts) const {
  const bool wants_page = request.field("Accept").find("text/html") != std::string_view::npos;
  if (parts.size() > 3) return unknown_page();
  if (parts.size() == 1) return health_answer(health_.describe_all(), wants_page);
  const std::string& type = parts[1];
  const AdminResource* resource = find_admin_resource(type);
  const bool has_upstream =
      type == "routes" || type == "services" || type == "upstreams" || type == "stream_routes";
  if (resource == nullptr || !has_upstream) return admin_error(400, "invalid src type " + type);
  if (parts.size() == 2) return admin_error(404, "missing src id for src type " + type);
  const AdminEntries entries(store_, callbacks_.served(), callbacks_.encrypted_fields);
  const std::string name = type + "[" + parts[2] + "]";
  if (!entries.has({resource->kind, parts[2]})) return admin_error(404, name + " not found");
  Value checker = health_.describe(type, parts[2]);
  if (checker.is_null()) return admin_error(404, "no checker for " + name);
  return health_answer(checker, wants_page);
}

}  // namespace moongate::control
