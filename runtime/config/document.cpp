// SPDX-License-Identifier: Apache-2.0
#include "config/document.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "config/etcd_values.h"
#include "config/merge.h"
#include "config/metrics_values.h"
#include "config/setting_values.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

struct KindNames {
  std::string_view one;
  std::string_view list;
};

constexpr std::array<KindNames, kKindCount> kKindNames{{{"route", "routes"},
                                                        {"service", "services"},
                                                        {"upstream", "upstreams"},
                                                        {"consumer", "consumers"},
                                                        {"credential", "consumers"},
                                                        {"consumer_group", "consumer_groups"},
                                                        {"plugin_config", "plugin_configs"},
                                                        {"global_rule", "global_rules"},
                                                        {"plugin_metadata", "plugin_metadata"},
                                                        {"ssl", "ssls"},
                                                        {"proto", "protos"},
                                                        {"secret", "secrets"},
                                                        {"stream_route", "stream_routes"},
                                                        {"graphql_cost_decoration", "services"}}};

constexpr std::array<std::string_view, 15> kTopKeys{
    "routes",         "services",      "upstreams",       "consumers",   "consumer_groups",
    "plugin_configs", "global_rules",  "plugin_metadata", "ssls",        "protos",
    "secrets",        "stream_routes", "plugins",         "plugin_attr", "moongate"};

constexpr size_t kIdMax = 256;

// Sections of APISIX's config.yaml, which people paste by mistake.
constexpr std::array<std::string_view, 3> kApisixKeys{"apisix", "nginx_config", "discovery"};

std::string position_text(Kind kind, size_t position) {
  return std::string(kind_list_name(kind)) + "[" + std::to_string(position) + "]";
}

/// Sorts one tree into a document.
class Sorter {
 public:
  explicit Sorter(const Places& places) : places_(places) {}

  Result<Document> sort(Value root) {
    if (!root.is_object())
      return places_.error(root, "", "the top level is not a mapping; begin with a key such as `routes:`");
    if (auto taken = take_deployment(root, places_); !taken) return taken.error();
    for (const Value::Member& member : root.members()) {
      if (auto checked = check_top_key(member); !checked) return checked.error();
    }
    if (auto copied = copy_prometheus_attributes(root, places_); !copied) return copied.error();
    const Value* settings = root.find("moongate");
    Result<Settings> parsed = parse_settings(settings != nullptr ? *settings : Value(), places_);
    if (!parsed) return parsed.error();
    document_.settings = parsed.take();
    for (size_t i = 0; i < kKindCount; ++i) {
      const auto kind = static_cast<Kind>(i);
      if (find_owned(kind) != nullptr) continue;
      if (auto taken = take_list(root, kind); !taken) return taken.error();
    }
    document_.root = std::move(root);
    return std::move(document_);
  }

 private:
  Result<void> check_top_key(const Value::Member& member) const {
    const auto& [key, value] = member;
    if (std::find(kTopKeys.begin(), kTopKeys.end(), key) == kTopKeys.end()) {
      const bool is_apisix = std::find(kApisixKeys.begin(), kApisixKeys.end(), key) != kApisixKeys.end();
      if (is_apisix)
        return places_.error(value, key,
                             "belongs to APISIX's config.yaml; its settings go under `moongate:` here");
      return places_.error(value, "", describe_unknown("key", key, kTopKeys));
    }
    if (value.is_null()) return {};
    if (key == "plugin_attr" && !value.is_object()) {
      return places_.error(value, key, "expected a mapping of plugin names, got " + describe_value(value));
    }
    if (key == "plugins" && !value.is_array()) {
      return places_.error(value, key, "expected a list, got " + describe_value(value));
    }
    return {};
  }

  Result<void> take_list(Value& root, Kind kind) {
    const std::string key(kind_list_name(kind));
    Value* member = root.find(key);
    if (member == nullptr) return {};
    Value list = std::move(*member);
    root.remove(key);
    if (list.is_null()) return {};
    if (!list.is_array()) return places_.error(list, key, "expected a list, got " + describe_value(list));
    document_.resources.reserve(document_.resources.size() + list.items().size());
    std::unordered_map<std::string, size_t> by_id;
    by_id.reserve(list.items().size());
    for (size_t i = 0; i < list.items().size(); ++i) {
      if (auto taken = take_item(list.items()[i], kind, i, by_id); !taken) return taken;
    }
    return {};
  }

