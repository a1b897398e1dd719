// SPDX-License-Identifier: Apache-2.0
// The functions of native.lua about the process: clocks, log, worker, random numbers, consumers of the
// snapshot.
#include <fcntl.h>
#include <unistd.h>

#include <random>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/random.h"
#include "script/host.h"

using moongate::base::Clock;
using moongate::script::Host;
using std::string_view;

namespace {

struct mg_text {
  const char* data;
  size_t size;
};

int found(mg_text* out, string_view text) {
  out->data = text.data() ? text.data() : "";
  out->size = text.size();
  return 1;
}

const moongate::snapshot::Snapshot* snapshot() { return Host::current().snapshot(); }

}  // namespace

extern "C" {

double mg_now(void) { return std::chrono::duration<double>(Clock::wall().time_since_epoch()).count(); }
double mg_now_fresh(void) {
  auto now = std::chrono::system_clock::now() + Clock::offset();
  return std::chrono::duration<double>(now.time_since_epoch()).count();
}
double mg_steady(void) { return std::chrono::duration<double>(Clock::steady().time_since_epoch()).count(); }

int mg_log_level(void) { return static_cast<int>(moongate::base::log_level()); }
void mg_log(int level, const char* text, size_t size) {
  auto chosen = static_cast<moongate::base::LogLevel>(level < 0 ? 0 : level > 8 ? 8 : level);
  if (moongate::base::log_enabled(chosen)) moongate::base::write_log(chosen, {text, size});
}

int mg_worker_id(void) { return Host::current().options().worker_index; }
int mg_worker_count(void) { return Host::current().options().worker_count; }
int mg_worker_pid(void) { return ::getpid(); }
int mg_worker_is_exiting(void) { return Host::current().is_exiting(); }
int32_t mg_plugin_number(const char* name, size_t size) {
  return Host::current().plugin_number({name, size});
}
int mg_plugin_is_quarantined(int32_t number) { return Host::current().is_quarantined(number); }
volatile int32_t* mg_running_plugin(void) { return Host::current().running_plugin(); }
double* mg_plugin_calls(void) { return Host::current().plugin_calls(); }

uint64_t mg_random(void) {
  static thread_local std::mt19937_64 engine = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), static_cast<unsigned>(::getpid())};
    return std::mt19937_64(seed);
  }();
  return engine();
}

int mg_random_bytes(char* out, size_t size) { return moongate::base::fill_random(out, size) ? 1 : 0; }

int mg_random_cut(void* out, size_t size) {
  return moongate::base::cut_random(static_cast<char*>(out), size) ? 1 : 0;
}

double mg_snapshot_number(void) { return snapshot() ? static_cast<double>(snapshot()->number) : 0; }

int64_t mg_consumer_by_name(const char* name, size_t size) {
  if (!snapshot()) return -1;
  auto known = snapshot()->consumer_by_name.find(std::string(name, size));
  return known == snapshot()->consumer_by_name.end() ? -1 : static_cast<int64_t>(known->second);
}

int mg_has_managed_credentials(void) { return snapshot() && snapshot()->has_managed_credentials ? 1 : 0; }
int64_t mg_credential_find(const char* plugin, size_t plugin_size, const char* attribute,
                           size_t attribute_size, const char* value, size_t value_size) {
  if (!snapshot()) return -1;
  return snapshot()->consumer_index.find({plugin, plugin_size}, {attribute, attribute_size},
                                         {value, value_size});
}

int64_t mg_credential_at(const char* plugin, size_t plugin_size, uint32_t position) {
  if (!snapshot()) return -1;
  auto list = snapshot()->credentials_by_plugin.find(std::string(plugin, plugin_size));
  if (list == snapshot()->credentials_by_plugin.end() || position >= list->second.size()) return -1;
  return list->second[position];
}

int mg_consumer_text(uint32_t index, int kind, mg_text* out) {
  const auto* now = snapshot();
  if (!now) return 0;
  if (kind < 2) {
    if (index >= now->consumers.size()) return 0;
    return found(out, kind == 0 ? now->consumers[index]->body_json : now->consumers[index]->version);
  }
  if (index >= now->credentials.size()) return 0;
  const auto& credential = now->credentials[index];
  if (kind == 2) return found(out, credential.credential_id);
  if (kind == 3) return found(out, *credential.conf_json);
  return found(out, now->consumers[credential.consumer]->username);
}

uint64_t mg_credential_print(uint32_t index) {
  return snapshot() && index < snapshot()->credentials.size() ? snapshot()->credentials[index].print : 0;
}

int mg_consumer_plugin(uint32_t index, uint32_t position, mg_text* out) {
  static thread_local std::string text;
  const auto* now = snapshot();
  if (!now || index >= now->consumers.size() || position >= now->consumers[index]->plugins.size()) return 0;
  const auto& plugin = now->consumers[index]->plugins[position];
  text = "{\"name\":";
  moongate::base::append_json_string(text, plugin.name);
  text += ",\"conf_json\":";
  moongate::base::append_json_string(text, *plugin.conf_json);
  text += ",\"resource_key\":";
  moongate::base::append_json_string(text, plugin.resource_key);
  text += ",\"resource_version\":";
  moongate::base::append_json_string(text, plugin.resource_version);
  text += "}";
  return found(out, text);
}

}  // extern "C"
