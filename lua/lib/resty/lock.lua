-- SPDX-License-Identifier: Apache-2.0
--- `resty.lock`: a lock on a key that all workers see, in a shared dictionary. Waiting sleeps in growing steps.

local native = require("moongate.native")
local wait = require("moongate.wait")

local C = native.C
local min = math.min
local setmetatable = setmetatable
local tostring = tostring

local _M = { _VERSION = "0.09" }
local lock_mt = { __index = _M }

--- Makes a lock. Options: exptime (30 s, after which it opens by itself), timeout (5 s of waiting at most), step
--- (0.001 s), ratio (2), max_step (0.5 s).
---@param dict_name string
---@param options table?
---@return table? lock
---@return string? err
function _M:new(dict_name, options)
  local dict = require("moongate.ngx.shared")[dict_name]
  if not dict then
    return nil, "dictionary not found"
  end
  options = options or {}
  return setmetatable({
    dict = dict,
    exptime = options.exptime or 30,
    timeout = options.timeout or 5,
    step = options.step or 0.001,
    ratio = options.ratio or 2,
    max_step = options.max_step or 0.5,
  }, lock_mt)
end

--- Takes the lock on `key`. Yields while another has it.
---@param key string
---@return number? elapsed     seconds waited
---@return string? err         "locked", "timeout"
function _M:lock(key)
  if not key then
    return nil, "nil key"
  end
  if self.key then
    return nil, "locked"
  end
  local token = tostring(C.mg_worker_pid()) .. ":" .. tostring(tonumber(C.mg_random() % 4294967296ULL))
  local started = C.mg_steady()
  local step_s = self.step
  while true do
    local ok, err = self.dict:add(key, token, self.exptime)
    if ok then
      self.key, self.token = key, token
      return C.mg_steady() - started
    end
    if err ~= "exists" then
      return nil, err
    end
    local left_s = self.timeout - (C.mg_steady() - started)
    if left_s <= 0 then
      return nil, "timeout"
    end
    wait.sleep(min(step_s, left_s, self.max_step))
    step_s = step_s * self.ratio
  end
end

-- Only the holder may change the lock: it may have expired and be another's now.
local function is_held(lock)
  return lock.key ~= nil and lock.dict:get(lock.key) == lock.token
end

--- Opens the lock.
---@return integer? ok
---@return string? err
function _M:unlock()
  if not self.key then
    return nil, "unlocked"
  end
  local held = is_held(self)
  if held then
    self.dict:delete(self.key)
  end
  self.key, self.token = nil, nil
  if not held then
    return nil, "unlocked"
  end
  return 1
end

--- Gives the lock another time until it opens by itself.
---@param exptime number?
---@return boolean? ok
---@return string? err
function _M:expire(exptime)
  if not is_held(self) then
    return nil, "unlocked"
  end
  return self.dict:expire(self.key, exptime or self.exptime)
end

return _M
