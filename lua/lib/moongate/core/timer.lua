-- SPDX-License-Identifier: Apache-2.0
--- `core.timer`: work that is done again and again in the background.

local log = require("moongate.core.log")
local native = require("moongate.native")
local wait = require("moongate.wait")

local C = native.C
local pcall = pcall

local _M = {}

-- Calls the function over and over until its share of time is used up, then makes way for others.
local function run(timer)
  local deadline = C.mg_steady() + timer.each_ttl
  repeat
    local ok, err = pcall(timer.fn)
    timer.is_failing = not ok
    if not ok then
      log.error("failed to run the timer: ", timer.name, " err: ", err)
    end
    local pause_s = ok and timer.sleep_succ or timer.sleep_fail
    if pause_s > 0 then
      wait.sleep(pause_s)
    end
  until C.mg_steady() >= deadline or C.mg_worker_is_exiting() ~= 0
end

local function on_tick(premature, timer)
  if premature or timer.is_running then
    return
  end
  timer.is_running = true
  local ok, err = pcall(run, timer)
  timer.is_running = false
  if not ok then
    log.error("failed to run the timer: ", timer.name, " err: ", err)
  end
end

--- Runs `fn` every `check_interval` seconds; within one turn again and again for `each_ttl` seconds, with pauses of
--- `sleep_succ` after a success and `sleep_fail` after an error.
---@param name string
---@param fn fun()
---@param options {each_ttl: number?, sleep_succ: number?, sleep_fail: number?, check_interval: number?}?
---@return table? timer
---@return string? err
function _M.new(name, fn, options)
  options = options or {}
  local timer = {
    name = name,
    fn = fn,
    each_ttl = options.each_ttl or 1,
    sleep_succ = options.sleep_succ or 1,
    sleep_fail = options.sleep_fail or 5,
    is_running = false,
  }
  local id, err = wait.timer(options.check_interval or 1, true, on_tick, timer)
  if not id then
    return nil, err
  end
  return timer
end

return _M
