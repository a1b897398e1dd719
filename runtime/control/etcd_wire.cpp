// SPDX-License-Identifier: Apache-2.0
#include "control/etcd_wire.h"

#include <algorithm>
#include <charconv>

#include "base/base64.h"
#include "base/json.h"
#include "control/references.h"

namespace moongate::control {

using base::Result;
using base::Value;
using config::Kind;

namespace {

constexpr size_t kShownMax = 200;  // of a text of etcd's, in messages

Value text(std::string_view bytes) { return Value::string(std::string(bytes)); }
Value coded(std::string_view bytes) { return Value::string(base::to_base64(bytes)); }
Result<std::string> decode(std::string_view coded_text) {
  std::optional<std::string> bytes = base::from_base64(coded_text);
  if (!bytes) return base::invalid("etcd's answer has a text that is no base64");
  return std::move(*bytes);
}
Value number(uint64_t value) { return Value::string(std::to_string(value)); }

/// A 64-bit number, which is written as a text; 0 when it is left out, as zeros are.
uint64_t number_in(const Value& value, std::string_view name) {
  const std::string_view digits = value.get_string(name);
  uint64_t found = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), found);
  return found;
}

uint64_t revision_in(const Value& answer) {
  const Value* header = answer.find("header");
  return header == nullptr ? 0 : number_in(*header, "revision");
}

std::string cluster_in(const Value& answer) {
  const Value* header = answer.find("header");
  return header == nullptr ? "" : std::string(header->get_string("cluster_id"));
}

Result<Value> parse_object(std::string_view body) {
  Result<Value> answer = base::parse_json(body);
  if (!answer) return base::invalid("etcd's answer is no JSON: " + answer.error().detail);
  if (!answer->is_object()) return base::invalid("etcd's answer is no JSON object");
  return answer;
}

/// The first key behind all that begin with `prefix`.
std::string end_of(std::string prefix) {
  prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

Result<EtcdEntry> parse_entry(const Value& kv) {
  EtcdEntry entry;
  Result<std::string> key = decode(kv.get_string("key"));
  if (!key) return key.error();
  entry.key = key.take();
  entry.create_revision = number_in(kv, "create_revision");
  entry.mod_revision = number_in(kv, "mod_revision");
  const std::string_view value = kv.get_string("value");
  entry.is_too_large = value.size() / 4 * 3 > kEtcdValueMaxBytes + 2;
  if (entry.is_too_large) return entry;
  Result<std::string> bytes = decode(value);
  if (!bytes) return bytes.error();
  entry.value = bytes.take();
  return entry;
}

Value describe(const EtcdCompare& compare) {
  Value value = Value::object();
  const bool is_range = compare.kind == EtcdCompare::Kind::kNothingNewer;
  value.set("key", coded(compare.key));
  if (is_range) value.set("range_end", coded(end_of(compare.key)));
  switch (compare.kind) {
    case EtcdCompare::Kind::kUnchanged:
      value.set("target", text("MOD"));
      value.set("result", text("EQUAL"));
      value.set("mod_revision", number(compare.revision));
      break;
    case EtcdCompare::Kind::kAbsent:
      value.set("target", text("VERSION"));
      value.set("result", text("EQUAL"));
      value.set("version", number(0));
      break;
    case EtcdCompare::Kind::kPresent:
      value.set("target", text("VERSION"));
      value.set("result", text("GREATER"));
      value.set("version", number(0));
      break;
    case EtcdCompare::Kind::kNothingNewer:
      value.set("target", text("MOD"));
      value.set("result", text("LESS"));
      value.set("mod_revision", number(compare.revision + 1));
      break;
  }
  return value;
}

Value describe(const EtcdOperation& operation) {
  Value request = Value::object();
  request.set("key", coded(operation.key));
  if (operation.value) request.set("value", coded(*operation.value));
  if (!operation.lease_id.empty()) request.set("lease", text(operation.lease_id));
  Value value = Value::object();
  value.set(operation.value ? "request_put" : "request_delete_range", std::move(request));
  return value;
}

}  // namespace

