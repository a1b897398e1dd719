// SPDX-License-Identifier: Apache-2.0
// Puts the parts together. Kong lets the plugin of the narrowest scope win: consumer, route, service, global;
// so do we for the first three, while global rules run beside the others. Hence global plugins are given to
// every service, and to routes without one.
#include "config/kong.h"

#include <array>
#include <set>

#include "config/kong_consumers.h"
#include "config/kong_routes.h"
#include "config/kong_upstreams.h"

namespace moongate::config {

using base::Value;

namespace {

class Translator {
 public:
  Translator(const Value& root, const Places& places)
      : findings_(places), model_(read_kong_model(root, findings_)), plugins_(model_, findings_) {}

  KongTranslation translate() {
    check_kong_upstreams(model_, findings_);
    const KongPluginFacts facts = find_kong_plugin_facts(model_, findings_);
    const Value global = plugins_.translate(model_.plugins, "global", Value::object());
    KongTranslation out;
    KongRouteList routes = make_kong_routes(model_, plugins_, global, findings_);
    if (routes.has_hosts) {
      Value settings = Value::object();
      settings.set("router", Value::string("radixtree_uri"));
      out.root.set("moongate", std::move(settings));
    }
    set_list(&out.root, "routes", std::move(routes.routes));
    set_list(&out.root, "services", make_services(global));
    set_list(&out.root, "consumers", make_kong_consumers(model_, plugins_, facts, findings_));
    set_list(&out.root, "ssls", make_certificates());
    out.findings = findings_.take();
    return out;
  }

 private:
  static void set_list(Value* root, std::string key, Value list) {
    if (!list.items().empty()) root->set(std::move(key), std::move(list));
  }

  Value make_services(const Value& global) {
    Value list = Value::array();
    for (const KongService& service : model_.services) {
      const Value& body = *service.item.body;
      Value made = placed(Value::object(), body);
      made.set("id", placed_text(service.id, body));
      made.set("name", placed_text(service.id, body));
      copy_kong_tags(service.item, findings_, &made);
      made.set("enable_websocket", placed_flag(true, body));
      made.set("upstream", make_kong_upstream(model_, service, false, findings_));
      Value plugins = plugins_.translate(service.plugins, "service:" + service.id, global);
      if (!plugins.members().empty()) made.set("plugins", placed(std::move(plugins), body));
      list.items().push_back(std::move(made));
    }
    return list;
  }

  Value make_certificates() {
    Value list = Value::array();
    constexpr std::array<std::string_view, 5> kKeys{"id", "cert", "key", "snis", "tags"};
    for (const KongCertificate& certificate : model_.certificates) {
      const KongItem& item = certificate.item;
      const KongReader reader(item, findings_);
      reader.check_keys(kKeys);
      Value made = placed(Value::object(), *item.body);
      const std::string id = reader.text("id", "certificate-" + std::to_string(list.items().size() + 1));
      made.set("id", placed_text(kong_id(id), *item.body));
      copy_kong_tags(item, findings_, &made);
      for (const std::string_view key : {"cert", "key"}) {
        if (const Value* text = reader.find(key)) made.set(std::string(key), *text);
      }
      if (Value names = make_names(certificate); !names.items().empty()) made.set("snis", std::move(names));
      list.items().push_back(std::move(made));
    }
    return list;
  }

  /// The names of a certificate: texts, or {name: ...}.
  Value make_names(const KongCertificate& certificate) {
    const KongItem& item = certificate.item;
    const Value* written = item.body->find("snis");
    Value names = placed(Value::array(), written != nullptr ? *written : *item.body);
    for (const KongItem& sni : certificate.snis) {
      const std::string name = KongReader(sni, findings_).text("name");
      if (name.empty()) findings_.refuse(*sni.body, sni.path("name"), "missing; it is the host");
      names.items().push_back(placed_text(name, *sni.body));
    }
    if (written == nullptr || !written->is_array()) return names;
    for (const Value& sni : written->items()) {
      const std::string name(sni.is_string() ? std::string_view(sni.as_string()) : sni.get_string("name"));
      if (name.empty()) findings_.refuse(sni, item.path("snis"), "expected a name");
      names.items().push_back(placed_text(name, sni));
    }
    return names;
  }

  KongFindings findings_;
  const KongModel model_;
  KongPlugins plugins_;
};

}  // namespace

bool is_kong_file(const Value& root) { return root.find("_format_version") != nullptr; }

KongTranslation translate_kong(const Value& root, const Places& places) {
  return Translator(root, places).translate();
}

}  // namespace moongate::config
