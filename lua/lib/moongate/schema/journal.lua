-- SPDX-License-Identifier: Apache-2.0
--- Which defaults a check has written, so that those of a branch that did not fit (oneOf, anyOf, not, if) can be taken
--- back. Nothing waits during a check, so one journal serves all; checks may be nested (a plugin's check_schema).

local _M = {}

-- Target and key by turns.
local writes = {}
local count = 0

--- Forgets, without taking back, what was written since `mark`.
---@param mark integer
function _M.forget(mark)
  for index = mark + 1, count do
    writes[index] = nil
  end
  count = mark
end

--- Writes a default.
---@param target table
---@param key any
---@param value any
function _M.write(target, key, value)
  writes[count + 1], writes[count + 2] = target, key
  count = count + 2
  target[key] = value
end

---@return integer mark
function _M.mark()
  return count
end

--- Takes back what was written since `mark`.
---@param mark integer
function _M.undo(mark)
  for index = count, mark + 2, -2 do
    local target = writes[index - 1]
    target[writes[index]] = nil
  end
  _M.forget(mark)
end

return _M