std::string etcd_key(const std::string& prefix, const ResourceKey& key) {
  return prefix + "/" + resource_name(key);
}

std::optional<ResourceKey> resource_of(const std::string& prefix, std::string_view key) {
  constexpr size_t kIdMax = 256;
  if (!key.starts_with(prefix) || key.size() <= prefix.size() || key[prefix.size()] != '/')
    return std::nullopt;
  auto found = parse_resource_name(key.substr(prefix.size() + 1));
  if (!found || found->second.empty() || found->second.size() > kIdMax) return std::nullopt;
  const std::string_view id = found->second;
  if (id.starts_with('/') || id.ends_with('/') || id.find("//") != id.npos) return std::nullopt;
  const auto slashes = std::count(id.begin(), id.end(), '/');
  const auto expected = config::find_owned(found->first) != nullptr ? 2
                        : found->first == Kind::kSecret             ? 1
                                                                    : 0;
  return slashes == expected ? found : std::nullopt;
}

std::string page_request(const EtcdPageQuestion& question) {
  // No order is asked for: etcd has its keys in order, and would read all of them first to sort them.
  const std::string all = question.prefix + "/";
  Value request = Value::object();
  request.set("key", coded(question.from_key.empty() ? all : question.from_key));
  request.set("range_end", coded(end_of(all)));
  request.set("limit", number(question.limit));
  if (question.revision != 0) request.set("revision", number(question.revision));
  if (question.is_keys_only) request.set("keys_only", Value::boolean(true));
  return base::to_json(request);
}

Result<EtcdPage> parse_page(std::string_view body, bool is_keys_only) {
  const Result<Value> answer = parse_object(body);
  if (!answer) return answer.error();
  EtcdPage page;
  page.revision = revision_in(*answer);
  page.cluster_id = cluster_in(*answer);
  page.has_more = answer->get_bool("more", false);
  if (page.revision == 0) return base::invalid("etcd's answer names no revision");
  const Value* kvs = answer->find("kvs");
  if (kvs == nullptr || !kvs->is_array()) return page;
  for (const Value& kv : kvs->items()) {
    Result<EtcdEntry> entry = parse_entry(kv);
    if (!entry) return entry.error();
    entry->is_too_large = entry->is_too_large || is_keys_only;
    page.entries.push_back(entry.take());
  }
  return page;
}

std::string probe_request(const std::string& prefix) {
  Value request = Value::object();
  request.set("key", coded(prefix + "/"));
  return base::to_json(request);
}

std::string watch_request(const std::string& prefix, uint64_t from_revision) {
  const std::string all = prefix + "/";
  Value create = Value::object();
  create.set("key", coded(all));
  create.set("range_end", coded(end_of(all)));
  create.set("start_revision", number(from_revision));
  create.set("progress_notify", Value::boolean(true));
  create.set("fragment", Value::boolean(true));
  Value request = Value::object();
  request.set("create_request", std::move(create));
  return base::to_json(request);
}

Result<EtcdNews> parse_news(std::string_view message) {
  const Result<Value> parsed = parse_object(message);
  if (!parsed) return parsed.error();
  if (const Value* error = parsed->find("error")) {
    const std::string_view reason = error->is_string() ? error->as_string() : error->get_string("message");
    return base::invalid("the watch ended: " + std::string(reason.substr(0, kShownMax)));
  }
  const Value* result = parsed->find("result");
  if (result == nullptr || !result->is_object()) return base::invalid("a message of the watch has no result");
  EtcdNews news;
  news.revision = revision_in(*result);
  news.cluster_id = cluster_in(*result);
  news.compact_revision = number_in(*result, "compact_revision");
  news.is_created = result->get_bool("created", false);
  news.is_fragment = result->get_bool("fragment", false);
  if (result->get_bool("canceled", false)) {
    const std::string_view reason = result->get_string("cancel_reason", "etcd gives no reason");
    news.end = "the watch was ended: " + std::string(reason.substr(0, kShownMax));
  }
  const Value* events = result->find("events");
  if (events == nullptr || !events->is_array()) return news;
  for (const Value& event : events->items()) {
    const Value* kv = event.find("kv");
    if (kv == nullptr) return base::invalid("an event of the watch has no key");
    Result<EtcdEntry> entry = parse_entry(*kv);
    if (!entry) return entry.error();
    entry->is_deleted = event.get_string("type") == "DELETE";
    news.entries.push_back(entry.take());
  }
  return news;
}

