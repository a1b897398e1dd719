-- SPDX-License-Identifier: Apache-2.0
--- `ngx.timer`: functions that run later, detached from the request.

local wait = require("moongate.wait")

local _M = {}

--- Runs `fn(premature, ...)` once, `delay` seconds from now.
---@return boolean? ok
---@return string? err
function _M.at(delay, fn, ...)
  local id, err = wait.timer(delay, false, fn, ...)
  if not id then
    return nil, err
  end
  return true
end

--- Runs `fn(premature, ...)` every `delay` seconds.
---@return boolean? ok
---@return string? err
function _M.every(delay, fn, ...)
  if type(delay) ~= "number" or delay <= 0 then
    error("delay must be greater than 0", 2)
  end
  local id, err = wait.timer(delay, true, fn, ...)
  if not id then
    return nil, err
  end
  return true
end

---@return integer
function _M.pending_count()
  return (wait.timer_counts())
end

---@return integer
function _M.running_count()
  local _, running = wait.timer_counts()
  return running
end

return _M
