-- SPDX-License-Identifier: Apache-2.0
--- `resty.http_headers`: a table of fields whose names compare without case, and whose `pairs` shows the spelling that came
--- first. An underscore in a name that is not there finds the one with dashes.

local gsub = string.gsub
local lower = string.lower
local rawget = rawget
local rawset = rawset
local setmetatable = setmetatable
local type = type

local _M = {}

local function key_of(name)
  return lower((gsub(name, "_", "-")))
end

--- Makes an empty table of fields.
---@return table
function _M.new()
  local spelled = {}
  return setmetatable({}, {
    __index = function(fields, name)
      local known = type(name) == "string" and spelled[key_of(name)]
      return known and rawget(fields, known) or nil
    end,
    __newindex = function(fields, name, value)
      local key = key_of(name)
      local known = spelled[key]
      if not known then
        spelled[key] = name
        known = name
      end
      rawset(fields, known, value)
    end,
  })
end

return _M
