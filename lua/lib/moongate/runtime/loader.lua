-- SPDX-License-Identifier: Apache-2.0
--- Plugin modules: loaded from the source that a snapshot carries, shared by the snapshots that have the same source.
--
-- A *set* is the plugins of one snapshot. Loading a set loads only what changed; the set that serves is untouched until
-- `adopt_set`. A module lives as long as some set holds it: then its destroy() is called. Each module has an
-- environment of its own, so a global it leaks stays its own, and a `require` that finds the libraries of its snapshot.

local consumers = require("moongate.consumers")
local current = require("moongate.current")
local native = require("moongate.native")
local registry = require("moongate.registry")

local error = error
local ipairs = ipairs
local load = load
local pairs = pairs
local pcall = pcall
local require = require
local setmetatable = setmetatable
local tostring = tostring
local type = type

local _M = { serving = 0 } -- the handle of the set that serves

---@class moongate.PluginModule
---@field object table       what the plugin file returned
---@field name string
---@field number integer     for the accounts and the watchdog; the same in every worker
---@field holders integer    sets that hold it

local modules = {}      -- "name#hash" to moongate.PluginModule
local sets = {}         -- handle to {modules = {name = PluginModule}, libraries = table}
local libraries = {}    -- hash of all library sources to {sources, loaded, holders}
local next_handle = 1
local building          -- the set that is being loaded, until it is whole or given up
local no_memory = "not enough memory" -- as LuaJIT says it; the next plugin would only fail for the same

local function run_chunk(text, path, env)
  local chunk, err = load(text, "@" .. path, "t", env)
  if not chunk then
    error(err, 0)
  end
  return chunk
end

-- `require` as a plugin sees it: other plugins of its set, then the snapshot's libraries, then what is shipped.
local function scoped_require(set)
  local function require_one(name)
    local plugin_name = name:match("^apisix%.plugins%.([^.]+)$")
    local module = plugin_name and set.modules[plugin_name]
    if module then
      return module.object
    end
    local library = set.libraries
    local source = library.sources[name]
    if not source then
      return require(name)
    end
    local loaded = library.loaded[name]
    if loaded ~= nil then
      return loaded
    end
    library.loaded[name] = true -- as require does, for modules that require each other
    set.requiring[name] = true
    local env = setmetatable({ require = require_one }, { __index = _G })
    local result = run_chunk(source.text, source.path, env)(name)
    if result == nil then
      result = true
    end
    library.loaded[name] = result
    set.requiring[name] = nil
    return result
  end
  return require_one
end

local function check_module(object, name)
  if type(object) ~= "table" then
    error("plugin " .. name .. ": the file must return a table, got " .. type(object), 0)
  end
  if object.version == nil then
    error("invalid plugin [" .. name .. "] missing field: version", 0)
  end
  if type(object.priority) ~= "number" then
    error("invalid plugin [" .. name .. "], missing field: priority", 0)
  end
  if type(object.schema) ~= "table" then
    error("invalid plugin [" .. name .. "] schema field", 0)
  end
  local properties = object.schema.properties
  if properties and properties._meta then
    error("invalid plugin [" .. name .. "]: found forbidden '_meta' field in the schema", 0)
  end
  if not properties then
    object.schema.properties = {}
  end
end

