// SPDX-License-Identifier: Apache-2.0
// In Kong the best route wins: the one that says more kinds of things (hosts, headers, methods, paths); then
// hosts without a wildcard; more headers; a regular expression before a prefix; the greater regex_priority;
// the longer path; the older one. Ours looks at the longest literal of a path first, and priority counts
// among routes of one literal only. Hence:
//
//   - each class of a route's paths (one length of prefixes, or one expression) is a route of ours;
//   - Kong's order is its priority, see priority_of;
//   - a route that is better than one with a longer literal is tried under that literal as well.
#include "config/kong_routes.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <unordered_map>

#include "base/ascii.h"
#include "config/kong_paths.h"
#include "config/kong_upstreams.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr std::array<std::string_view, 20> kRouteKeys{"id",
                                                      "name",
                                                      "protocols",
                                                      "methods",
                                                      "hosts",
                                                      "paths",
                                                      "headers",
                                                      "https_redirect_status_code",
                                                      "regex_priority",
                                                      "strip_path",
                                                      "path_handling",
                                                      "preserve_host",
                                                      "request_buffering",
                                                      "response_buffering",
                                                      "snis",
                                                      "sources",
                                                      "destinations",
                                                      "tags",
                                                      "service",
                                                      "plugins"};
constexpr size_t kLengthMax = 4095;
constexpr size_t kUrisMax = 100'000;       // of all routes together
constexpr size_t kPairsMax = 100'000'000;  // that are held against each other

/// One route of ours on its way.
struct Entry {
  const KongRoute* route = nullptr;
  std::vector<KongPath> paths;       // of one class; empty: any path
  std::vector<const Value*> places;  // of the paths
  int64_t regex_priority = 0;
  int64_t priority = 0;
  std::vector<const Value*> hosts;
  std::vector<const Value*> methods;
  std::vector<std::string> more_uris;  // literals of worse routes, where this one comes first
  bool is_regex() const { return !paths.empty() && paths.front().is_regex; }
  std::string literal(size_t i) const { return paths.empty() ? "/" : paths[i].literal; }
  size_t literal_count() const { return std::max<size_t>(paths.size(), 1); }
};

bool is_same_name(const Value* a, const Value* b) {
  return std::equal(a->as_string().begin(), a->as_string().end(), b->as_string().begin(),
                    b->as_string().end(),
                    [](char x, char y) { return base::to_lower(x) == base::to_lower(y); });
}

/// Whether both lists say something and nothing in common.
bool are_apart(const std::vector<const Value*>& some, const std::vector<const Value*>& others) {
  if (some.empty() || others.empty()) return false;
  return std::none_of(some.begin(), some.end(), [&](const Value* one) {
    return std::any_of(others.begin(), others.end(),
                       [&](const Value* other) { return is_same_name(one, other); });
  });
}

/// A host that is no single name: it may stand for others, or for another with its port.
bool is_open(const Value* host) { return host->as_string().find_first_of("*:") != std::string::npos; }

/// False only when no request can be for both.
bool can_meet(const Entry& a, const Entry& b) {
  const auto is_closed = [](const Entry& entry) {
    return std::none_of(entry.hosts.begin(), entry.hosts.end(), is_open);
  };
  if (are_apart(a.methods, b.methods)) return false;
  return !(are_apart(a.hosts, b.hosts) && is_closed(a) && is_closed(b));
}

bool has_wildcard(const Value* host) { return host->as_string().find('*') != std::string::npos; }

class RouteMaker {
 public:
  RouteMaker(const KongModel& model, KongPlugins& plugins, const Value& global, KongFindings& findings)
      : model_(model), plugins_(plugins), global_(global), findings_(findings) {}

  KongRouteList make() {
    for (const KongRoute& route : model_.routes) add_entries(route);
    rank();
    lift();
    std::unordered_map<const KongRoute*, size_t> seen;
    for (const Entry& entry : entries_) {
      const size_t number = ++seen[entry.route];
      const std::string suffix = number == 1 ? "" : "." + std::to_string(number);
      list_.routes.items().push_back(make_route(entry, entry.route->id + suffix));
    }
    return std::move(list_);
  }

 private:
  KongReader reader(const KongRoute& route) const { return KongReader(route.item, findings_); }

