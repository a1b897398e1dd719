-- SPDX-License-Identifier: Apache-2.0
--- A bounded map for things that are cheap to make again (compiled patterns, translated names): two generations,
--- each of at most half the size. A hit in the old one moves the entry to the young one; when the young one is
--- full it becomes the old one. So what is used stays, what is not goes, and nobody keeps a linked list.

local floor = math.floor

local _M = {}

local methods = {}
methods.__index = methods

---@class moongate.BoundedMap
---@field young table
---@field old table
---@field used integer
---@field half integer

--- Makes a map of at most `count` entries.
---@param count integer
---@return moongate.BoundedMap
function _M.new(count)
  return setmetatable({ young = {}, old = {}, used = 0, half = floor(count / 2) }, methods)
end

---@param key any
---@return any?
function methods:get(key)
  local value = self.young[key]
  if value ~= nil then
    return value
  end
  value = self.old[key]
  if value ~= nil then
    self:set(key, value)
  end
  return value
end

---@param key any
---@param value any
function methods:set(key, value)
  if self.young[key] == nil then
    if self.used >= self.half then
      self.old = self.young
      self.young = {}
      self.used = 0
    end
    self.used = self.used + 1
  end
  self.young[key] = value
end

return _M
