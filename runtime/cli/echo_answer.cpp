// SPDX-License-Identifier: Apache-2.0
#include "cli/echo_answer.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "base/arena.h"
#include "base/ascii.h"
#include "base/json.h"
#include "http/chunked.h"
#include "http/uri.h"
#include "http/writer.h"

namespace moongate::cli {

using base::Value;

namespace {

constexpr uint64_t kDelayMaxMs = 60000;
constexpr size_t kHeadersMax = 100;

/// What the query asks for.
struct Knobs {
  uint64_t status = 200;
  uint64_t delay_ms = 0;
  std::optional<uint64_t> size;
  std::vector<std::pair<std::string, std::string>> fields;
  bool is_chunked = false;
  bool closes = false;
  std::string name;
};

/// Path and query of the target as they were received, without the authority of an absolute one.
struct Target {
  std::string_view path;
  std::string_view query;
};

Target split_target(std::string_view target) {
  if (const std::string_view authority = http::absolute_authority(target); !authority.empty()) {
    target.remove_prefix(static_cast<size_t>(authority.data() + authority.size() - target.data()));
  }
  const size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {target, {}};
  return {target.substr(0, mark), target.substr(mark + 1)};
}

std::string read_number(std::string_view name, std::string_view text, uint64_t min, uint64_t max,
                        uint64_t* out) {
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), *out);
  if (fault == std::errc() && end == text.data() + text.size() && *out >= min && *out <= max) return {};
  return std::string(name) + " must be a number from " + std::to_string(min) + " to " + std::to_string(max);
}

std::string read_flag(std::string_view name, std::string_view text, bool* out) {
  if (text != "0" && text != "1") return std::string(name) + " must be 0 or 1";
  *out = text == "1";
  return {};
}

bool frames_message(std::string_view name) {
  constexpr std::string_view kFraming[] = {"content-length", "transfer-encoding", "connection",
                                           "keep-alive",     "upgrade",           "trailer"};
  return std::find(std::begin(kFraming), std::end(kFraming), base::lower_case(std::string(name))) !=
         std::end(kFraming);
}

std::string read_field(std::string_view text, Knobs* knobs) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return "header must be Name:Value";
  const std::string_view name = text.substr(0, colon);
  std::string_view value = text.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
  if (!http::is_field_name(name) || !http::is_field_value(value)) return "header must be a valid field";
  if (frames_message(name)) return "header must not be one that frames the message: " + std::string(name);
  if (knobs->fields.size() == kHeadersMax) return "header may stand 100 times at most";
  knobs->fields.emplace_back(name, value);
  return {};
}

/// What is wrong, or nothing.
std::string read_knob(std::string_view name, std::string_view value, Knobs* knobs) {
  if (name == "status") return read_number(name, value, 200, 599, &knobs->status);
  if (name == "delay_ms") return read_number(name, value, 0, kDelayMaxMs, &knobs->delay_ms);
  if (name == "size") return read_number(name, value, 0, kEchoSizeMax, &knobs->size.emplace());
  if (name == "header") return read_field(value, knobs);
  if (name == "chunked") return read_flag(name, value, &knobs->is_chunked);
  if (name == "close") return read_flag(name, value, &knobs->closes);
  if (name == "name") knobs->name = value;
  return {};
}

std::string read_knobs(std::string_view query, base::Arena* arena, Knobs* knobs) {
  std::string_view name;
  std::string_view value;
  bool has_value = false;
  while (http::next_query_argument(&query, &name, &value, &has_value)) {
    if (!has_value) continue;
    std::string fault =
        read_knob(http::unescape(name, true, arena), http::unescape(value, true, arena), knobs);
    if (!fault.empty()) return fault;
  }
  return {};
}

/// Adds a member; a second one of that name makes a list.
void add_repeatable(Value& object, const std::string& name, Value value) {
  Value* present = object.find(name);
  if (present == nullptr) {
    object.set(name, std::move(value));
  } else if (present->is_array()) {
    present->items().push_back(std::move(value));
  } else {
    Value list = Value::array();
    list.items().push_back(std::move(*present));
    list.items().push_back(std::move(value));
    *present = std::move(list);
  }
}

Value describe_arguments(std::string_view query, base::Arena* arena) {
  Value out = Value::object();
  std::string_view name;
  std::string_view value;
  bool has_value = false;
  while (http::next_query_argument(&query, &name, &value, &has_value)) {
    Value decoded =
        has_value ? Value::string(std::string(http::unescape(value, true, arena))) : Value::boolean(true);
    add_repeatable(out, std::string(http::unescape(name, true, arena)), std::move(decoded));
  }
  return out;
}

