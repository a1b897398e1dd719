-- SPDX-License-Identifier: Apache-2.0
--- Chains: the hooks of one route's plugins (or of all global rules), in the order in which they run, phase by phase.
--
-- A chain is built when its route is first used: confs are decoded, checked (which fills in their defaults) and kept,
-- so that a plugin sees the same conf table for as long as its resource stays as it is. For each phase the chain has one
-- function that calls the hooks one after another without a loop: straight code that the JIT compiles as a whole.
-- Routes with the same hooks share that function; only the list of confs differs.

local cjson = require("cjson.safe")
local exit = require("moongate.exit")
local loader = require("moongate.runtime.loader")
local meta = require("moongate.runtime.meta")
local native = require("moongate.native")
local secrets = require("moongate.secrets")

local bor = require("bit").bor
local concat = table.concat
local ipairs = ipairs
local load = load
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring
local type = type

local _M = {}

--- Phases in the order of exchange::Phase, whose values are the indexes.
_M.phases = { "rewrite", "access", "before_proxy", "header_filter", "body_filter", "log" }
local phase_bits = { rewrite = 2, access = 4, before_proxy = 8, header_filter = 16, body_filter = 32, log = 64 }
_M.phase_bits = phase_bits

---@class moongate.Chain
---@field run table<string, fun(confs: table[], ctx: table): integer?, any, any>   by phase; nil where there is no hook
---@field confs table<string, table[]>
---@field phases integer            bit per phase
---@field has_secrets boolean?      resolve() must be called before each request
---@field traffic integer           what the runtime counts of each request, see exchange::traffic
---@field entries table[]           {name, object, conf, number, priority}, in order

local chains = {}
local next_handle = 1

-- Runs of hooks by the identity of the functions. Weak: they go with the last chain that uses them.
local run_cache = setmetatable({}, { __mode = "v" })
local function_ids = setmetatable({}, { __mode = "k" })
local next_function_id = 1

local function id_of(fn)
  local id = function_ids[fn]
  if not id then
    id = next_function_id
    next_function_id = id + 1
    function_ids[fn] = id
  end
  return id
end

local running_plugin = native.C.mg_running_plugin()
_M.running_plugin = running_plugin
-- Calls by plugin and phase: 8 counts for each plugin.
local calls = native.C.mg_plugin_calls()
_M.calls = calls

