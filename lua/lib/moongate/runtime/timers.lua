-- SPDX-License-Identifier: Apache-2.0
--- The bodies of timers: functions that run detached from any request, in a coroutine of their own.

local current = require("moongate.current")
local log = require("moongate.core.log")

local pcall = pcall
local tostring = tostring

local _M = {}

--- The body of a detached coroutine.
function _M.run(fn, premature, ...)
  current.ctx, current.ex, current.phase = nil, nil, "timer"
  local ok, err = pcall(fn, premature, ...)
  if not ok then
    log.error("a timer failed: ", tostring(err))
  end
end

--- The worker is about to end: a timer runs at once and is told so; it cannot wait any more.
function _M.run_early(fn, ...)
  _M.run(fn, true, ...)
end

return _M
