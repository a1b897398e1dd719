-- SPDX-License-Identifier: Apache-2.0
--- The header operations of proxy-rewrite: add, set, remove, in this order, prepared once per conf as flat lists.

local core = require("apisix.core")

local add_header = core.request.add_header
local find = string.find
local ipairs = ipairs
local next = next
local pairs = pairs
local set_header = core.request.set_header
local tostring = tostring
local type = type

local _M = {}

local scalar = { oneOf = { { type = "string" }, { type = "number" } } }
local scalar_or_list = {
  oneOf = { { type = "string" }, { type = "number" }, { type = "array", minItems = 1, items = scalar } },
}
local operations = {
  type = "object",
  minProperties = 1,
  additionalProperties = false,
  patternProperties = { ["^[^:]+$"] = scalar_or_list },
}

_M.schema = {
  oneOf = {
    {
      type = "object",
      minProperties = 1,
      additionalProperties = false,
      properties = {
        add = operations,
        set = operations,
        remove = {
          type = "array",
          items = { type = "string", pattern = "^[^:]+$" },
        },
      },
    },
    {
      type = "object",
      minProperties = 1,
      additionalProperties = false,
      patternProperties = { ["^[^:]+$"] = scalar },
    },
  },
}

--- The older form is a map of headers to set.
local function is_map(headers)
  return type(headers.add) ~= "table" and type(headers.set) ~= "table" and type(headers.remove) ~= "table"
end

local function check_map(map)
  for name, value in pairs(map or {}) do
    if not core.utils.validate_header_field(name) then
      return false, "invalid field character in header"
    end
    for _, item in ipairs(type(value) == "table" and value or { value }) do
      if not core.utils.validate_header_value(tostring(item)) then
        return false, "invalid value character in header"
      end
    end
  end
  return true
end

--- Checks names and values for characters that no header may have.
---@param headers table?
---@return boolean ok
---@return string? err
function _M.check(headers)
  if not headers then
    return true
  end
  if is_map(headers) then
    return check_map(headers)
  end
  local ok, err = check_map(headers.add)
  if not ok then
    return false, err
  end
  ok, err = check_map(headers.set)
  if not ok then
    return false, err
  end
  for _, name in ipairs(headers.remove or {}) do
    if not core.utils.validate_header_field(name) then
      return false, "invalid field character in header"
    end
  end
  return true
end

-- nil when there is nothing to do.
local function flatten(map)
  if not map or next(map) == nil then
    return nil
  end
  local list = {}
  for name, value in pairs(map) do
    local values = type(value) == "table" and value or { value }
    local texts, has_variable = {}, false
    for index, item in ipairs(values) do
      texts[index] = tostring(item)
      has_variable = has_variable or find(texts[index], "$", 1, true) ~= nil
    end
    list[#list + 1] = {
      name = name,
      values = texts,
      has_variable = has_variable,
      constant = not has_variable and (#texts == 1 and texts[1] or texts) or nil,
    }
  end
  list.count = #list
  return list
end

---@class plugin.HeaderOperations
---@field add table[]?      with their `count`
---@field set table[]?
---@field remove string[]?

--- Prepares the operations of a conf; nil when it has none.
---@param headers table?
---@return plugin.HeaderOperations?
function _M.prepare(headers)
  if not headers then
    return nil
  end
  if is_map(headers) then
    return { set = flatten(headers) }
  end
  return { add = flatten(headers.add), set = flatten(headers.set), remove = headers.remove }
end

local function resolve(operation, ctx, captures)
  local values = {}
  for index = 1, #operation.values do
    local text = operation.values[index]
    if captures then
      text = core.utils.resolve_var_with_captures(text, captures)
    end
    values[index] = core.utils.resolve_var(text, ctx.var)
  end
  return #values == 1 and values[1] or values
end

--- Changes the headers of the request.
---@param operations_of_conf plugin.HeaderOperations
---@param ctx moongate.Ctx
---@param captures table?    of regex_uri
function _M.apply(operations_of_conf, ctx, captures)
  local list = operations_of_conf.add
  if list then
    for index = 1, list.count do
      local operation = list[index]
      add_header(ctx, operation.name, operation.constant or resolve(operation, ctx, captures))
    end
  end
  list = operations_of_conf.set
  if list then
    for index = 1, list.count do
      local operation = list[index]
      set_header(ctx, operation.name, operation.constant or resolve(operation, ctx, captures))
    end
  end
  list = operations_of_conf.remove
  if list then
    for index = 1, #list do
      set_header(ctx, list[index], nil)
    end
  end
end

return _M