-- Writes the source of a function that calls `count` hooks. A hook that answers, or that called exit() behind a pcall of its own, ends the run:
-- its index comes back with what it returned. All of it is one line: compiled code looks for a stop at each new one.
local function write_run(count)
  local upvalues, calls_of = { "local running, exits, exit_count, calls" }, {}
  for i = 1, count do
    upvalues[#upvalues + 1] = (("f#, n#, c#"):gsub("#", i))
    calls_of[i] = (("running[0] = n# calls[c#] = calls[c#] + 1 code, body = f#(confs[#], ctx) "
      .. "if code ~= nil or body ~= nil or exit_count[0] ~= 0 and exits[ctx] then running[0] = 0 return #, code, body end "):gsub("#", i))
  end
  return concat(upvalues, ", ") .. " = ... return function(confs, ctx) local code, body " .. concat(calls_of)
    .. "running[0] = 0 end"
end

local function make_run(hooks)
  local key = {}
  for i, hook in ipairs(hooks) do
    key[i] = id_of(hook.fn) .. ":" .. hook.count_index
  end
  key = concat(key, ",")
  local run = run_cache[key]
  if run then
    return run
  end
  local upvalues = { running_plugin, exit.recorded, exit.count, calls }
  for _, hook in ipairs(hooks) do
    upvalues[#upvalues + 1] = hook.fn
    upvalues[#upvalues + 1] = hook.number
    upvalues[#upvalues + 1] = hook.count_index
  end
  run = load(write_run(#hooks), "=chain")(unpack(upvalues))
  run_cache[key] = run
  return run
end

local function by_priority(a, b)
  if a.priority ~= b.priority then
    return a.priority > b.priority
  end
  return a.name < b.name -- APISIX leaves equal priorities undefined; here every worker agrees
end

local function decode_conf(entry)
  local conf, err = cjson.decode(entry.conf_json)
  if type(conf) ~= "table" then
    return nil, err or "the configuration must be an object"
  end
  conf._meta = meta.attach_parent(conf._meta, entry.resource_key, entry.resource_version)
  return conf
end

-- nil when the conf is right, its defaults filled in; else what is wrong.
local function check_conf(name, object, conf)
  if not object.check_schema then
    return nil
  end
  local conf_meta = conf._meta
  conf._meta = nil -- the plugin's schema does not know it
  local ok, valid, reason = pcall(object.check_schema, conf)
  conf._meta = conf_meta
  if not ok or not (valid or conf_meta.disable) then
    return "failed to check the configuration of plugin " .. name .. " err: " .. tostring(ok and reason or valid)
  end
end

--- Decodes and checks one conf, as routes and consumers give it.
---@return table? item    {name, object, conf, number, priority}; with references to secrets also `secrets`, see resolve()
---@return string? err
function _M.make_entry(set_handle, entry)
  local module = loader.find(set_handle, entry.name)
  if not module then
    return nil, "plugin [" .. entry.name .. "] is not loaded"
  end
  local conf, err = decode_conf(entry)
  if not conf then
    return nil, "plugin [" .. entry.name .. "]: " .. err
  end
  local references = secrets.references_in(conf)
  local written = references and secrets.replaced(conf, {})
  local object = module.object
  err = check_conf(entry.name, object, conf)
  if err then
    return nil, err
  end
  local item_meta = conf._meta
  local priority = item_meta and item_meta.priority or object.priority
  return {
    name = entry.name, object = object, conf = conf, number = module.number, priority = priority,
    secrets = references and { references = references, written = written, values = {} },
  }
end

local function has_new_values(known, values)
  for reference, value in pairs(values) do
    if known[reference] ~= value then
      return true
    end
  end
  return false
end

-- A conf of its own for each set of values: plugins keep what they make of a conf by its identity.
local function resolve_entry(entry)
  local kept = entry.secrets
  local values, err = secrets.get_all(kept.references)
  if not values then
    return "plugin " .. entry.name .. ": " .. err
  end
  if not has_new_values(kept.values, values) then
    return nil
  end
  local conf = secrets.replaced(kept.written, values)
  conf._meta = entry.conf._meta
  err = check_conf(entry.name, entry.object, conf)
  if err then
    return "plugin " .. entry.name .. ": what its secrets stand for does not fit: "
      .. secrets.hidden(tostring(err), values)
  end
  kept.values, entry.conf = values, conf
end

--- Puts what references to secrets stand for into the chain's confs; may wait. Only for chains that `has_secrets`.
---@param chain moongate.Chain
---@return string? err      what cannot be had: the chain must not run then
function _M.resolve(chain)
  for _, entry in ipairs(chain.entries) do
    local err = entry.secrets and resolve_entry(entry)
    if err then
      return err
    end
  end
  for phase, hooks in pairs(chain.hooks) do
    local confs = chain.confs[phase]
    for index, hook in ipairs(hooks) do
      confs[index] = hook.entry.conf
    end
  end
end

-- A plugin may leave out phases in which a conf gives it nothing to do: `wants(conf, phase)` tells. When it fails the hook
-- stays.
local function is_wanted(entry, phase)
  local wants = entry.object.wants
  if not wants then
    return true
  end
  local ok, verdict = pcall(wants, entry.conf, phase)
  return not ok or verdict ~= false
end

-- What the runtime is to count for a plugin by itself, without entering Lua: its counted_traffic(conf) tells.
local function traffic_of(entries)
  for _, entry in ipairs(entries) do
    local counted_traffic = entry.object.counted_traffic
    if counted_traffic then
      return counted_traffic(entry.conf)
    end
  end
  return 0
end

--- Makes a chain of entries that are already checked.
---@param entries table[]
---@param fields table      conf_type, conf_id, ... that every request of the chain gets in its ctx
---@return moongate.Chain
function _M.assemble(entries, fields)
  sort(entries, by_priority)
  local chain = {
    entries = entries, fields = fields, run = {}, confs = {}, hooks = {}, phases = 0, traffic = traffic_of(entries),
  }
  for phase_index, phase in ipairs(_M.phases) do
    local hooks, confs = {}, {}
    for _, entry in ipairs(entries) do
      local fn = entry.object[phase]
      if phase == "body_filter" and not fn then
        fn = entry.object.delayed_body_filter
      end
      if type(fn) == "function" and is_wanted(entry, phase) then
        local count_index = entry.number * 8 + phase_index
        hooks[#hooks + 1] = { fn = meta.wrap(fn, entry, calls, count_index), number = entry.number, count_index = count_index, entry = entry }
        confs[#confs + 1] = entry.conf
      end
    end
    if #hooks > 0 then
      chain.run[phase] = make_run(hooks)
      chain.confs[phase] = confs
      chain.hooks[phase] = hooks
      chain.phases = chain.phases + phase_bits[phase]
    end
  end
  for _, entry in ipairs(entries) do
    if entry.secrets then
      chain.has_secrets = true
      chain.phases = bor(chain.phases, phase_bits.rewrite) -- where they are asked for
    end
  end
  return chain
end

-- What the ctx of every request of a route has. Made by one constructor, so that it is laid out alike for all routes.
local function fields_of(spec)
  return {
    conf_type = spec.conf_type, conf_id = spec.conf_id, conf_version = spec.conf_version, route_id = spec.route_id,
    route_name = spec.route_name, service_id = spec.service_id, service_name = spec.service_name,
    matched_route = spec.matched_route,
    has_names = spec.route_name ~= nil or spec.service_id ~= nil,
  }
end

--- Builds a chain from a snapshot's plugin set.
---@param spec table    {set, conf_type, conf_id, conf_version, route_id, ..., plugins = {{name, conf_json, resource_key, resource_version}}}
---@return integer? handle
---@return integer|string phases_or_err
---@return integer? traffic
function _M.build(spec)
  local entries = {}
  for _, plugin in ipairs(spec.plugins) do
    local entry, err = _M.make_entry(spec.set, plugin)
    if not entry then
      return nil, err
    end
    if not meta.is_disabled(entry.conf) then
      entries[#entries + 1] = entry
    end
  end
  local chain = _M.assemble(entries, fields_of(spec))
  local handle = next_handle
  next_handle = handle + 1
  chains[handle] = chain
  return handle, chain.phases, chain.traffic
end

---@param handle integer
function _M.release(handle)
  chains[handle] = nil
end

---@param handle integer
---@return moongate.Chain?
function _M.get(handle)
  return chains[handle]
end

--- Compiles a route's filter_func.
---@return function? fn
---@return string? err
function _M.compile_filter(text, name)
  local chunk, err = load("return " .. text, "=filter_func of route " .. name)
  if not chunk then
    return nil, "failed to load 'filter_func' string: " .. err
  end
  local ok, fn = pcall(chunk)
  if not ok or type(fn) ~= "function" then
    return nil, "'filter_func' should be a function"
  end
  return fn
end

return _M
