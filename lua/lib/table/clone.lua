-- SPDX-License-Identifier: Apache-2.0
--- `table.clone(t)`: a shallow copy without the metatable, as in OpenResty's LuaJIT.

local pairs = pairs

local function clone(t)
  local copy = {}
  for key, value in pairs(t) do
    copy[key] = value
  end
  return copy
end

rawset(table, "clone", clone)
return clone
