-- SPDX-License-Identifier: Apache-2.0
--- Checks the `plugins` of a resource: each conf by its plugin, `_meta` by its own schema.

local expr = require("resty.expr.v1")
local registry = require("moongate.registry")
local validator = require("moongate.schema.validator")

local load = load
local pairs = pairs
local pcall = pcall
local sort = table.sort
local tostring = tostring
local type = type

local type_consumer = 1

local _M = {}

--- The schema of `_meta`.
_M.meta_schema = {
  type = "object",
  properties = {
    disable = { type = "boolean" },
    error_response = { oneOf = { { type = "string" }, { type = "object" } } },
    priority = { type = "integer" },
    filter = { type = "array" },
    pre_function = { type = "string" },
  },
  additionalProperties = false,
}

local function check_meta(name, meta)
  local ok, err, path = validator.check(_M.meta_schema, meta)
  if not ok then
    return false, 'property "_meta" validation failed: ' .. err, path
  end
  if meta.filter then
    ok, err = expr.new(meta.filter)
    if not ok then
      return false, "failed to validate the 'vars' expression: " .. err, { "filter" }
    end
  end
  if meta.pre_function then
    ok, err = load(meta.pre_function, "=_meta.pre_function", "t")
    if not ok then
      return false, "failed to load _meta.pre_function in plugin " .. name .. ": " .. err, { "pre_function" }
    end
  end
  return true
end

local function with_prefix(path, ...)
  local result = { ... }
  for _, key in ipairs(path or {}) do
    result[#result + 1] = key
  end
  return result
end

-- The plugin's own check sees the conf without `_meta`: its schema does not know the key.
local function check_own(plugin, conf, schema_type)
  if not plugin.check_schema then
    return true
  end
  local meta = conf._meta
  conf._meta = nil
  local is_run, ok, err, path = pcall(plugin.check_schema, conf, schema_type)
  conf._meta = meta
  if not is_run then
    return false, tostring(ok)
  end
  return ok, err, path
end

--- Checks one conf, writing defaults into it.
---@param name string
---@param conf any
---@param schema_type integer?
---@param find (fun(name: string): table?)?    where plugins are looked up; the registry when left out
---@return boolean ok
---@return string? err
---@return string[]? path
function _M.check_one(name, conf, schema_type, find)
  local plugin = (find or registry.get)(name)
  if not plugin then
    return false, "unknown plugin [" .. name .. "]", { name }
  end
  if type(conf) ~= "table" then
    return false, "invalid plugin conf " .. tostring(conf) .. " for plugin [" .. name .. "]", { name }
  end
  local failure = "failed to check the configuration of plugin " .. name .. " err: "
  if conf._meta ~= nil then
    local ok, err, path = check_meta(name, conf._meta)
    if not ok then
      return false, failure .. err, with_prefix(path, name, "_meta")
    end
  end
  -- On a consumer only an authentication plugin's conf is a credential.
  if schema_type == type_consumer and plugin.type ~= "auth" then
    schema_type = nil
  end
  local ok, err, path = check_own(plugin, conf, schema_type)
  if not ok and not (conf._meta and conf._meta.disable) then
    return false, failure .. tostring(err), with_prefix(path, name)
  end
  return true
end

--- Checks all confs of a `plugins` object, in the order of their names.
---@param plugins table
---@param schema_type integer?
---@param find (fun(name: string): table?)?
---@return boolean ok
---@return string? err
---@return string[]? path     below `plugins`
function _M.check(plugins, schema_type, find)
  local names = {}
  for name in pairs(plugins) do
    names[#names + 1] = tostring(name)
  end
  sort(names)
  for _, name in ipairs(names) do
    local ok, err, path = _M.check_one(name, plugins[name], schema_type, find)
    if not ok then
      return false, err, path
    end
  end
  return true
end

return _M