  bool check(const KongRoute& route) {
    const KongReader fields = reader(route);
    fields.check_keys(kRouteKeys);
    constexpr std::array<std::string_view, 3> kNotServed{"snis", "sources", "destinations"};
    fields.refuse_keys(kNotServed, "is not served; match by hosts, paths, methods or headers");
    const std::string handling = fields.text("path_handling", "v0");
    if (handling != "v0" && handling != "v1") fields.refuse("path_handling", "expected v0 or v1");
    for (const Value* protocol : fields.texts("protocols")) {
      if (protocol->as_string() != "http" && protocol->as_string() != "https")
        findings_.refuse(*protocol, route.item.path("protocols"),
                         "`" + protocol->as_string() + "` is not served; expected http or https");
    }
    const std::vector<const Value*> paths = fields.texts("paths");
    for (const Value* path : paths) {
      const std::string& text = path->as_string();
      if (!text.starts_with('/') && !text.starts_with('~'))
        findings_.refuse(*path, route.item.path("paths"),
                         "expected a path that begins with /, or ~ and a regular expression");
      if (text.size() > kLengthMax)
        findings_.refuse(*path, route.item.path("paths"), "longer than 4095 characters");
    }
    const bool is_any = paths.empty() && fields.texts("hosts").empty() && fields.texts("methods").empty() &&
                        fields.object("headers") == nullptr;
    if (is_any) fields.refuse("paths", "missing; give one of hosts, paths, methods and headers");
    return !is_any;
  }

  void add_entries(const KongRoute& route) {
    if (route.service && !model_.services[*route.service].item.body->get_bool("enabled", true)) return;
    if (!check(route)) return;
    const int64_t regex_priority = reader(route).whole("regex_priority", -1'000'000, 1'000'000, 0);
    // Prefixes by their length, the longest first; expressions each for itself, as they are told apart.
    std::map<std::pair<size_t, size_t>, Entry> classes;
    size_t expression_count = 0;
    for (const Value* written : reader(route).texts("paths")) {
      KongPath path = read_kong_path(written->as_string(), model_.has_old_paths);
      if (!path.literal.starts_with('/')) continue;  // refused above
      const size_t number = path.is_regex || !path.pattern.empty() ? ++expression_count : 0;
      Entry& entry = classes[{kLengthMax - std::min(path.text.size(), kLengthMax), number}];
      entry.paths.push_back(std::move(path));
      entry.places.push_back(written);
    }
    if (classes.empty()) classes[{0, 0}];
    for (auto& [key, entry] : classes) {
      entry.route = &route;
      entry.regex_priority = regex_priority;
      entry.hosts = reader(route).texts("hosts");
      entry.methods = reader(route).texts("methods");
      entries_.push_back(std::move(entry));
    }
  }

  /// Kong's order as one number: kinds of conditions, plain hosts, headers, expression, its priority, length.
  ///
  ///    28..30  27     23..26   22     12..21          0..11
  ///    kinds   plain  headers  regex  regex_priority  length
  void rank() {
    std::set<int64_t> regex_priorities;
    for (const Entry& entry : entries_) {
      if (entry.is_regex()) regex_priorities.insert(entry.regex_priority);
    }
    if (regex_priorities.size() > 1024) {
      const KongItem& item = entries_.front().route->item;
      findings_.refuse(*item.body, "regex_priority", "more than 1024 different ones; use fewer");
      return;
    }
    for (Entry& entry : entries_) {
      const KongReader fields = reader(*entry.route);
      const std::vector<const Value*> hosts = fields.texts("hosts");
      const Value* headers = fields.object("headers");
      const size_t header_count = headers != nullptr ? headers->members().size() : 0;
      const int64_t kinds = (hosts.empty() ? 0 : 1) + (header_count == 0 ? 0 : 1) +
                            (fields.texts("methods").empty() ? 0 : 1) + (entry.paths.empty() ? 0 : 1);
      const bool is_plain = !hosts.empty() && std::none_of(hosts.begin(), hosts.end(), has_wildcard);
      const int64_t regex_rank = entry.is_regex() ? std::distance(regex_priorities.begin(),
                                                                  regex_priorities.find(entry.regex_priority))
                                                  : 0;
      const size_t length = entry.paths.empty() ? 0 : entry.paths.front().text.size();
      entry.priority = kinds << 28 | int64_t{is_plain} << 27 |
                       static_cast<int64_t>(std::min<size_t>(header_count, 15)) << 23 |
                       int64_t{entry.is_regex()} << 22 | regex_rank << 12 |
                       static_cast<int64_t>(std::min(length, kLengthMax));
    }
  }