std::string transaction_request(const EtcdTransaction& transaction) {
  Value request = Value::object();
  Value& compares = request.set("compare", Value::array());
  for (const EtcdCompare& compare : transaction.compares) compares.items().push_back(describe(compare));
  Value& operations = request.set("success", Value::array());
  for (const EtcdOperation& operation : transaction.operations)
    operations.items().push_back(describe(operation));
  return base::to_json(request);
}

Result<EtcdVerdict> parse_verdict(std::string_view body) {
  const Result<Value> answer = parse_object(body);
  if (!answer) return answer.error();
  const EtcdVerdict verdict{answer->get_bool("succeeded", false), revision_in(*answer)};
  if (verdict.revision == 0) return base::invalid("etcd's answer names no revision");
  return verdict;
}

std::string lease_request(uint64_t ttl_s) {
  Value request = Value::object();
  request.set("TTL", number(ttl_s));
  return base::to_json(request);
}

Result<std::string> parse_lease(std::string_view body) {
  const Result<Value> answer = parse_object(body);
  if (!answer) return answer.error();
  const std::string_view id = answer->get_string("ID");
  if (id.empty()) return base::invalid("etcd's answer names no lease");
  return std::string(id);
}

std::string authentication_request(const std::string& user, const std::string& password) {
  Value request = Value::object();
  request.set("name", text(user));
  request.set("password", text(password));
  return base::to_json(request);
}

Result<std::string> parse_token(std::string_view body) {
  const Result<Value> answer = parse_object(body);
  if (!answer) return answer.error();
  const std::string_view token = answer->get_string("token");
  const bool is_plain = !token.empty() && token.find_first_of("\r\n") == token.npos;
  if (!is_plain) return base::invalid("etcd's answer has no token");
  return std::string(token);
}

EtcdRefusal parse_refusal(uint16_t status, std::string_view body) {
  constexpr double kUnknown = 2;  // codes of gRPC: whether something was done is not known of these
  constexpr double kDeadlineExceeded = 4;
  constexpr double kInternal = 13;
  constexpr double kUnavailable = 14;
  constexpr double kUnauthenticated = 16;
  EtcdRefusal refusal;
  refusal.text = "etcd answers " + std::to_string(status);
  const Result<Value> answer = base::parse_json(body);
  if (!answer || !answer->is_object()) return refusal;
  const std::string_view reason = answer->get_string("message", answer->get_string("error"));
  if (!reason.empty()) refusal.text = reason.substr(0, kShownMax);
  const double code = answer->get_number("code", kUnknown);
  const bool has_no_leader = reason.find("no leader") != reason.npos;
  refusal.is_certain = has_no_leader || (code != kUnknown && code != kDeadlineExceeded && code != kInternal &&
                                         code != kUnavailable);
  refusal.is_of_token =
      code == kUnauthenticated || reason.find("revision of auth store is old") != reason.npos;
  return refusal;
}

Result<void> EtcdMessageCutter::feed(std::string_view bytes,
                                     const std::function<bool(std::string_view)>& on_message) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (begun_.size() + part.size() > message_max_bytes_) {
      return base::Error{base::ErrorKind::kLimit, base::Side::kUpstream, false,
                         "a message of the watch is too large"};
    }
    begun_ += part;
    if (end == bytes.npos) return {};
    bytes.remove_prefix(end + 1);
    const std::string message = std::exchange(begun_, {});
    if (!message.empty() && !on_message(message)) return {};
  }
  return {};
}

}  // namespace moongate::control
