// SPDX-License-Identifier: Apache-2.0
#include "script/checker.h"

#include <luajit-2.1/lua.hpp>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/utf8.h"
#include "config/secret_reference.h"
#include "script/regex_engine.h"
#include "script/resource_forms.h"

namespace moongate::script {

using base::Result;
using base::Value;

namespace {

constexpr int kDepthMax = 64;
constexpr size_t kComplaintsMax = 100;  // that one call of Lua's check gives
constexpr size_t kValuesMax = 5'000'000;
constexpr size_t kPlainBatch = 1000;  // resources whose plain fields are one call into Lua

void push_text(lua_State* state, std::string_view text) { lua_pushlstring(state, text.data(), text.size()); }

void push_sources(lua_State* state, const std::vector<CheckedSource>& sources) {
  lua_createtable(state, static_cast<int>(sources.size()), 0);
  int index = 0;
  for (const CheckedSource& source : sources) {
    lua_createtable(state, 0, 3);
    push_text(state, source.name);
    lua_setfield(state, -2, "name");
    push_text(state, source.path);
    lua_setfield(state, -2, "path");
    push_text(state, source.text);
    lua_setfield(state, -2, "text");
    lua_rawseti(state, -2, ++index);
  }
}

std::string get_text(lua_State* state, int table, const char* key) {
  lua_getfield(state, table, key);
  size_t size = 0;
  const char* text = lua_tolstring(state, -1, &size);
  std::string copy = text ? std::string(text, size) : std::string();
  lua_pop(state, 1);
  return copy;
}

// Turns what a configuration file returned into a Value; says where something does not belong.
class TableReader {
 public:
  TableReader(lua_State* state, uint16_t file_index) : state_(state), file_(file_index) {}

  Result<Value> read(int index, const std::string& where, int depth) {
    if (depth > kDepthMax)
      return base::invalid(where + ": tables are nested deeper than 64, or contain themselves");
    if (++count_ > kValuesMax) return base::invalid("more than 5,000,000 values");
    Value value;
    switch (lua_type(state_, index)) {
      case LUA_TBOOLEAN:
        value = Value::boolean(lua_toboolean(state_, index));
        break;
      case LUA_TNUMBER: {
        double number = lua_tonumber(state_, index);
        if (!std::isfinite(number)) return base::invalid(where + ": a number must be finite");
        value = Value::number(number);
        break;
      }
      case LUA_TSTRING: {
        size_t size = 0;
        const char* text = lua_tolstring(state_, index, &size);
        value = Value::string(std::string(text, size));
        break;
      }
      case LUA_TTABLE:
        return read_table(index, where, depth);
      default:
        return base::invalid(where + ": a " + lua_typename(state_, lua_type(state_, index)) +
                             " cannot stand in a configuration; use tables, strings, numbers and booleans");
    }
    value.set_place(file_, 0);
    return value;
  }

 private:
  Result<Value> read_table(int index, const std::string& where, int depth) {
    if (!lua_checkstack(state_, 8)) return base::invalid(where + ": tables are nested too deep");
    size_t length = lua_objlen(state_, index);
    Value value = length > 0 ? Value::array() : Value::object();
    value.set_place(file_, 0);
    for (size_t i = 1; i <= length; i++) {
      lua_rawgeti(state_, index, static_cast<int>(i));
      auto item = read(lua_gettop(state_), where + "[" + std::to_string(i) + "]", depth + 1);
      lua_pop(state_, 1);
      if (!item) return item;
      value.items().push_back(item.take());
    }
    lua_pushnil(state_);
    while (lua_next(state_, index)) {
      int at = lua_gettop(state_);
      bool is_item = lua_type(state_, at - 1) == LUA_TNUMBER;
      if (is_item && length > 0) {
        lua_pop(state_, 1);
        continue;
      }
      if (lua_type(state_, at - 1) != LUA_TSTRING || length > 0) {
        lua_pop(state_, 2);
        return base::invalid(where + ": a table must be a list or have text keys, not both");
      }
      std::string key = lua_tostring(state_, at - 1);
      auto member = read(at, where.empty() ? key : where + "." + key, depth + 1);
      lua_pop(state_, 1);
      if (!member) {
        lua_pop(state_, 1);
        return member;
      }
      value.set(std::move(key), member.take());
    }
    return value;
  }

