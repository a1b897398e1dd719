-- SPDX-License-Identifier: Apache-2.0
--- Makes waiting work inside coroutines that plugins create themselves.
--
-- A call that waits yields to whoever resumed the coroutine. If that is a plugin's own `coroutine.resume`, the plugin
-- would take our yield for one of its own. So `resume` and `wrap` ask after each return whether the yield was a wait;
-- if it was, they pass it outwards, and pass what the wait brought back inwards. Where that is impossible, within a C
-- function that called back, the wait ends with an error.

local coroutine = coroutine
local error = error
local is_yieldable = coroutine.isyieldable
local native_wait = require("moongate.native_wait")
local raw_create = coroutine.create
local raw_resume = coroutine.resume
local raw_yield = coroutine.yield

local _M = {}

local function pass(co, ok, ...)
  if ok and native_wait.is_waiting() then
    if not is_yieldable() then
      native_wait.abandon() -- `co` stays where it is, for good
      error("attempt to yield across C-call boundary: a coroutine waits inside a callback of string.gsub, table.sort or require; "
        .. "run it outside", 3)
    end
    return pass(co, raw_resume(co, raw_yield()))
  end
  return ok, ...
end

local function resume(co, ...)
  return pass(co, raw_resume(co, ...))
end

local function unwrap(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end

local function wrap(fn)
  local co = raw_create(fn)
  return function(...)
    return unwrap(resume(co, ...))
  end
end

--- Replaces `coroutine.resume` and `coroutine.wrap`. Called once per state.
function _M.install()
  coroutine.resume = resume
  coroutine.wrap = wrap
end

--- The original, for the runner: its yields are its own.
return _M
