-- SPDX-License-Identifier: Apache-2.0
--- serverless-pre-function and serverless-post-function are one plugin at two priorities. This makes it.

local core = require("apisix.core")

local ipairs = ipairs
local load = load
local pcall = pcall
local require = require
local setmetatable = setmetatable
local tostring = tostring
local type = type

local phases = { "rewrite", "access", "header_filter", "body_filter", "log", "before_proxy" }

local schema_properties = {
  phase = { type = "string", enum = phases, default = "access" },
  functions = { type = "array", minItems = 1, items = { type = "string" } },
}

--- Compiles one source text; it must evaluate to a function. Globals that it sets stay its own.
local function compile(source, name)
  local env = setmetatable({ require = require }, { __index = _G })
  local chunk, err = load(source, name, "t", env)
  if not chunk then
    return nil, "failed to loadstring: " .. tostring(err)
  end
  local ok, value = pcall(chunk)
  if not ok then
    return nil, "pcall error: " .. tostring(value)
  end
  if type(value) ~= "function" then
    return nil, "only accept Lua function, the input code type is " .. type(value)
  end
  return value
end

local function compile_all(plugin_name, conf)
  local functions = {}
  for index, source in ipairs(conf.functions) do
    local value, err = compile(source, "=" .. plugin_name .. "[" .. index .. "]")
    if not value then
      return nil, err
    end
    functions[index] = value
  end
  return functions
end

-- What a function keeps in its upvalues lives as long as the conf, so each conf is compiled once.
local compiled = setmetatable({}, { __mode = "k" })

local function run(plugin_name, conf, ctx)
  local functions = compiled[conf]
  if not functions then
    local err
    functions, err = compile_all(plugin_name, conf)
    if not functions then
      core.log.error(plugin_name, ": ", err)
      return 500
    end
    compiled[conf] = functions
  end
  for index = 1, #functions do
    local code, body = functions[index](conf, ctx)
    if code or body then
      return code, body
    end
  end
end

local function make_check(name, schema)
  return function(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
      return false, err
    end
    ok, err = compile_all(name, conf)
    if not ok then
      return false, err
    end
    return true
  end
end

local function make_hook(name, phase)
  return function(conf, ctx)
    if conf.phase == phase then
      return run(name, conf, ctx)
    end
  end
end

--- Makes the plugin `name` with the priority given.
---@param name string
---@param priority integer
---@return moongate.Plugin
return function(name, priority)
  local schema = { type = "object", properties = schema_properties, required = { "functions" } }
  local plugin = { version = 0.1, priority = priority, name = name, schema = schema }
  plugin.check_schema = make_check(name, schema)
  for _, phase in ipairs(phases) do
    plugin[phase] = make_hook(name, phase)
  end
  return plugin
end
