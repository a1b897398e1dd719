-- SPDX-License-Identifier: Apache-2.0
--- `ngx.ctx`: a table per request, made when someone first asks for it; `ngx.ctx.api_ctx` is the plugin's ctx. Where no
--- request runs (timers), each coroutine has its own.

local current = require("moongate.current")

local running = coroutine.running
local setmetatable = setmetatable

local without_request = setmetatable({}, { __mode = "k" })
local main = {}

local _M = {}

---@return table
function _M.get()
  local ctx = current.ctx
  if ctx then
    local mine = ctx.ngx_ctx
    if not mine then
      mine = { api_ctx = ctx }
      ctx.ngx_ctx = mine
    end
    return mine
  end
  local thread = running() or main
  local mine = without_request[thread]
  if not mine then
    mine = {}
    without_request[thread] = mine
  end
  return mine
end

---@param value table
function _M.set(value)
  local ctx = current.ctx
  if ctx then
    ctx.ngx_ctx = value
  else
    without_request[running() or main] = value
  end
end

return _M
