-- SPDX-License-Identifier: Apache-2.0
--- Plugin modules: loaded from the source that a snapshot carries, shared by the snapshots that have the same source.
--
-- A *set* is the plugins of one snapshot. Loading a set loads only what changed; the set that serves is untouched until
-- `adopt_set`. A module lives as long as some set holds it: then its destroy() is called. Each module has an
-- environment of its own, so a global it leaks stays its own, and a `require` that finds the libraries of its snapshot.

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
    local env = setmetatable({ require = require_one }, { __index = _G })
    local result = run_chunk(source.text, source.path, env)(name)
    if result == nil then
      result = true
    end
    library.loaded[name] = result
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

local function let_go(set)
  for _, module in pairs(set.modules) do
    module.holders = module.holders - 1
    if module.holders == 0 then
      modules[module.key] = nil
      local ok, err = hook(module, "destroy")
      if not ok then
        require("moongate.core.log").error("plugin ", module.name, ": destroy failed: ", tostring(err))
      end
    end
  end
  local library = set.libraries
  library.holders = library.holders - 1
  if library.holders == 0 then
    libraries[library.hash] = nil
  end
end

--- Loads the plugins of a snapshot that are not loaded yet and runs their init().
---@param sources {name: string, path: string, text: string, hash: string, uses_libraries: boolean}[]
---@param library_sources {name: string, path: string, text: string}[]
---@param libraries_hash string
---@param attributes table       plugin_attr
---@param is_started boolean     false in the checker: init() is not run
---@return integer? handle
---@return string? err           names the file and line
function _M.load_set(sources, library_sources, libraries_hash, attributes, is_started)
  local set = { modules = {}, libraries = hold_libraries(library_sources, libraries_hash), failures = {} }
  for name, attr in pairs(attributes) do
    registry.set_attr(name, attr)
  end
  local fresh = {}
  local failure
  for _, source in ipairs(sources) do
    local key = key_of(source, libraries_hash)
    local module = modules[key]
    if not module then
      local ok, result = pcall(load_plugin, set, source)
      if not ok then
        failure = "plugin " .. source.name .. " (" .. source.path .. "): " .. tostring(result)
        break
      end
      module = result
      module.key = key
      modules[key] = module
      fresh[#fresh + 1] = module
    end
    module.holders = module.holders + 1
    set.modules[source.name] = module
  end
  if not failure and is_started then
    for _, module in ipairs(fresh) do
      local ok, err = hook(module, "init")
      if not ok then
        failure = "plugin " .. module.name .. " (" .. module.path .. "): init failed: " .. tostring(err)
        break
      end
    end
  end
  if failure then
    let_go(set)
    return nil, failure
  end
  local handle = next_handle
  next_handle = handle + 1
  sets[handle] = set
  return handle
end

--- The set serves from now on: `apisix.plugin.get` and `require` outside of plugins see it.
---@param handle integer
---@param metadata table<string, table>    plugin metadata by name
function _M.adopt_set(handle, metadata)
  local set = sets[handle]
  _M.serving = handle
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
