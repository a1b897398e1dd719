// SPDX-License-Identifier: Apache-2.0
// The functions of native.lua that read and change an exchange. They are called from compiled traces: no Lua
// state, no waiting, no callbacks. Every text given by Lua is copied into the exchange's arena.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "exchange/traffic.h"
#include "exchange/variables.h"
#include "http/writer.h"
#include "script/field_names.h"
#include "script/host.h"

using moongate::exchange::AnswerSource;
using moongate::exchange::BodyState;
using moongate::exchange::Exchange;
using moongate::exchange::Phase;
using moongate::http::Field;
using moongate::http::FieldList;
using moongate::script::FieldNames;
using moongate::script::Host;
using std::string_view;

namespace {

struct mg_text {
  const char* data;
  size_t size;
};

struct mg_identity {
  mg_text username, credential, custom_id;
  uint64_t print;
};

struct mg_quota_names {
  int limit, remaining, reset;
};

struct mg_coding {
  int coding, level, window_bits, block_bits, mode;
  uint32_t length_min, piece_max;
};

void put(mg_text* out, string_view text) {
  static const char kEmpty[] = "";
  out->data = text.data() ? text.data() : kEmpty;
  out->size = text.size();
}

void put_nothing(mg_text* out) {
  out->data = nullptr;
  out->size = 0;
}

string_view view(const mg_text& text) { return {text.data, text.size}; }

Exchange& of(void* exchange) { return *static_cast<Exchange*>(exchange); }

const Field& named(Exchange& exchange, int number) {
  return FieldNames::of_this_thread().field(number, exchange.arena);
}

// What a change of a field came to, as native.lua has it.
constexpr int kRefused = 0;
constexpr int kChanged = 1;
constexpr int kTooLate = 2;

// The request's fields leave with the request, the answer's with the answer.
bool is_request_open(const Exchange& exchange) {
  return exchange.phase >= Phase::kRewrite && exchange.phase <= Phase::kBeforeProxy;
}
bool is_response_open(const Exchange& exchange) {
  return exchange.phase >= Phase::kRewrite && exchange.phase <= Phase::kHeaderFilter &&
         !exchange.is_head_sent;
}

// `value` is one that can be sent.
int put_field(Exchange& exchange, FieldList& fields, int number, string_view value, bool is_added) {
  if (number < 0) return kRefused;
  const string_view kept = exchange.arena.copy(value);
  const Field& field = named(exchange, number);
  if (is_added)
    fields.add(field.name, kept);
  else
    fields.set(field, kept);
  return kChanged;
}

int set_field(Exchange& exchange, FieldList& fields, int number, string_view value, bool is_added) {
  if (!moongate::http::is_field_value(value)) return kRefused;
  return put_field(exchange, fields, number, value, is_added);
}

constexpr size_t kNumberMax = 40;  // bytes

// std::round for what fits: a call of it would cost more than the rest.
double round_positive(double number) { return static_cast<double>(static_cast<int64_t>(number + 0.5)); }

// Writes a number as Lua writes it.
string_view format_number(double number, char* text) {
  size_t size = 0;
  if (number >= 0 && number < 1e14 && number == static_cast<double>(static_cast<uint64_t>(number))) {
    size = static_cast<size_t>(moongate::http::write_number(text, static_cast<uint64_t>(number)) - text);
  } else if (double hundreds = number * 100;
             hundreds >= 0 && hundreds < 1e12 && std::fabs(hundreds - round_positive(hundreds)) < 1e-6) {
    auto all = static_cast<uint64_t>(round_positive(hundreds));  // seconds as limits write them
    char* at = moongate::http::write_number(text, all / 100);
    *at++ = '.';
    *at++ = static_cast<char>('0' + all / 10 % 10);
    if (all % 10 != 0) *at++ = static_cast<char>('0' + all % 10);
    size = static_cast<size_t>(at - text);
  } else {
    size = static_cast<size_t>(std::snprintf(text, kNumberMax, "%.14g", number));
  }
  return {text, size};
}

// Numbers are written where they stay.
int put_number(Exchange& exchange, FieldList& fields, int number_of_name, double number) {
  if (number_of_name < 0) return kRefused;
  fields.set(named(exchange, number_of_name),
             format_number(number, exchange.arena.allocate_chars(kNumberMax)));
  return kChanged;
}

// The text of the last limit: requests of one route have the same.
string_view format_limit(double limit) {
  static thread_local double known = -1;
  static thread_local char text[kNumberMax];
  static thread_local string_view formatted;
  if (limit != known) {
    formatted = format_number(limit, text);
    known = limit;
  }
  return formatted;
}

int remove_field(Exchange& exchange, FieldList& fields, int number) {
  if (number < 0) return kRefused;
  fields.remove(named(exchange, number));
  return kChanged;
}

int get_field(Exchange& exchange, const FieldList& fields, int number, mg_text* out) {
  const Field* field = number < 0 ? nullptr : fields.find(named(exchange, number));
  if (field)
    put(out, field->value);
  else
    put_nothing(out);
  return field != nullptr;
}

// The headers that tell the upstream who the client is.
struct IdentityFields {
  Field username{"X-Consumer-Username", {}};
  Field credential{"X-Credential-Identifier", {}};
  Field custom_id{"X-Consumer-Custom-ID", {}};
};

// Without a value, `field` is taken away: what the request says is about this client only.
void set_or_remove(FieldList& fields, const Field& field, string_view value) {
  if (value.empty())
    fields.remove(field);
  else
    fields.set(field, value);
}

void field_at(const FieldList& fields, uint32_t index, mg_text* name, mg_text* value) {
  if (index >= fields.count()) {
    put_nothing(name);
    put_nothing(value);
    return;
  }
  put(name, fields[index].name);
  put(value, fields[index].value);
}

}  // namespace