  Result<void> take_item(Value& item, Kind kind, size_t position,
                         std::unordered_map<std::string, size_t>& by_id) {
    if (!item.is_object())
      return places_.error(item, position_text(kind, position),
                           "expected a mapping, got " + describe_value(item));
    Resource resource{kind, id_of(item), Value(), position};
    if (resource.id.empty()) {
      if (auto named = name_item(item, kind, position, &resource.id); !named) return named;
    }
    if (resource.id.size() > kIdMax)
      return places_.error(item, position_text(kind, position) + ".id", "longer than 256 characters");
    if (const OwnedKind* owned = find_owned_by(kind)) {
      if (auto split = split_owned(*owned, item, &resource); !split) return split;
    }
    const auto [present, is_new] = by_id.emplace(resource.id, document_.resources.size());
    if (!is_new) {
      return places_.error(item, position_text(kind, position),
                           "the id `" + resource.id + "` is taken by the one at " +
                               places_.of(document_.resources[present->second].body) + "; give each its own");
    }
    resource.body = std::move(item);
    document_.resources.push_back(std::move(resource));
    return {};
  }

  // An item without id and username gets the id of its position; one whose id is something else is refused.
  Result<void> name_item(Value& item, Kind kind, size_t position, std::string* id) const {
    for (const std::string_view key : {"id", "username"}) {
      if (const Value* written = item.find(key)) {
        return places_.error(*written, position_text(kind, position) + "." + std::string(key),
                             "expected a text or a whole number, got " + describe_value(*written));
      }
    }
    *id = "arr_" + std::to_string(position + 1);
    Value text = Value::string(*id);
    text.set_place(item.file(), item.line());
    item.set("id", std::move(text));
    return {};
  }

  Result<void> split_owned(const OwnedKind& owned, const Value& item, Resource* resource) const {
    const size_t mark = resource->id.find(owned.mark);
    if (mark == std::string::npos) {
      // A consumer's key is its username, whatever its id says.
      const std::string_view username =
          owned.owner == Kind::kConsumer ? item.get_string("username") : std::string_view();
      if (!username.empty()) resource->id = username;
      return {};
    }
    const std::string_view rest = std::string_view(resource->id).substr(mark + owned.mark.size());
    if (mark == 0 || rest.empty() || rest.find('/') != rest.npos) {
      const std::string_view owner = owned.owner == Kind::kConsumer ? "USERNAME" : "SERVICE";
      return places_.error(item, position_text(owned.owner, resource->position) + ".id",
                           "a " + std::string(kind_name(owned.kind)) + "'s id is " + std::string(owner) +
                               std::string(owned.mark) + "ID, got `" + resource->id + "`");
    }
    resource->kind = owned.kind;
    return {};
  }

  const Places& places_;
  Document document_;
};

}  // namespace

std::string_view kind_name(Kind kind) { return kKindNames[static_cast<size_t>(kind)].one; }
std::string_view kind_list_name(Kind kind) { return kKindNames[static_cast<size_t>(kind)].list; }

const OwnedKind* find_owned(Kind kind) {
  const auto* const found = std::find_if(kOwnedKinds.begin(), kOwnedKinds.end(),
                                         [&](const OwnedKind& owned) { return owned.kind == kind; });
  return found == kOwnedKinds.end() ? nullptr : found;
}

const OwnedKind* find_owned_by(Kind owner) {
  const auto* const found = std::find_if(kOwnedKinds.begin(), kOwnedKinds.end(),
                                         [&](const OwnedKind& owned) { return owned.owner == owner; });
  return found == kOwnedKinds.end() ? nullptr : found;
}

std::string_view owner_id(std::string_view id) { return id.substr(0, id.find('/')); }

std::string Resource::name() const {
  return is_stored ? std::string(kind_list_name(kind)) + "/" + id : position_text(kind, position);
}

Result<Document> make_document(Value root, const Places& places) {
  return Sorter(places).sort(std::move(root));
}

}  // namespace moongate::config
