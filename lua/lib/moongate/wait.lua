-- SPDX-License-Identifier: Apache-2.0
--- Everything that waits. The event loop drives these calls: the coroutine that makes one is put aside and resumed
--- when its time or its data has come, and no other request notices.
--
-- The primitives are C functions in `moongate.native_wait`, which the runtime puts into package.loaded before any
-- script runs. They yield by themselves; this file adds the checks that need no C.

local phase = require("moongate.phase")

local error = error
local type = type

local _M = {}

local primitives

local function native()
  if not primitives then
    primitives = package.loaded["moongate.native_wait"]
    if not primitives then
      error("nothing can wait here: this script does not run inside a gateway process", 3)
    end
  end
  return primitives
end

--- Sleeps for `seconds` (fractions are fine, 0 lets other requests go first).
--- Phases: all that run in a coroutine. Yields.
---@param seconds number
function _M.sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    error("sleep takes a number of seconds that is not negative", 2)
  end
  phase.check(phase.waiting)
  return native().sleep(seconds)
end

--- Reads the whole request body.
--- Phases: rewrite, access, before_proxy, content. Yields unless the body is there already.
---@param max_bytes integer?    more than this is an error; nil leaves only the configured limit
---@return string? body         nil without an error when the request has none
---@return string? err
function _M.read_body(max_bytes)
  phase.check(phase.reading)
  return native().read_body(max_bytes)
end

--- Runs `fn(premature, ...)` after `delay` seconds, detached from the request; again and again with `is_every`.
--- Phases: any. Does not yield.
---@param delay number
---@param is_every boolean
---@param fn fun(premature: boolean, ...)
---@return integer? id
---@return string? err    "process exiting", "too many pending timers"
function _M.timer(delay, is_every, fn, ...)
  if type(delay) ~= "number" or not (delay >= 0) then
    error("a timer takes a delay in seconds that is not negative", 2)
  end
  if type(fn) ~= "function" then
    error("a timer takes a function", 2)
  end
  return native().timer(delay, is_every, fn, ...)
end

--- Returns how many timers wait and how many run at this moment.
---@return integer pending
---@return integer running
function _M.timer_counts()
  return native().timer_counts()
end

return _M
