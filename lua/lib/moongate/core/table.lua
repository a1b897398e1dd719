-- SPDX-License-Identifier: Apache-2.0
--- `core.table`: what Lua's own `table` has, what OpenResty adds to it, and the helpers below.

local json = require("moongate.core.json")
local nkeys = require("table.nkeys")

local getmetatable = getmetatable
local ipairs = ipairs
local newproxy = newproxy
local pairs = pairs
local select = select
local setmetatable = setmetatable
local type = type

local _M = {
  new = require("table.new"),
  clear = require("table.clear"),
  nkeys = nkeys,
  clone = require("table.clone"),
  isarray = require("table.isarray"),
  isempty = require("table.isempty"),
}

setmetatable(_M, { __index = table })

--- Appends the arguments; returns the new length.
---@param list any[]
---@return integer
function _M.insert_tail(list, ...)
  local count = #list
  for index = 1, select("#", ...) do
    count = count + 1
    list[count] = (select(index, ...))
  end
  return count
end

--- Writes the arguments from index 1 on; returns how many there were.
---@param list any[]
---@return integer
function _M.set(list, ...)
  local count = select("#", ...)
  for index = 1, count do
    list[index] = (select(index, ...))
  end
  return count
end

--- Returns t[a][b]..., or nil as soon as something on the way is no table.
---@param t any
function _M.try_read_attr(t, ...)
  for index = 1, select("#", ...) do
    if type(t) ~= "table" then
      return nil
    end
    t = t[(select(index, ...))]
  end
  return t
end

--- Returns the index of `value` in `list`, or nil.
---@param list any[]
---@param value any
---@return integer?
function _M.array_find(list, value)
  if type(list) ~= "table" then
    return nil
  end
  for index, item in ipairs(list) do
    if item == value then
      return index
    end
  end
  return nil
end

local function deep_copy(value, seen, path, options)
  if type(value) ~= "table" then
    return value
  end
  if seen[value] then
    return seen[value]
  end
  local copy = {}
  seen[value] = copy
  for key, item in pairs(value) do
    local item_path = path and path .. "." .. tostring(key)
    if item_path and options[item_path] then
      copy[key] = item
    else
      copy[key] = deep_copy(item, seen, item_path, options)
    end
  end
  return setmetatable(copy, getmetatable(value))
end

--- Copies a table with all it contains. Metatables are kept, cycles too.
---@param value any
---@param options {shallows: string[]?, shallow_prefix: string?}?    paths such as "self.upstream.parent" to share
---@return any
function _M.deepcopy(value, options)
  local shallows = options and options.shallows
  if not shallows then
    return deep_copy(value, {})
  end
  local paths = {}
  for _, path in ipairs(shallows) do
    paths[path] = true
  end
  return deep_copy(value, {}, options.shallow_prefix or "self", paths)
end

--- Merges `extend` into `origin`: tables recursively, arrays and scalars replaced, null deletes.
---@param origin table
---@param extend table
---@return table origin
function _M.merge(origin, extend)
  for key, value in pairs(extend) do
    if value == json.null then
      origin[key] = nil
    elseif type(value) == "table" and type(origin[key]) == "table" and #value == 0 and #origin[key] == 0
      and getmetatable(value) ~= json.array_mt then
      _M.merge(origin[key], value)
    else
      origin[key] = value
    end
  end
  return origin
end

--- Replaces the part of `target` that `path` ("/a/b") names with `value`. An empty path merges.
---@param target table
---@param path string
---@param value any
---@return integer? code     400 when the path leads nowhere
---@return string? err
---@return table? target
function _M.patch(target, path, value)
  if path == nil or path == "" or path == "/" then
    if type(value) ~= "table" then
      return 400, "invalid value"
    end
    return nil, nil, _M.merge(target, value)
  end
  local at, last = target, nil
  for name in path:gmatch("[^/]+") do
    if last ~= nil then
      at = at[last]
      if type(at) ~= "table" then
        return 400, "invalid sub-path: " .. path
      end
    end
    last = at[name] == nil and #at > 0 and tonumber(name) or name
  end
  if value == json.null then
    value = nil
  end
  at[last] = value
  return nil, nil, target
end

--- Compares two values by content.
---@param one any
---@param other any
---@return boolean
function _M.deep_eq(one, other)
  if one == other then
    return true
  end
  if type(one) ~= "table" or type(other) ~= "table" then
    return false
  end
  for key, value in pairs(one) do
    if not _M.deep_eq(value, other[key]) then
      return false
    end
  end
  for key in pairs(other) do
    if one[key] == nil then
      return false
    end
  end
  return true
end

--- Tells whether two arrays hold the same members, in whatever order.
---@param one any[]
---@param other any[]
---@return boolean
function _M.set_eq(one, other)
  if #one ~= #other then
    return false
  end
  local members = {}
  for _, item in ipairs(one) do
    members[item] = true
  end
  for _, item in ipairs(other) do
    if not members[item] then
      return false
    end
  end
  return true
end

--- Returns a new table with only the keys that `wanted` has: a map of name to true or {as=, type=}.
---@param t table
---@param wanted table
---@return table
function _M.pick(t, wanted)
  local picked = {}
  for key, option in pairs(wanted) do
    local value = t[key]
    if type(option) == "table" and option.type and type(value) ~= option.type then
      value = nil
    end
    picked[type(option) == "table" and option.as or key] = value
  end
  return picked
end

--- setmetatable for a metatable with __gc, which plain tables do not honour here.
---@param t table
---@param mt table
---@return table
function _M.setmt__gc(t, mt)
  local guard = newproxy(true)
  getmetatable(guard).__gc = function()
    mt.__gc(t)
  end
  t[guard] = true
  return setmetatable(t, mt)
end

return _M
