-- SPDX-License-Identifier: Apache-2.0
--- Tables that serve one request after another.
--
-- To store a value under a new key is the dearest thing that compiled code does to a table: some 200 instructions, where a
-- key that has its place takes ten. So such a table is born with its keys, always in the same places, and between two
-- requests it loses the values and keeps the keys. What else somebody has put in is found by looking whether anything is left;
-- such a table is given up for a new one, so that a request never sees another's.

local concat = table.concat
local getmetatable = getmetatable
local ipairs = ipairs
local next = next
local setmetatable = setmetatable

local _M = {}

local function write_source(keys)
  local made, wiped = {}, {}
  for i, key in ipairs(keys) do
    made[i] = ("[%q] = true"):format(key)
    wiped[i] = ("rawset(t, %q, nil)"):format(key)
  end
  return "local rawset = rawset return function() return { " .. concat(made, ", ") .. " } end, function(t) " .. concat(wiped, " ") .. " end"
end

--- Makes the two functions of one kind of table.
---@param keys string[]
---@param metatable table?
---@return fun(): table new              one without a value
---@return fun(t: table): boolean empty  takes the values out; false when something else stays in it
function _M.make(keys, metatable)
  -- A table that is copied from a constructor has its keys where the constructor has them: compiled code relies on it.
  local copy_born, wipe = load(write_source(keys), "=kept keys")()
  local function new()
    local t = copy_born()
    wipe(t)
    return setmetatable(t, metatable)
  end
  local function empty(t)
    wipe(t)
    return next(t) == nil and getmetatable(t) == metatable
  end
  return new, empty
end

return _M