  /// Puts each entry under every longer literal where it comes before an entry that is there.
  void lift() {
    std::unordered_map<std::string, std::vector<size_t>> by_literal;
    for (size_t i = 0; i < entries_.size(); ++i) {
      for (size_t k = 0; k < entries_[i].literal_count(); ++k)
        by_literal[entries_[i].literal(k)].push_back(i);
    }
    size_t uri_count = 0;
    size_t pair_count = 0;
    for (const auto& [literal, indices] : by_literal) {
      for (size_t size = 1; size < literal.size(); ++size) {
        const auto shorter = by_literal.find(literal.substr(0, size));
        if (shorter == by_literal.end()) continue;
        for (const size_t index : shorter->second) {
          Entry& better = entries_[index];
          pair_count += indices.size();
          if (!comes_before_any(index, indices)) continue;
          if (++uri_count > kUrisMax || pair_count > kPairsMax)
            return findings_.refuse(
                *better.route->item.body, better.route->item.where,
                "the routes overlap in too many ways; give them hosts or paths of their own");
          better.more_uris.push_back(literal);
        }
      }
    }
    for (Entry& entry : entries_) {
      std::sort(entry.more_uris.begin(), entry.more_uris.end());
      entry.more_uris.erase(std::unique(entry.more_uris.begin(), entry.more_uris.end()),
                            entry.more_uris.end());
    }
  }

  bool comes_before_any(size_t index, const std::vector<size_t>& others) const {
    const Entry& entry = entries_[index];
    return std::any_of(others.begin(), others.end(), [&](size_t other) {
      const Entry& worse = entries_[other];
      // Of the same rank, the earlier one is better.
      const bool is_before =
          entry.priority > worse.priority || (entry.priority == worse.priority && index < other);
      return is_before && can_meet(entry, worse);
    });
  }

  Value make_uris(const Entry& entry) {
    const Value& body = *entry.route->item.body;
    std::set<std::string> seen;
    Value uris = placed(Value::array(), entry.places.empty() ? body : *entry.places.front());
    const auto add = [&](const std::string& literal, const Value& at) {
      if (seen.insert(literal).second) uris.items().push_back(placed_text(literal + "*", at));
    };
    for (size_t i = 0; i < entry.literal_count(); ++i)
      add(entry.literal(i), entry.paths.empty() ? body : *entry.places[i]);
    for (const std::string& literal : entry.more_uris) add(literal, uris.items().front());
    return uris;
  }

  static void add_rule(Value* vars, std::string name, std::string_view operation, std::string value,
                       const Value& at) {
    Value rule = placed(Value::array(), at);
    rule.items().push_back(placed_text(std::move(name), at));
    rule.items().push_back(placed_text(std::string(operation), at));
    rule.items().push_back(placed_text(std::move(value), at));
    vars->items().push_back(std::move(rule));
  }

  /// Values of headers are compared without regard to case; one behind `~*` is a regular expression.
  void add_header_rules(const KongRoute& route, Value* vars) {
    const Value* headers = reader(route).object("headers");
    if (headers == nullptr) return;
    const KongItem item{headers, route.item.path("headers")};
    for (const auto& [name, values] : headers->members()) {
      std::string variable = "http_";
      for (const char c : name) variable.push_back(c == '-' ? '_' : base::to_lower(c));
      std::string pattern;
      for (const Value* value : KongReader(item, findings_).texts(name)) {
        const std::string& text = value->as_string();
        pattern += (pattern.empty() ? "" : "|") +
                   (text.starts_with("~*") ? ".*(?:" + text.substr(2) + ").*" : escape_regex(text));
      }
      if (pattern.empty())
        findings_.refuse(values, item.path(name), "missing; give at least one value");
      else
        add_rule(vars, variable, "~*", "^(?:" + pattern + ")$", values);
    }
  }