Value describe_fields(const http::FieldList& fields) {
  Value out = Value::object();
  for (const http::Field& field : fields) {
    const std::string name = base::lower_case(std::string(field.name));
    const Value* present = out.find(name);
    std::string value = present != nullptr ? present->as_string() + ", " : "";
    value += field.value;
    out.set(name, Value::string(std::move(value)));
  }
  return out;
}

std::string describe(const http::RequestHead& head, const Target& target, std::string_view body,
                     const Knobs& knobs, const EchoIdentity& identity, base::Arena* arena) {
  Value out = Value::object();
  out.set("method", Value::string(std::string(head.method_text)));
  out.set("path", Value::string(std::string(target.path)));
  out.set("query", Value::string(std::string(target.query)));
  out.set("args", describe_arguments(target.query, arena));
  out.set("headers", describe_fields(head.fields));
  out.set("body", Value::string(std::string(body)));
  out.set("host", Value::string(std::string(head.host)));
  out.set("port", Value::number(identity.port));
  if (!identity.upstream.empty()) out.set("upstream", Value::string(identity.upstream));
  if (!knobs.name.empty()) out.set("name", Value::string(knobs.name));
  return base::to_json(out, true) + "\n";
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

void append_status_line(std::string& out, uint16_t status) {
  char line[64];
  out.append(line, static_cast<size_t>(http::write_status_line(line, status, {}) - line));
}

bool has_field(const Knobs& knobs, std::string_view name) {
  return std::any_of(knobs.fields.begin(), knobs.fields.end(),
                     [name](const auto& field) { return http::equals_ignoring_case(field.first, name); });
}

void append_fields(std::string& out, const Knobs& knobs, std::string_view type) {
  if (!has_field(knobs, "Content-Type")) append_field(out, "Content-Type", type);
  for (const auto& [name, value] : knobs.fields) append_field(out, name, value);
  if (knobs.closes) append_field(out, "Connection", "close");
}

void append_chunk(std::string& out, std::string_view body) {
  char open[20];
  if (!body.empty()) {
    out.append(open, http::write_chunk_open(body.size(), open));
    out.append(body).append(http::kChunkClose);
  }
  out.append(http::kLastChunk);
}

/// Head and body. `size` of the knobs replaces the body by filler.
EchoAnswer assemble(const Knobs& knobs, std::string_view type, std::string_view body,
                    const http::RequestHead& head) {
  EchoAnswer answer;
  answer.delay = std::chrono::milliseconds(knobs.delay_ms);
  answer.closes = knobs.closes;
  const auto status = static_cast<uint16_t>(knobs.status);
  append_status_line(answer.bytes, status);
  append_fields(answer.bytes, knobs, type);
  const bool may_have_body = status != 204 && status != 304;
  const bool is_chunked = knobs.is_chunked && head.version_minor == 1 && may_have_body;
  const uint64_t size = knobs.size.value_or(body.size());
  if (is_chunked)
    append_field(answer.bytes, "Transfer-Encoding", "chunked");
  else if (may_have_body)
    append_field(answer.bytes, "Content-Length", std::to_string(size));
  answer.bytes.append("\r\n");
  if (!may_have_body || head.method == http::Method::kHead) return answer;
  if (knobs.size) {
    answer.filler_size = size;
    answer.is_chunked = is_chunked;
    if (is_chunked && size == 0) answer.bytes.append(http::kLastChunk);
  } else if (is_chunked) {
    append_chunk(answer.bytes, body);
  } else {
    answer.bytes.append(body);
  }
  return answer;
}

}  // namespace

EchoAnswer make_echo_refusal(uint16_t status, std::string_view reason) {
  std::string body = "{\"error_msg\":";
  base::append_json_string(body, reason);
  body += "}\n";
  EchoAnswer answer;
  answer.closes = true;
  append_status_line(answer.bytes, status);
  append_field(answer.bytes, "Content-Type", "application/json");
  append_field(answer.bytes, "Content-Length", std::to_string(body.size()));
  append_field(answer.bytes, "Connection", "close");
  answer.bytes.append("\r\n").append(body);
  return answer;
}

EchoAnswer make_echo_answer(const http::RequestHead& head, std::string_view body,
                            const EchoIdentity& identity) {
  const Target target = split_target(head.target);
  Knobs knobs;
  if (head.method == http::Method::kGet && target.path == "/health") {
    knobs.closes = !head.is_keep_alive;
    return assemble(knobs, "text/plain", "ok", head);
  }
  base::Arena arena;
  if (const std::string fault = read_knobs(target.query, &arena, &knobs); !fault.empty())
    return make_echo_refusal(400, fault);
  if (!head.is_keep_alive) knobs.closes = true;
  if (knobs.size) return assemble(knobs, "text/plain", {}, head);
  return assemble(knobs, "application/json", describe(head, target, body, knobs, identity, &arena), head);
}

}  // namespace moongate::cli
