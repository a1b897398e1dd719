-- SPDX-License-Identifier: Apache-2.0
--- `resty.lrucache`: a map of bounded size that forgets what was used longest ago. Entries may expire.
--
-- The order is a doubly linked list in two arrays, so that a hit moves an entry without making garbage.

local native = require("moongate.native")

local C = native.C
local error = error
local setmetatable = setmetatable
local type = type

local _M = { _VERSION = "0.13" }
local methods = {}
local cache_mt = { __index = methods }

---@class resty.lrucache
---@field slots table<any, integer>     key to slot
---@field keys any[]
---@field values any[]
---@field expires number[]              on the steady clock; 0 is never
---@field after integer[]               towards the oldest; slot 0 is the head of the list
---@field before integer[]

--- Makes a cache of at most `count` entries.
---@param count integer
---@return resty.lrucache? cache
---@return string? err
function _M.new(count)
  if type(count) ~= "number" or count < 1 then
    return nil, "size too small"
  end
  return setmetatable({
    max = count, used = 0, count_ = 0, slots = {}, keys = {}, values = {}, expires = {}, flags = {},
    after = { [0] = 0 }, before = { [0] = 0 }, free = {},
  }, cache_mt)
end

local function unlink(cache, slot)
  local after, before = cache.after, cache.before
  after[before[slot]] = after[slot]
  before[after[slot]] = before[slot]
end

local function link_first(cache, slot)
  local after, before = cache.after, cache.before
  local first = after[0]
  after[slot], before[slot] = first, 0
  before[first] = slot
  after[0] = slot
end

local function drop(cache, slot)
  unlink(cache, slot)
  cache.slots[cache.keys[slot]] = nil
  cache.keys[slot], cache.values[slot] = false, false
  cache.free[#cache.free + 1] = slot
  cache.count_ = cache.count_ - 1
end

--- Returns the value of a live key; of an expired one nil and the old value.
---@param key any
---@return any value
---@return any stale
---@return integer? flags
function methods:get(key)
  local slot = self.slots[key]
  if not slot then
    return nil
  end
  if self.after[0] ~= slot then
    unlink(self, slot)
    link_first(self, slot)
  end
  local expires = self.expires[slot]
  if expires ~= 0 and expires <= C.mg_steady() then
    return nil, self.values[slot], self.flags[slot]
  end
  return self.values[slot], nil, self.flags[slot]
end

local function slot_for_new(cache)
  local free = cache.free
  if cache.count_ >= cache.max then
    drop(cache, cache.before[0])
  end
  local slot = free[#free]
  if slot then
    free[#free] = nil
  else
    slot = cache.used + 1
    cache.used = slot
  end
  cache.count_ = cache.count_ + 1
  return slot
end

--- Stores a value, for `ttl` seconds when given.
---@param key any
---@param value any
---@param ttl number?
---@param flags integer?
function methods:set(key, value, ttl, flags)
  if key == nil then
    error("nil key", 2)
  end
  local slot = self.slots[key]
  if slot then
    unlink(self, slot)
  else
    slot = slot_for_new(self)
    self.slots[key] = slot
    self.keys[slot] = key
  end
  link_first(self, slot)
  self.values[slot] = value
  self.expires[slot] = ttl and C.mg_steady() + ttl or 0
  self.flags[slot] = flags or 0
end

function methods:delete(key)
  local slot = self.slots[key]
  if not slot then
    return false
  end
  drop(self, slot)
  return true
end

function methods:count()
  return self.count_
end

function methods:capacity()
  return self.max
end

--- Returns the keys, the youngest first, at most `max`.
function methods:get_keys(max)
  local keys, slot = {}, self.after[0]
  while slot ~= 0 and (not max or max == 0 or #keys < max) do
    keys[#keys + 1] = self.keys[slot]
    slot = self.after[slot]
  end
  return keys
end

function methods:flush_all()
  for slot = 1, self.used do
    if self.keys[slot] ~= false and self.slots[self.keys[slot]] == slot then
      drop(self, slot)
    end
  end
end

return _M