extern "C" {

int mg_var_get(void* ex, const char* name, size_t name_size, mg_text* out) {
  string_view value;
  if (!moongate::exchange::find_variable(of(ex), {name, name_size}, &value)) {
    put_nothing(out);
    return 0;
  }
  put(out, value);
  return 1;
}

int mg_var_set(void* ex, const char* name, size_t name_size, const char* value, size_t size) {
  return static_cast<int>(moongate::exchange::set_variable(of(ex), {name, name_size}, {value, size}));
}

void mg_request_method_get(void* ex, mg_text* out) { put(out, of(ex).request.method_text); }

int mg_request_method_set(void* ex, const char* method, size_t size) {
  if (!moongate::http::is_field_name({method, size})) return 0;
  Exchange& exchange = of(ex);
  exchange.request.method_text = exchange.arena.copy({method, size});
  exchange.request.method = moongate::http::find_method(exchange.request.method_text);
  return 1;
}

int mg_request_version(void* ex) { return 10 * of(ex).request.version_major + of(ex).request.version_minor; }

double mg_request_started_at(void* ex) {
  return std::chrono::duration<double>(of(ex).started_wall.time_since_epoch()).count();
}

int mg_field_name(const char* name, size_t size) { return FieldNames::of_this_thread().find({name, size}); }

int mg_request_field_get(void* ex, int name, mg_text* out) {
  return get_field(of(ex), of(ex).request.fields, name, out);
}
uint32_t mg_request_field_count(void* ex) { return of(ex).request.fields.count(); }
uint32_t mg_request_field_count_of(void* ex, int name) {
  return name < 0 ? 0 : of(ex).request.fields.count(named(of(ex), name));
}
void mg_request_field_at(void* ex, uint32_t index, mg_text* name, mg_text* value) {
  field_at(of(ex).request.fields, index, name, value);
}
int mg_request_field_set(void* ex, int name, const char* value, size_t size) {
  if (!is_request_open(of(ex))) return kTooLate;
  return set_field(of(ex), of(ex).request.fields, name, {value, size}, false);
}
int mg_request_field_add(void* ex, int name, const char* value, size_t size) {
  if (!is_request_open(of(ex))) return kTooLate;
  return set_field(of(ex), of(ex).request.fields, name, {value, size}, true);
}
int mg_request_field_remove(void* ex, int name) {
  return is_request_open(of(ex)) ? remove_field(of(ex), of(ex).request.fields, name) : kTooLate;
}

void mg_request_path_get(void* ex, mg_text* decoded) { put(decoded, of(ex).uri.path); }

void mg_request_query_get(void* ex, mg_text* out) {
  if (of(ex).uri.has_query)
    put(out, of(ex).uri.query);
  else
    put_nothing(out);
}

int mg_request_uri_set(void* ex, const char* path, size_t path_size, const char* query, size_t query_size,
                       mg_text* reason) {
  Exchange& exchange = of(ex);
  moongate::http::CanonicalUri uri;
  string_view why;
  string_view kept_path = exchange.arena.copy({path, path_size});
  string_view kept_query = query ? exchange.arena.copy({query, query_size}) : string_view();
  const auto& policy = exchange.snapshot->settings->uri;
  if (!moongate::http::canonicalize_path(kept_path, kept_query, query != nullptr, policy, &exchange.arena,
                                         &uri, &why)) {
    put(reason, why);
    return 0;
  }
  exchange.uri = uri;
  exchange.has_upstream_uri = false;  // who wrote last is heard
  return 1;
}

int mg_request_query_set(void* ex, const char* query, size_t size) {
  for (size_t i = 0; i < size; i++) {
    auto byte = static_cast<unsigned char>(query[i]);
    if (byte <= 0x20 || byte == 0x7f || byte == '#') return 0;
  }
  Exchange& exchange = of(ex);
  exchange.uri.query = exchange.arena.copy({query, size});
  exchange.uri.has_query = size > 0;
  return 1;
}

int mg_request_body_get(void* ex, mg_text* out) {
  Exchange& exchange = of(ex);
  put_nothing(out);
  switch (exchange.body_state) {
    case BodyState::kNone:
    case BodyState::kFailed:
      return 0;
    case BodyState::kUnread:
    case BodyState::kReading:
      return 1;
    case BodyState::kCollected:
    case BodyState::kReplaced:
      if (exchange.body.is_in_file()) {
        put(out, exchange.arena.copy(exchange.body.path()));
        return 3;
      }
      put(out, exchange.body.view());
      return 2;
  }
  return 0;
}

int mg_request_body_set(void* ex, const char* data, size_t size) {
  Exchange& exchange = of(ex);
  // A body that is still with the client would arrive after its replacement.
  if (exchange.has_body_left_client || exchange.body_state == BodyState::kUnread) return 0;
  exchange.body.replace({data, size});
  exchange.body_state = BodyState::kReplaced;
  return 1;
}

int mg_response_status_get(void* ex) { return of(ex).response.status; }
void mg_response_status_set(void* ex, int status) {
  if (status < 100 || status > 999) return;
  of(ex).response.status = static_cast<uint16_t>(status);
  of(ex).response.reason = {};
}
int mg_response_is_sent(void* ex) { return of(ex).is_head_sent; }
int mg_response_source(void* ex) { return static_cast<int>(of(ex).source); }
int mg_response_field_get(void* ex, int name, mg_text* out) {
  return get_field(of(ex), of(ex).response_fields(), name, out);
}
uint32_t mg_response_field_count(void* ex) { return of(ex).response_fields().count(); }
void mg_response_field_at(void* ex, uint32_t index, mg_text* name, mg_text* value) {
  field_at(of(ex).response_fields(), index, name, value);
}
int mg_response_field_set(void* ex, int name, const char* value, size_t size) {
  if (!is_response_open(of(ex))) return kTooLate;
  return set_field(of(ex), of(ex).response_fields(), name, {value, size}, false);
}
int mg_response_number_set(void* ex, int name, double number) {
  return is_response_open(of(ex)) ? put_number(of(ex), of(ex).response_fields(), name, number) : kTooLate;
}
int mg_response_quota_set(void* ex, const mg_quota_names* names, double limit, double remaining,
                          double reset_s) {
  if (!is_response_open(of(ex))) return kTooLate;
  FieldList& fields = of(ex).response_fields();
  const int first = put_field(of(ex), fields, names->limit, format_limit(limit), false);
  const int second = put_number(of(ex), fields, names->remaining, remaining);
  const int third = put_number(of(ex), fields, names->reset, reset_s);
  return std::min({first, second, third});
}
int mg_response_field_add(void* ex, int name, const char* value, size_t size) {
  if (!is_response_open(of(ex))) return kTooLate;
  return set_field(of(ex), of(ex).response_fields(), name, {value, size}, true);
}
int mg_response_field_remove(void* ex, int name) {
  return is_response_open(of(ex)) ? remove_field(of(ex), of(ex).response_fields(), name) : kTooLate;
}
void mg_upstream_trailers_get(void* ex, mg_text* out) { put(out, of(ex).upstream_trailers); }

int64_t mg_credential_find_in_header(void* ex, const char* plugin, size_t plugin_size, const char* attribute,
                                     size_t attribute_size, int name) {
  const moongate::snapshot::Snapshot* snapshot = Host::current().snapshot();
  const Field* field = name < 0 ? nullptr : of(ex).request.fields.find(named(of(ex), name));
  if (!snapshot || !field) return -1;
  return snapshot->consumer_index.find({plugin, plugin_size}, {attribute, attribute_size}, field->value);
}

int mg_credential_attach(void* ex, const mg_identity* identity) {
  static const IdentityFields kFields;
  Exchange& exchange = of(ex);
  const string_view username = exchange.arena.copy(view(identity->username));
  const string_view credential = exchange.arena.copy(view(identity->credential));
  const string_view custom_id = exchange.arena.copy(view(identity->custom_id));
  exchange.consumer_name = exchange.credential_owner = username;
  exchange.credential_print = identity->print;
  if (!is_request_open(exchange)) return kTooLate;
  for (const string_view value : {username, credential, custom_id}) {
    if (!moongate::http::is_field_value(value)) return kRefused;
  }
  FieldList& fields = exchange.request.fields;
  set_or_remove(fields, kFields.username, username);
  set_or_remove(fields, kFields.credential, credential);
  set_or_remove(fields, kFields.custom_id, custom_id);
  return kChanged;
}

// Of two plugins that want something, each gets the stricter.
void mg_websocket_limit(void* ex, double message_size_max_bytes, double messages_per_second, double burst) {
  moongate::exchange::WebSocketLimits& limits = of(ex).websocket;
  const auto size = static_cast<uint64_t>(message_size_max_bytes);
  if (size > 0 && (limits.message_size_max_bytes == 0 || size < limits.message_size_max_bytes))
    limits.message_size_max_bytes = size;
  if (messages_per_second > 0 &&
      (limits.messages_per_second <= 0 || messages_per_second < limits.messages_per_second)) {
    limits.messages_per_second = messages_per_second;
    limits.burst = burst;
  }
}

void mg_response_encode(void* ex, const mg_coding* wanted) {
  of(ex).coding = {{static_cast<moongate::http::Coding>(wanted->coding), wanted->level, wanted->window_bits,
                    wanted->block_bits, wanted->mode},
                   wanted->length_min,
                   wanted->piece_max};
}

void* mg_exchange_at(uint32_t slot) { return Host::current().exchanges().at(slot); }
void mg_phases_set(void* ex, uint32_t phases) { of(ex).phases_present = phases; }
void mg_traffic_count(void* ex, uint32_t traffic) {
  of(ex).traffic = moongate::exchange::traffic::choose(of(ex).traffic, traffic);
}
void mg_answer_append(void* ex, const char* data, size_t size) { of(ex).answer_body.append(data, size); }

void mg_answer(void* ex, int status) {
  Exchange& exchange = of(ex);
  auto code = static_cast<uint16_t>(status < 100 || status > 999 ? 500 : status);
  if (exchange.answer_body.empty() && code >= 400) {
    exchange.fail(code, moongate::http::status_reason(code));
    return;
  }
  std::string body = std::move(exchange.answer_body);
  exchange.answer(code, body, body.empty() ? string_view() : string_view("text/plain; charset=utf-8"));
}

void mg_fail(void* ex, int status, const char* reason, size_t size) {
  of(ex).fail(static_cast<uint16_t>(status), {reason, size});
}

int mg_upstream_set(void* ex, const char* data, size_t size, int is_id, mg_text* reason) {
  Exchange& exchange = of(ex);
  if (!is_id) {
    put(reason, "only upstreams that are resources of their own can be chosen by id");
    return 0;
  }
  auto found = exchange.snapshot->upstreams.find(std::string(data, size));
  if (found == exchange.snapshot->upstreams.end()) {
    put(reason, "there is no such upstream");
    return 0;
  }
  exchange.upstream = found->second;
  return 1;
}

}  // extern "C"
