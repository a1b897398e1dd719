// SPDX-License-Identifier: Apache-2.0
#include "control/health_page.h"

#include <span>

namespace moongate::control {

using base::Value;

namespace {

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string row(std::initializer_list<std::string> cells, const char* cell) {
  const std::string open = std::string("<") + cell + ">";
  std::string out = "<tr>";
  for (const std::string& text : cells) out += open + escape_html(text) + "</" + cell + ">";
  return out + "</tr>\n";
}

std::string count_text(const Value& counts, std::string_view name) {
  return std::to_string(static_cast<int>(counts.get_number(name, 0)));
}

std::string rows_of(const Value& checker) {
  std::string out;
  for (const Value& node : checker.find("nodes")->items()) {
    const Value& counts = *node.find("counter");
    const std::string address = std::string(node.get_string("ip")) + ":" +
                                std::to_string(static_cast<int>(node.get_number("port", 0)));
    out += row({std::string(checker.get_string("name")), std::string(checker.get_string("type")), address,
                std::string(node.get_string("hostname")), std::string(node.get_string("status")),
                count_text(counts, "success"), count_text(counts, "http_failure"),
                count_text(counts, "tcp_failure"), count_text(counts, "timeout_failure")},
               "td");
  }
  return out;
}

}  // namespace

std::string health_page(const Value& checkers) {
  std::string rows;
  const std::span<const Value> list =
      checkers.is_array() ? std::span<const Value>(checkers.items()) : std::span<const Value>(&checkers, 1);
  for (const Value& checker : list) rows += rows_of(checker);
  return "<!DOCTYPE html>\n<html><head><title>Health of upstreams</title></head>\n<body>\n<table "
         "border=\"1\">\n" +
         row({"Upstream", "Check", "Node", "Host", "Status", "Successes", "HTTP failures", "TCP failures",
              "Timeouts"},
             "th") +
         rows + "</table>\n</body></html>\n";
}

}  // namespace moongate::control
