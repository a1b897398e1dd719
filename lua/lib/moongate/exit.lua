-- SPDX-License-Identifier: Apache-2.0
--- How `core.response.exit` and `ngx.exit` leave a plugin without returning to it.
--
-- The exit is raised as an error whose value is a table made here. The runner runs hooks without pcall, so the error
-- reaches it, and it asks `is_signal`. A plugin's own pcall may catch the error; therefore the exit is also recorded
-- for the ctx before it is raised, and the runner looks there after each hook that returns. Whoever looks first
-- takes it with `take`. The status and body of the answer are already with the exchange at that moment.

local ffi = require("ffi")
local current = require("moongate.current")

local error = error
local getmetatable = getmetatable
local setmetatable = setmetatable
local tostring = tostring

---@class moongate.ExitSignal
---@field code integer     an HTTP status, or 0 (ngx.OK) when only the phase ends

local signal_mt = {
  __tostring = function(signal)
    return "exit with code " .. tostring(signal.code)
  end,
}

local _M = {}

-- The exits that nobody took yet, by ctx, and how many they are. A hook that returns is followed by one comparison with the
-- count; only when it is not zero does anybody look for an exit.
local recorded, count = {}, ffi.new("int32_t[1]")
_M.recorded, _M.count = recorded, count

local function record(ctx, signal)
  if not recorded[ctx] then
    count[0] = count[0] + 1
  end
  recorded[ctx] = signal
end

--- Ends the hook that runs. Never returns.
---@param code integer
function _M.raise(code)
  local signal = setmetatable({ code = code }, signal_mt)
  local ctx = current.ctx
  if ctx then
    record(ctx, signal)
  end
  error(signal, 0)
end

--- Records an exit without raising it: for phases in which the hook runs on (filters).
---@param code integer
function _M.record(code)
  local ctx = current.ctx
  if ctx then
    record(ctx, setmetatable({ code = code }, signal_mt))
  end
end

--- Tells whether the error value `err` is an exit and no failure.
---@param err any
---@return boolean
function _M.is_signal(err)
  return getmetatable(err) == signal_mt
end

--- Returns the exit recorded for `ctx`, once; nil when there is none.
---@param ctx moongate.Ctx
---@return moongate.ExitSignal?
function _M.take(ctx)
  if count[0] == 0 then
    return nil
  end
  local signal = recorded[ctx]
  if signal then
    recorded[ctx] = nil
    count[0] = count[0] - 1
  end
  return signal
end

return _M