local function load_plugin(set, source)
  local env = setmetatable({ require = scoped_require(set) }, { __index = _G })
  local object = run_chunk(source.text, source.path, env)("apisix.plugins." .. source.name)
  check_module(object, source.name)
  object.name = source.name
  object.attr = registry.attr(source.name)
  return { object = object, name = source.name, number = native.C.mg_plugin_number(source.name, #source.name), holders = 0, path = source.path }
end

local function hold_libraries(list, hash)
  local library = libraries[hash]
  if not library then
    library = { sources = {}, loaded = {}, holders = 0, hash = hash }
    for _, source in ipairs(list) do
      library.sources[source.name] = source
    end
    libraries[hash] = library
  end
  library.holders = library.holders + 1
  return library
end

local function key_of(source, libraries_hash)
  return source.name .. "#" .. source.hash .. "#" .. (source.uses_libraries and libraries_hash or "")
end

local function hook(module, name)
  local fn = module.object[name]
  if type(fn) == "function" then
    current.phase = "init"
    current.ctx, current.ex = nil, nil
    return pcall(fn)
  end
  return true
end

-- The hooks come last: one may be cut off, and nothing of the set may stay for that.
local function let_go(set)
  local gone = {}
  for _, module in pairs(set.modules) do
    module.holders = module.holders - 1
    if module.holders == 0 then
      modules[module.key] = nil
      gone[#gone + 1] = module
    end
  end
  local library = set.libraries
  library.holders = library.holders - 1
  if library.holders == 0 then
    libraries[library.hash] = nil
  end
  for name in pairs(set.requiring) do -- what was cut off half loaded
    library.loaded[name] = nil
  end
  for _, module in ipairs(gone) do
    local ok, err = hook(module, "destroy")
    if not ok then
      require("moongate.core.log").error("plugin ", module.name, ": destroy failed: ", tostring(err))
    end
  end
end

local function name_plugin(plugin)
  return "plugin " .. plugin.name .. " (" .. plugin.path .. "): "
end

--- Begins to load the plugins of a snapshot that are not loaded yet. What was begun before and never got whole is given up.
---@param sources {name: string, path: string, text: string, hash: string, uses_libraries: boolean}[]
---@param library_sources {name: string, path: string, text: string}[]
---@param libraries_hash string
---@param attributes table       plugin_attr
---@param is_started boolean     false in the checker: init() is not run
function _M.begin_set(sources, library_sources, libraries_hash, attributes, is_started)
  _M.give_up_set()
  local set = { modules = {}, libraries = hold_libraries(library_sources, libraries_hash), requiring = {} }
  building = { set = set, sources = sources, libraries_hash = libraries_hash, is_started = is_started, at = 0, fresh = {}, inits = 0 }
  for name, attr in pairs(attributes) do
    registry.set_attr(name, attr)
  end
end

--- Gives up what is being loaded.
---@return string? whose     plugin's code it was at; empty: nobody's. nil: nothing was being loaded
---@return string? name      of that plugin
function _M.give_up_set()
  local was = building
  if not was then
    return nil
  end
  building = nil
  let_go(was.set)
  if not was.plugin then
    return ""
  end
  return name_plugin(was.plugin), was.plugin.name
end

local function load_next(build)
  while build.at < #build.sources do
    build.at = build.at + 1
    local source = build.sources[build.at]
    local key = key_of(source, build.libraries_hash)
    local module = modules[key]
    local is_fresh = not module
    if is_fresh then
      build.plugin = source
      module = load_plugin(build.set, source)
      module.key = key
      modules[key] = module
      build.fresh[#build.fresh + 1] = module
    end
    module.holders = module.holders + 1
    build.set.modules[source.name] = module
    if is_fresh then
      return true
    end
  end
  return false
end

local function start_next(build)
  local module = build.is_started and build.fresh[build.inits + 1]
  if not module then
    return false
  end
  build.inits = build.inits + 1
  build.plugin = module
  local ok, err = hook(module, "init")
  if not ok then
    error("init failed: " .. tostring(err), 0)
  end
  return true
end

--- Runs the code of one plugin more: first each is loaded, then each is started, so that every one has a budget of its own.
--- One that fails does not keep the next from being looked at: whoever makes snapshots is to hear of all in one go.
---@return integer? handle   0: there is more to do. nil: the set is given up
---@return string? err       what has failed in this step, or first of all when the set is given up; names the file and line
---@return string? name      of the plugin that has failed in this step
function _M.load_step()
  local build = building
  build.plugin = nil
  local ok, has_done = pcall(load_next, build)
  if ok and not has_done and (build.is_starting or not build.err) then
    build.is_starting = true
    ok, has_done = pcall(start_next, build)
  end
  if not ok then
    local plugin = build.plugin
    local err = (plugin and name_plugin(plugin) or "") .. tostring(has_done)
    build.err = build.err or err
    if plugin and not err:find(no_memory, 1, true) then
      return 0, err, plugin.name
    end
    _M.give_up_set()
    return nil, build.err, plugin and plugin.name
  end
  if has_done then
    return 0
  end
  if build.err then
    _M.give_up_set()
    return nil, build.err
  end
  local handle = next_handle
  next_handle = handle + 1
  sets[handle] = build.set
  building = nil
  return handle
end

--- The same in one go, for who serves nobody.
---@return integer? handle
---@return string? err
function _M.load_set(...)
  _M.begin_set(...)
  local handle, err
  repeat
    handle, err = _M.load_step()
  until handle ~= 0
  return handle, err
end

--- The set serves from now on: `apisix.plugin.get` and `require` outside of plugins see it.
---@param handle integer
---@param metadata table<string, table>    plugin metadata by name
function _M.adopt_set(handle, metadata)
  local set = sets[handle]
  _M.serving = handle
  consumers.forget()
  for name in pairs(registry.all()) do
    if not set.modules[name] then
      registry.set(name, nil)
    end
  end
  for name, module in pairs(set.modules) do
    registry.set(name, module.object)
    package.loaded["apisix.plugins." .. name] = module.object
  end
  for name, value in pairs(metadata) do
    registry.set_metadata(name, { value = value, modifiedIndex = handle })
  end
  if _M.metadata_names then
    for name in pairs(_M.metadata_names) do
      if not metadata[name] then
        registry.set_metadata(name, nil)
      end
    end
  end
  _M.metadata_names = metadata
end

---@param handle integer
function _M.release_set(handle)
  local set = sets[handle]
  if set then
    sets[handle] = nil
    let_go(set)
  end
end

--- Calls destroy() of everything: the worker ends.
function _M.destroy_all()
  for handle in pairs(sets) do
    _M.release_set(handle)
  end
end

---@param handle integer
---@param name string
---@return moongate.PluginModule?
function _M.find(handle, name)
  local set = sets[handle]
  return set and set.modules[name]
end

return _M
