-- SPDX-License-Identifier: Apache-2.0
--- `table.nkeys(t)`: how many keys a table has. OpenResty's LuaJIT has it built in; stock LuaJIT has not.

local next = next

local function nkeys(t)
  local count = 0
  local key = next(t)
  while key ~= nil do
    count = count + 1
    key = next(t, key)
  end
  return count
end

rawset(table, "nkeys", nkeys)
return nkeys