  lua_State* state_;
  uint16_t file_;
  size_t count_ = 0;
};

/// Plugins judge what they will be given, not the references in its place. One that stands for nothing stays
/// as it is, and is complained about by whoever asked for the check.
Value resolved_body(const Value& body) {
  Value resolved = body;
  if (Value* plugins = resolved.find("plugins"))
    (void)config::resolve_references(*plugins, config::process_environment());
  return resolved;
}

/// {kind, id, json}; without json when it is known to be right.
void push_resource(lua_State* state, const config::Resource& resource) {
  lua_createtable(state, 0, 3);
  push_text(state, config::kind_name(resource.kind));
  lua_setfield(state, -2, "kind");
  push_text(state, resource.id);
  lua_setfield(state, -2, "id");
  if (resource.is_known) return;
  push_text(state, base::to_json(resolved_body(resource.body)));
  lua_setfield(state, -2, "json");
}

bool is_referable(config::Kind kind) {
  return kind != config::Kind::kRoute && kind != config::Kind::kConsumer &&
         config::find_owned(kind) == nullptr;
}

/// Puts references back where a plugin's complaint quotes what they stand for.
void hide_resolved(const Value& written, const Value& resolved, std::string* text) {
  if (written.is_string() && resolved.is_string()) {
    const std::string& secret = resolved.as_string();
    if (secret.empty() || secret == written.as_string()) return;
    for (size_t at = text->find(secret); at != text->npos;
         at = text->find(secret, at + written.as_string().size()))
      text->replace(at, secret.size(), written.as_string());
  } else if (written.is_array() && resolved.is_array()) {
    for (size_t i = 0; i < written.items().size(); i++)
      hide_resolved(written.items()[i], resolved.items()[i], text);
  } else if (written.is_object() && resolved.is_object()) {
    for (size_t i = 0; i < written.members().size(); i++)
      hide_resolved(written.members()[i].second, resolved.members()[i].second, text);
  }
}

/// Complaints about a resource quote its text, not the secrets it refers to.
void hide_secrets(const config::Document& document, std::vector<Complaint>* complaints) {
  for (Complaint& complaint : *complaints) {
    for (const config::Resource& resource : document.resources) {
      if (resource.id != complaint.id || config::kind_name(resource.kind) != complaint.resource_kind)
        continue;
      hide_resolved(resource.body, resolved_body(resource.body), &complaint.text);
    }
  }
}

std::vector<std::string> read_path(lua_State* state, int table) {
  std::vector<std::string> path;
  lua_getfield(state, table, "path");
  if (lua_istable(state, -1)) {
    size_t length = lua_objlen(state, -1);
    for (size_t i = 1; i <= length; i++) {
      lua_rawgeti(state, -1, static_cast<int>(i));
      // Lua counts from 1; places in a document from 0.
      if (lua_type(state, -1) == LUA_TNUMBER)
        path.push_back(std::to_string(static_cast<long>(lua_tonumber(state, -1)) - 1));
      else if (const char* text = lua_tostring(state, -1))
        path.emplace_back(text);
      lua_pop(state, 1);
    }
  }
  lua_pop(state, 1);
  return path;
}

}  // namespace

Result<std::unique_ptr<Checker>> Checker::make(CheckerOptions options) {
  install_regex_engine();
  std::unique_ptr<Checker> checker(new Checker(options));
  auto loop = net::EventLoop::make();
  if (!loop) return loop.error();
  checker->loop_ = loop.take();
  HostOptions host_options;
  host_options.vm.lua_root = options.lua_root;
  host_options.vm.cpu_budget_ms = options.cpu_budget_ms;
  host_options.vm.memory_max_bytes = options.memory_max_bytes;
  host_options.worker_index = -1;
  auto host = Host::make(*checker->loop_, nullptr, checker->exchanges_, std::move(host_options),
                         [](exchange::Exchange&, exchange::StepResult) {});
  if (!host) return host.error();
  checker->host_ = host.take();
  return checker;
}

Checker::~Checker() = default;

Result<Value> Checker::evaluate(const std::string& path, std::string_view text, uint16_t file_index) {
  lua_State* state = host_->vm().state();
  std::string name = "@" + path;
  if (!text.empty() && text[0] == '\x1b')
    return base::invalid(path + ": bytecode is not read; write Lua source");
  if (luaL_loadbuffer(state, text.data(), text.size(), name.c_str()) != 0 || host_->vm().call(0, 1) != 0) {
    std::string reason = host_->pop_error();
    reason.resize(std::min(reason.size(), reason.find("\nstack traceback:")));
    // Limits, and errors that are no text, know no place of their own.
    return base::invalid(reason.starts_with(path) ? reason : path + ": " + reason);
  }
  if (!lua_istable(state, -1)) {
    lua_pop(state, 1);
    return base::invalid(path + ": the file must return a table, as in `return { routes = { ... } }`");
  }
  TableReader reader(state, file_index);
  auto value = reader.read(lua_gettop(state), "", 0);
  lua_pop(state, 1);
  if (!value) return base::invalid(path + ": " + value.error().detail);
  return value;
}

Result<std::vector<Complaint>> Checker::check(const config::Document& document,
                                              const std::vector<CheckedSource>& plugins,
                                              const std::vector<CheckedSource>& libraries) {
  Result<Selection> selected = select(document);
  if (!selected) return selected.error();
  Result<std::vector<Complaint>> complaints = judge(document, selected->judged, plugins, libraries);
  if (!complaints) return complaints;
  const auto speaks_for_others = [&](const Complaint& complaint) {
    return selected->speakers.count({complaint.resource_kind, complaint.id}) > 0;
  };
  // Each that is wrong is told by itself, and in their order.
  const bool is_complete = complaints->size() < kComplaintsMax &&
                           std::none_of(complaints->begin(), complaints->end(), speaks_for_others);
  if (!is_complete) complaints = judge(document, selected->all, plugins, libraries);
  if (complaints) hide_secrets(document, &*complaints);
  return complaints;
}

/// Who is judged by Lua as a whole: of resources of one form the first, and those whose plain fields may be
/// wrong.
Result<Checker::Selection> Checker::select(const config::Document& document) {
  ResourceForms forms;
  Selection selection;
  std::vector<const config::Resource*> same;
  std::unordered_set<const config::Resource*> right;
  for (const config::Resource& resource : document.resources) {
    if (resource.is_known && !is_referable(resource.kind)) continue;
    selection.all.push_back(&resource);
    if (resource.is_known) continue;
    const config::Resource* first = forms.add(resource);
    if (first == &resource) continue;
    selection.speakers.insert({config::kind_name(first->kind), first->id});
    same.push_back(&resource);
  }
  for (const config::Resource& resource : document.absent) selection.all.push_back(&resource);
  for (size_t begin = 0; begin < same.size(); begin += kPlainBatch) {
    const size_t count = std::min(kPlainBatch, same.size() - begin);
    if (auto found = find_plain({same.data() + begin, count}, &right); !found) return found.error();
  }
  std::copy_if(selection.all.begin(), selection.all.end(), std::back_inserter(selection.judged),
               [&](const config::Resource* resource) { return right.count(resource) == 0; });
  return selection;
}

/// Puts those into `right` whose plain fields are.
Result<void> Checker::find_plain(std::span<const config::Resource* const> resources,
                                 std::unordered_set<const config::Resource*>* right) {
  lua_State* state = host_->vm().state();
  std::string kinds = "[";
  std::string fields = "[";
  for (const config::Resource* resource : resources) {
    const char* separator = resource == resources.front() ? "" : ",";
    base::append_json_string(kinds.append(separator), config::kind_name(resource->kind));
    fields.append(separator).append(ResourceForms::plain_json(*resource));
  }
  host_->push_function("check_plain_fields");
  push_text(state, kinds + "]");
  push_text(state, fields + "]");
  if (host_->vm().call(2, 1) != 0) return base::invalid("the check failed: " + host_->pop_error());
  for (size_t i = 0; i < resources.size(); i++) {
    lua_rawgeti(state, -1, static_cast<int>(i) + 1);
    if (lua_toboolean(state, -1) != 0) right->insert(resources[i]);
    lua_pop(state, 1);
  }
  lua_pop(state, 1);
  return {};
}

Result<std::vector<Complaint>> Checker::judge(const config::Document& document,
                                              const std::vector<const config::Resource*>& resources,
                                              const std::vector<CheckedSource>& plugins,
                                              const std::vector<CheckedSource>& libraries) {
  lua_State* state = host_->vm().state();
  const Value* attributes = document.root.find("plugin_attr");
  host_->push_function("check");
  lua_createtable(state, static_cast<int>(resources.size()), 0);
  int index = 0;
  for (const config::Resource* resource : resources) {
    push_resource(state, *resource);
    lua_rawseti(state, -2, ++index);
  }
  push_sources(state, plugins);
  push_sources(state, libraries);
  push_text(state, attributes && attributes->is_object() ? base::to_json(*attributes) : std::string("{}"));
  if (host_->vm().call(4, 1) != 0) return base::invalid("the check failed: " + host_->pop_error());
  return read_complaints();
}

/// Takes the list of complaints from the top of the stack.
std::vector<Complaint> Checker::read_complaints() {
  lua_State* state = host_->vm().state();
  std::vector<Complaint> complaints;
  size_t count = lua_objlen(state, -1);
  for (size_t i = 1; i <= count; i++) {
    lua_rawgeti(state, -1, static_cast<int>(i));
    int table = lua_gettop(state);
    complaints.push_back({get_text(state, table, "kind"), get_text(state, table, "id"),
                          read_path(state, table), get_text(state, table, "text")});
    lua_pop(state, 1);
  }
  lua_pop(state, 1);
  return complaints;
}

Result<void> Checker::load(const std::vector<CheckedSource>& plugins,
                           const std::vector<CheckedSource>& libraries, const std::string& attributes_json) {
  lua_State* state = host_->vm().state();
  host_->push_function("load_for_changes");
  push_sources(state, plugins);
  push_sources(state, libraries);
  push_text(state, attributes_json);
  if (host_->vm().call(3, 1) != 0) return base::invalid("the check failed: " + host_->pop_error());
  const bool is_loaded = lua_isnil(state, -1);
  const std::string reason = is_loaded ? "" : lua_tostring(state, -1);
  lua_pop(state, 1);
  if (!is_loaded) return base::invalid(reason);
  return {};
}

Result<std::vector<Complaint>> Checker::check_changes(const config::Document& changes,
                                                      const config::Document& context) {
  lua_State* state = host_->vm().state();
  host_->vm().set_limits(options_.change_cpu_budget_ms, options_.memory_max_bytes);
  host_->push_function("check_changes");
  for (const config::Document* document : {&changes, &context}) {
    lua_createtable(state, static_cast<int>(document->resources.size()), 0);
    int index = 0;
    for (const config::Resource& resource : document->resources) {
      push_resource(state, resource);
      lua_rawseti(state, -2, ++index);
    }
  }
  if (host_->vm().call(2, 1) != 0) return base::invalid("the check failed: " + host_->pop_error());
  std::vector<Complaint> complaints = read_complaints();
  hide_secrets(changes, &complaints);
  return complaints;
}

Result<Checker::SchemaAnswer> Checker::describe_schemas(const std::vector<std::string>& question) {
  lua_State* state = host_->vm().state();
  host_->push_function("describe_schemas");
  for (const std::string& text : question) push_text(state, text);
  if (host_->vm().call(static_cast<int>(question.size()), 2) != 0)
    return base::invalid("the question failed: " + host_->pop_error());
  size_t size = 0;
  const char* body = lua_tolstring(state, -1, &size);
  SchemaAnswer answer{static_cast<int>(lua_tonumber(state, -2)), std::string(body ? body : "", size)};
  lua_pop(state, 2);
  return answer;
}

}  // namespace moongate::script
