-- SPDX-License-Identifier: Apache-2.0
--- Which defaults a check has written, so that those of a branch that did not fit (oneOf, anyOf, not, if) can be taken
--- back. Nothing waits during a check, so one journal serves all; checks may be nested (a plugin's check_schema).

local _M = {}

local tables, keys = {}, {}
local count, depth = 0, 0

function _M.begin()
  depth = depth + 1
end

function _M.finish()
  depth = depth - 1
  if depth == 0 then
    for index = 1, count do
      tables[index] = nil
      keys[index] = nil
    end
    count = 0
  end
end

--- Writes a default.
---@param target table
---@param key any
---@param value any
function _M.write(target, key, value)
  count = count + 1
  tables[count], keys[count] = target, key
  target[key] = value
end

---@return integer mark
function _M.mark()
  return count
end

--- Takes back what was written since `mark`.
---@param mark integer
function _M.undo(mark)
  for index = count, mark + 1, -1 do
    tables[index][keys[index]] = nil
    tables[index], keys[index] = nil, nil
  end
  count = mark
end

return _M
