-- SPDX-License-Identifier: Apache-2.0
--- The sliding window counter: two fixed windows in a shared dictionary, the former one weighted by how much of it
--- the sliding window still covers.
--
--    former window       current window
--   |--------------------|-------+------------|
--              |<----- sliding --^ now
--               former * (1 - elapsed) + current <= limit
--
-- A request first takes its place in the current window by one atomic addition and then looks at the sum. One that
-- does not fit gives its place back. So two workers can never both take the last place; at worst both are refused.
-- Time is the monotonic clock, which all workers share and nobody sets back.

local native = require("moongate.native")

local C = native.C
local floor = math.floor

-- Sums of weighted counts are not exact; a request is not refused for the last bit.
local tolerance = 1e-9

local _M = {}

--- Seconds until one more request fits, when nobody else comes.
local function wait_for_place(former, current, limit, elapsed, window)
  if limit < 1 then
    return window
  end
  if current + 1 <= limit then
    -- former * (1 - x) + current + 1 = limit, solved for x
    return (1 - (limit - current - 1) / former - elapsed) * window
  end
  -- The current window is full: it must become the former one and fade far enough.
  return (1 - elapsed) * window + (1 - (limit - 1) / current) * window
end

local function time_to_empty(former, current, elapsed, window)
  if current > 0 then
    return (2 - elapsed) * window
  end
  return former > 0 and (1 - elapsed) * window or 0
end

--- Takes one request from the allowance of `key`.
---@param dict ngx.shared.Dict
---@param key string
---@param limit number        requests in any window
---@param window number       seconds
---@param verdict ffi.cdata*  an `mg_verdict`, filled in
---@return boolean? ok
---@return string? err        the dictionary is full
function _M.take(dict, key, limit, window, verdict)
  local now = C.mg_steady()
  local index = floor(now / window)
  local elapsed = now / window - index
  local current_key = key .. "#" .. index
  local current, err = dict:incr(current_key, 1, 0, window * 2 + 1)
  if not current then
    return nil, err
  end
  local former = dict:get(key .. "#" .. (index - 1)) or 0
  local used = former * (1 - elapsed) + current
  if used > limit + tolerance then
    dict:incr(current_key, -1)
    verdict.is_admitted = 0
    verdict.remaining = 0
    verdict.retry_after_s = wait_for_place(former, current - 1, limit, elapsed, window)
    verdict.reset_s = time_to_empty(former, current - 1, elapsed, window)
    return true
  end
  verdict.is_admitted = 1
  verdict.remaining = floor(limit - used + tolerance)
  verdict.retry_after_s = 0
  verdict.reset_s = time_to_empty(former, current, elapsed, window)
  return true
end

return _M
