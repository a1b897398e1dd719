-- SPDX-License-Identifier: Apache-2.0
--- Tables that serve one request after another.
--
-- To store a value under a new key is the dearest thing that compiled code does to a table: some 200 instructions, where a
-- key that has its place takes ten. So such a table is born with its keys, always in the same places, and between two
-- requests it loses the values and keeps the keys. What else somebody has put in is found by looking whether anything is left;
-- such a table is given up for a new one, so that a request never sees another's. To look costs some instructions for each
-- place, so only keys that are used have one: what plugins leave behind twice is learned.

local concat = table.concat
local getmetatable = getmetatable
local ipairs = ipairs
local next = next
local rawget = rawget
local rawset = rawset
local setmetatable = setmetatable
local type = type

local keys_max = 64      -- of one kind of table
local learning_max = 8   -- times: code that was compiled for the keys before takes a detour afterwards
local seen_max = 256     -- names that were left behind once

local _M = {}

local function write_source(keys)
  local made, wiped = {}, {}
  for i, key in ipairs(keys) do
    made[i] = ("[%q] = true"):format(key)
    wiped[i] = ("rawset(t, %q, nil)"):format(key)
  end
  return "local rawset = rawset return function() return { " .. concat(made, ", ") .. " } end, function(t) " .. concat(wiped, " ") .. " end"
end

-- A table that is copied from a constructor has its keys where the constructor has them: compiled code relies on it.
local function make_shape(keys)
  local copy_born, wipe = load(write_source(keys), "=kept keys")()
  return { copy_born = copy_born, wipe = wipe }
end

-- Notes what is left in `t`, and takes into `keys` what was left behind before. True when it did.
local function learn(keys, seen, t)
  local has_learned = false
  for key in next, t do
    if type(key) == "string" and #keys < keys_max then
      if seen.names[key] then
        keys[#keys + 1], seen.names[key] = key, nil
        has_learned = true
      else
        if seen.count == seen_max then
          seen.names, seen.count = {}, 0
        end
        seen.names[key], seen.count = true, seen.count + 1
      end
    end
  end
  return has_learned
end

--- Takes a value out of such a table. Only what is there: nil under a new key takes the place of another key all the same.
---@param t table
---@param key string
function _M.forget(t, key)
  if rawget(t, key) ~= nil then
    rawset(t, key, nil)
  end
end

--- Makes the function that gives a request its table of one kind: (t, shape), what the request before it had in this place, or
--- nothing, to a table without a value and its shape, to be given here the next time.
---@param used string[]     the keys that nearly every request uses
---@param metatable table?
---@return fun(t: table?, shape: table?): table, table
function _M.make(used, metatable)
  local keys = { unpack(used) }
  local shape = make_shape(keys)
  local seen, left_to_learn = { names = {}, count = 0 }, learning_max

  local function note(t)
    if left_to_learn > 0 and learn(keys, seen, t) then
      shape, left_to_learn = make_shape(keys), left_to_learn - 1
    end
  end

  return function(t, born_as)
    if t and born_as == shape then
      born_as.wipe(t)
      if next(t) == nil and getmetatable(t) == metatable then
        return t, born_as
      end
      note(t)
    end
    local fresh = shape.copy_born()
    shape.wipe(fresh)
    return setmetatable(fresh, metatable), shape
  end
end

return _M
