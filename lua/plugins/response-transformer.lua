-- SPDX-License-Identifier: Apache-2.0
--- response-transformer: changes the headers of the answer, as Kong's plugin of that name does: removes, renames, replaces
--- those that are there, adds those that are not, and appends, in this order.

local core = require("apisix.core")

local ipairs = ipairs
local match = string.match
local setmetatable = setmetatable

local texts = { type = "array", maxItems = 1000, items = { type = "string", minLength = 1 } }
local nothing = { type = "array", maxItems = 0 } -- what is only served when it asks for nothing

local change = {
  type = "object",
  properties = { headers = texts, json = nothing, json_types = nothing },
  additionalProperties = false,
}

local schema = {
  type = "object",
  properties = {
    remove = change,
    rename = change,
    replace = change,
    add = change,
    append = change,
  },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 800,
  name = "response-transformer",
  schema = schema,
}

local name_pattern = "^[%w!#$%%&'*+.^_`|~-]+$"

--- Takes "name:value" apart.
local function split(entry)
  local name, value = match(entry, "^([^:]+):%s*(.-)%s*$")
  if name and match(name, name_pattern) then
    return name, value
  end
end

local function check_entries(kind, list)
  for _, entry in ipairs(list or {}) do
    local name = kind == "remove" and match(entry, name_pattern) or split(entry)
    if not name then
      local form = kind == "remove" and "a header" or kind == "rename" and "OLD:NEW" or "NAME:VALUE"
      return false, kind .. ".headers: expected " .. form .. ", got " .. entry
    end
  end
  return true
end

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  for _, kind in ipairs({ "remove", "rename", "replace", "add", "append" }) do
    ok, err = check_entries(kind, conf[kind] and conf[kind].headers)
    if not ok then
      return false, err
    end
  end
  return true
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = { remove = conf.remove and conf.remove.headers or {} }
  for _, kind in ipairs({ "rename", "replace", "add", "append" }) do
    plan[kind] = {}
    for index, entry in ipairs(conf[kind] and conf[kind].headers or {}) do
      local name, value = split(entry)
      plan[kind][index] = { name = name, value = value }
    end
  end
  prepared[conf] = plan
  return plan
end

--- Changes the headers of the answer, whoever made it.
--- Phases: header_filter. Does not yield.
---@param conf plugin.ResponseTransformerConf
function _M.header_filter(conf)
  local plan = prepared[conf] or prepare(conf)
  local set_header, header = core.response.set_header, ngx.header
  for _, name in ipairs(plan.remove) do
    set_header(name, nil)
  end
  for _, item in ipairs(plan.rename) do
    local value = header[item.name]
    if value ~= nil then
      set_header(item.name, nil)
      set_header(item.value, value)
    end
  end
  for _, item in ipairs(plan.replace) do
    if header[item.name] ~= nil then
      set_header(item.name, item.value)
    end
  end
  for _, item in ipairs(plan.add) do
    if header[item.name] == nil then
      set_header(item.name, item.value)
    end
  end
  for _, item in ipairs(plan.append) do
    core.response.add_header(item.name, item.value)
  end
end

return _M
