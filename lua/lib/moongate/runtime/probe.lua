-- SPDX-License-Identifier: Apache-2.0
--- Looks at one plugin the way a worker would load it, and says what it is or where it is wrong. For `moongate plugin
--- check` and `moongate plugin list`; runtime/script/plugin_probe.cpp is the caller. No init() is run.

local loader = require("moongate.runtime.loader")
local schema = require("moongate.core.schema")

local concat = table.concat
local ipairs = ipairs
local tostring = tostring
local type = type

local _M = {}

local phases = {
  "rewrite", "access", "before_proxy", "header_filter", "body_filter", "delayed_body_filter", "log",
}
local hooks = { "check_schema", "init", "destroy" }
-- A phase that is spelled in one of these ways would never run, and nobody would notice.
local misspelled = {
  headerfilter = "header_filter", bodyfilter = "body_filter", beforeproxy = "before_proxy", header_filer = "header_filter",
  body_filer = "body_filter", acess = "access", acces = "access", accesss = "access", rewite = "rewrite", rewrit = "rewrite",
  check_shema = "check_schema", checkschema = "check_schema", content = "access", request = "access", response = "header_filter",
}

-- The line on which a field is set, or the one on which the file returns its table.
local function find_line(text, field)
  local number, last_return = 0, 1
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    if field and (line:find("%f[%w_]" .. field .. "%s*=") or line:find("[.:]" .. field .. "%s*%(")) then
      return number
    end
    if line:find("^return%f[^%w_]") then
      last_return = number
    end
  end
  return last_return
end

local function place(source, field)
  return source.path .. ":" .. find_line(source.text, field) .. ": "
end

-- What load_set says names the plugin; a complaint needs the file and line alone.
local function shorten(source, err)
  err = tostring(err):gsub("\nstack traceback:.*", "")
  local plain = source.path:gsub("%p", "%%%0")
  local located = err:match(plain .. ":%d+: .*")
  if located then
    return located
  end
  local reason = err:match("^plugin .- %(" .. plain .. "%): (.*)$") or err
  return place(source, reason:match("field: ([%w_]+)") or reason:match("([%w_]+) field$")) .. reason
end

local function check_hooks(source, object)
  local has_phase = false
  for _, list in ipairs({ phases, hooks }) do
    for _, name in ipairs(list) do
      local value = object[name]
      if value ~= nil and type(value) ~= "function" then
        return place(source, name) .. name .. " must be a function, not a " .. type(value)
      end
      has_phase = has_phase or (list == phases and value ~= nil)
    end
  end
  for wrong, right in pairs(misspelled) do
    if type(object[wrong]) == "function" then
      return place(source, wrong) .. "there is no phase `" .. wrong .. "`; write `" .. right .. "`"
    end
  end
  if not has_phase then
    return place(source, nil) .. "the plugin has no function for any phase; give it at least one of " .. concat(phases, ", ")
  end
  return nil
end

local function check_schemas(source, object)
  for _, field in ipairs({ "schema", "consumer_schema", "metadata_schema" }) do
    local value = object[field]
    if value ~= nil then
      if type(value) ~= "table" then
        return place(source, field) .. field .. " must be a table"
      end
      local ok, err = schema.valid(value)
      if not ok then
        return place(source, field) .. field .. ": " .. tostring(err)
      end
    end
  end
  if object.type == "auth" and object.consumer_schema == nil then
    return place(source, "type") .. "a plugin of type `auth` needs a consumer_schema: what a consumer's credential looks like"
  end
  return nil
end

local function list_phases(object)
  local found = {}
  for _, name in ipairs(phases) do
    if type(object[name]) == "function" then
      found[#found + 1] = name
    end
  end
  return concat(found, ", ")
end

--- Loads a plugin.
---@param source {name: string, path: string, text: string}
---@param libraries {name: string, path: string, text: string}[]
---@return {version: string, priority: number, type: string, phases: string}?
---@return string? fault     "file:line: what is wrong"
function _M.probe(source, libraries)
  source.hash = source.path
  source.uses_libraries = true
  local handle, err = loader.load_set({ source }, libraries, source.path, {}, false)
  if not handle then
    return nil, shorten(source, err)
  end
  local object = loader.find(handle, source.name).object
  local fault = check_hooks(source, object) or check_schemas(source, object)
  local facts = {
    version = tostring(object.version), priority = object.priority, type = tostring(object.type or ""), phases = list_phases(object),
  }
  loader.release_set(handle)
  if fault then
    return nil, fault
  end
  return facts
end

return _M
