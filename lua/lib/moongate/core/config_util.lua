-- SPDX-License-Identifier: Apache-2.0
--- `core.config_util`: helpers around resources and settings.

local find = string.find
local sub = string.sub
local tonumber = tonumber
local type = type

local _M = {}

local function next_value(list, index)
  local count = #list
  repeat
    index = index + 1
    if index > count then
      return nil
    end
  until list[index]
  return index, list[index]
end

--- Iterates over the resources in `list` and leaves out the places of deleted ones, which hold false.
---@param list table
function _M.iterate_values(list)
  return next_value, list, 0
end

local seconds_of = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400, w = 604800, M = 2592000, y = 31536000 }
local order_of = { y = 1, M = 2, w = 3, d = 4, h = 5, m = 6, s = 7, ms = 8 }

--- Reads a time with units, such as "1m30s" or "100ms", largest unit first; a number alone is seconds.
---@param text string|number
---@return number? seconds
---@return string? err
function _M.parse_time_unit(text)
  if type(text) == "number" then
    return text
  end
  if type(text) ~= "string" or text == "" then
    return nil, "invalid data: " .. tostring(text)
  end
  local total, at, order = 0, 1, 0
  while at <= #text do
    local first, last, digits, unit = find(text, "^(%d+)(%a*)%s*", at)
    if not first then
      return nil, "invalid data: " .. sub(text, at)
    end
    if unit == "" then
      unit = "s"
    end
    if not seconds_of[unit] then
      return nil, "invalid data: " .. text
    end
    if order_of[unit] <= order then
      return nil, "unexpected unit: " .. unit
    end
    total, at, order = total + tonumber(digits) * seconds_of[unit], last + 1, order_of[unit]
  end
  return total
end

return _M