  /// Hosts, and as conditions those that end in a wildcard.
  void add_hosts(const KongRoute& route, Value* made, Value* vars) {
    const std::vector<const Value*> hosts = reader(route).texts("hosts");
    if (hosts.empty()) return;
    list_.has_hosts = true;
    const bool has_open_end = std::any_of(
        hosts.begin(), hosts.end(), [](const Value* host) { return host->as_string().ends_with(".*"); });
    Value list = placed(Value::array(), *hosts.front());
    std::string pattern;
    for (const Value* host : hosts) {
      const std::string& text = host->as_string();
      if (has_open_end && text.find(':') != text.npos)
        findings_.refuse(*host, route.item.path("hosts"),
                         "a port cannot stand beside a host that ends in a wildcard; make two routes");
      std::string regex = text.ends_with(".*")     ? escape_regex(text.substr(0, text.size() - 1)) + ".+"
                          : text.starts_with("*.") ? ".+" + escape_regex(text.substr(1))
                                                   : escape_regex(text);
      pattern += (pattern.empty() ? "" : "|") + regex;
      list.items().push_back(*host);
    }
    if (has_open_end)
      add_rule(vars, "host", "~*", "^(?:" + pattern + ")$", *hosts.front());
    else
      made->set("hosts", std::move(list));
  }

  void add_protocol(const KongRoute& route, Value* plugins, Value* vars) {
    const std::vector<const Value*> protocols = reader(route).texts("protocols");
    if (protocols.size() != 1) return;
    const Value& at = *protocols.front();
    if (at.as_string() == "http") return add_rule(vars, "client_scheme", "==", "http", at);
    const int64_t code = reader(route).whole("https_redirect_status_code", 200, 499, 426);
    constexpr std::array<int64_t, 5> kCodes{426, 301, 302, 307, 308};
    if (std::find(kCodes.begin(), kCodes.end(), code) == kCodes.end())
      reader(route).refuse("https_redirect_status_code", "expected 426, 301, 302, 307 or 308");
    Value conf = placed(Value::object(), at);
    conf.set("status_code", placed_number(static_cast<double>(code), at));
    plugins->set("kong-https-only", std::move(conf));
  }

  void add_rewrites(const Entry& entry, Value* plugins) {
    const KongRoute& route = *entry.route;
    const std::string service_path = route.service ? kong_service_path(model_.services[*route.service]) : "/";
    const auto handling =
        reader(route).text("path_handling", "v0") == "v1" ? KongPathHandling::kV1 : KongPathHandling::kV0;
    const std::vector<std::string> rewrites =
        make_kong_rewrites(entry.paths, service_path, reader(route).flag("strip_path", true), handling);
    if (rewrites.empty()) return;
    const Value& at = entry.places.empty() ? *route.item.body : *entry.places.front();
    Value list = placed(Value::array(), at);
    for (const std::string& part : rewrites) list.items().push_back(placed_text(part, at));
    Value conf = placed(Value::object(), at);
    conf.set("regex_uri", std::move(list));
    plugins->set("proxy-rewrite", std::move(conf));
  }

  Value make_route(const Entry& entry, const std::string& id) {
    const KongRoute& route = *entry.route;
    const Value& body = *route.item.body;
    Value made = placed(Value::object(), body);
    made.set("id", placed_text(id, body));
    made.set("name", placed_text(route.id, body));
    copy_kong_tags(route.item, findings_, &made);
    made.set("uris", make_uris(entry));
    if (!reader(route).texts("methods").empty()) made.set("methods", *body.find("methods"));
    Value vars = placed(Value::array(), body);
    add_hosts(route, &made, &vars);
    add_header_rules(route, &vars);
    if (!entry.paths.empty() && !entry.paths.front().pattern.empty())
      add_rule(&vars, "uri", "~~", entry.paths.front().pattern, *entry.places.front());
    Value plugins =
        plugins_.translate(route.plugins, "route:" + route.id, route.service ? Value::object() : global_);
    add_protocol(route, &plugins, &vars);
    add_rewrites(entry, &plugins);
    if (!vars.items().empty()) made.set("vars", std::move(vars));
    made.set("priority", placed_number(static_cast<double>(entry.priority), body));
    if (!plugins.members().empty()) made.set("plugins", placed(std::move(plugins), body));
    if (!route.service) return made;
    const KongService& service = model_.services[*route.service];
    made.set("service_id", placed_text(service.id, body));
    if (reader(route).flag("preserve_host", false))
      made.set("upstream", make_kong_upstream(model_, service, true, findings_));
    return made;
  }

  const KongModel& model_;
  KongPlugins& plugins_;
  const Value& global_;
  KongFindings& findings_;
  std::vector<Entry> entries_;
  KongRouteList list_;
};

}  // namespace

KongRouteList make_kong_routes(const KongModel& model, KongPlugins& plugins, const Value& global,
                               KongFindings& findings) {
  return RouteMaker(model, plugins, global, findings).make();
}

}  // namespace moongate::config
