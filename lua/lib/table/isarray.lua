-- SPDX-License-Identifier: Apache-2.0
--- `table.isarray(t)`: true when every key is a positive integer (holes are allowed), as in OpenResty's LuaJIT.

local floor = math.floor
local next = next
local type = type

local function isarray(t)
  local key = next(t)
  while key ~= nil do
    if type(key) ~= "number" or key < 1 or floor(key) ~= key then
      return false
    end
    key = next(t, key)
  end
  return true
end

rawset(table, "isarray", isarray)
return isarray
