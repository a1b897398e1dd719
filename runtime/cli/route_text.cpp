// SPDX-License-Identifier: Apache-2.0
#include "cli/route_text.h"

#include <algorithm>
#include <cstdio>

#include "http/head.h"

namespace moongate::cli {

using base::Value;

namespace {

constexpr size_t kNodesShownMax = 3;

std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return text;
}

}  // namespace

Value texts_value(const std::vector<std::string>& texts) {
  Value list = Value::array();
  for (const std::string& text : texts) list.items().push_back(Value::string(text));
  return list;
}

std::string joined(const Value& texts, std::string_view none) {
  std::string text;
  for (const Value& item : texts.items()) text += (text.empty() ? "" : ", ") + item.as_string();
  return text.empty() ? std::string(none) : text;
}

std::vector<std::string> methods_of(const router::RouteSpec& spec) {
  std::vector<std::string> methods;
  for (size_t i = 0; i < static_cast<size_t>(http::Method::kCount); i++) {
    const auto method = static_cast<http::Method>(i);
    if ((spec.methods & router::method_bit(method)) != 0) methods.emplace_back(http::method_name(method));
  }
  methods.insert(methods.end(), spec.other_methods.begin(), spec.other_methods.end());
  return methods;
}

Value describe_upstream(const upstream::Upstream* upstream) {
  if (upstream == nullptr) return Value::null();
  Value value = Value::object();
  value.set("id", Value::string(upstream->options().id));
  value.set("type", Value::string(upstream->options().type));
  value.set("scheme", Value::string(upstream->options().scheme));
  Value& nodes = value.set("nodes", Value::array());
  for (const upstream::Node& node : upstream->nodes()) {
    Value one = Value::object();
    one.set("address", Value::string(node.text));
    one.set("weight", Value::number(node.weight));
    one.set("priority", Value::number(node.priority));
    nodes.items().push_back(std::move(one));
  }
  return value;
}

std::string upstream_text(const Value& upstream) {
  if (!upstream.is_object()) return "none";
  std::string nodes;
  const std::vector<Value>& list = upstream.find("nodes")->items();
  for (size_t i = 0; i < std::min(list.size(), kNodesShownMax); i++)
    nodes += (i == 0 ? "" : ", ") + std::string(list[i].get_string("address"));
  if (list.size() > kNodesShownMax) nodes += " and " + std::to_string(list.size() - kNodesShownMax) + " more";
  const std::string id(upstream.get_string("id"));
  const bool is_inline = id.find('#') != std::string::npos;
  return (is_inline ? "" : id + ": ") + (nodes.empty() ? "no nodes" : nodes) + " (" +
         std::string(upstream.get_string("type")) + ")";
}

Value describe_route(const snapshot::Route& route, const router::RouteSpec& spec) {
  Value value = Value::object();
  value.set("id", Value::string(route.id));
  value.set("name", Value::string(route.name));
  value.set("uris", texts_value(spec.uris));
  value.set("hosts", texts_value(spec.hosts));
  value.set("methods", texts_value(methods_of(spec)));
  value.set("priority", Value::number(spec.priority));
  Value& plugins = value.set("plugins", Value::array());
  for (const snapshot::PluginConf& plugin : route.plugins.plugins)
    plugins.items().push_back(Value::string(plugin.name));
  value.set("service", route.service_id.empty() ? Value::null() : Value::string(route.service_id));
  value.set("upstream", describe_upstream(route.upstream.get()));
  value.set("fault", route.fault_status == 0 ? Value::null() : Value::string(route.fault_reason));
  return value;
}

void print_table(const std::vector<std::vector<std::string>>& rows, std::string_view indent) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line(indent);
    for (size_t i = 0; i < row.size(); i++) {
      line += printable(row[i]);
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    std::printf("%s\n", line.c_str());
  }
}

}  // namespace moongate::cli
