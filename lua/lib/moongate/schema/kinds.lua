-- SPDX-License-Identifier: Apache-2.0
--- JSON's types as Lua values have them. An empty table is an object as well as an array.

local cjson = require("cjson.safe")

local floor = math.floor
local next = next
local sub = string.sub
local type = type
local upper = string.upper

local _M = {}

function _M.object(value)
  return type(value) == "table" and (#value == 0)
end

function _M.array(value)
  if type(value) ~= "table" then
    return false
  end
  local count = #value
  if count == 0 then
    return next(value) == nil
  end
  for key in next, value do
    if type(key) ~= "number" or key < 1 or key > count or floor(key) ~= key then
      return false
    end
  end
  return true
end

function _M.string(value)
  return type(value) == "string"
end

function _M.number(value)
  return type(value) == "number"
end

function _M.integer(value)
  return type(value) == "number" and floor(value) == value and value - value == 0
end

function _M.boolean(value)
  return type(value) == "boolean"
end

function _M.null(value)
  return value == cjson.null or value == nil
end

_M["function"] = function(value)
  return type(value) == "function"
end

_M.table = function(value)
  return type(value) == "table"
end

--- Tells whether a value is a reference (`$secret://...`, `$env://...`) to a text that is stored elsewhere.
---@param value any
---@return boolean
function _M.is_secret(value)
  if type(value) ~= "string" or sub(value, 1, 1) ~= "$" then
    return false
  end
  return sub(value, 1, 10) == "$secret://" or upper(sub(value, 1, 7)) == "$ENV://"
end

return _M
