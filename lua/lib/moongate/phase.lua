-- SPDX-License-Identifier: Apache-2.0
--- Which calls are possible in which phase. A call in the wrong one is the author's mistake: it raises an error
--- that names the phase and the ones that would do.

local current = require("moongate.current")

local concat = table.concat
local error = error
local ipairs = ipairs

local _M = {}

---@class moongate.PhaseSet
---@field names string[]     for the error text, in the order of a request

---@param names string[]
---@return moongate.PhaseSet
function _M.set(names)
  local set = { names = names }
  for _, name in ipairs(names) do
    set[name] = true
  end
  return set
end

--- Where a coroutine may be put to sleep. Configuration is checked and `init` is run outside of any coroutine.
_M.waiting = _M.set({
  "certificate", "preread", "rewrite", "access", "before_proxy", "content", "header_filter", "body_filter",
  "delayed_body_filter", "log", "timer",
})
--- Where the request's body can still be read from the client.
_M.reading = _M.set({ "rewrite", "access", "before_proxy", "content" })
--- Where a plugin can end the request with an answer of its own.
_M.answering = _M.set({ "preread", "rewrite", "access", "before_proxy", "balancer", "content" })
--- Where `ngx.exit` is possible: a filter ends its own hook with it.
_M.exiting = _M.set({
  "preread", "rewrite", "access", "before_proxy", "balancer", "content", "header_filter", "timer", "certificate",
})
--- Where there is a request at all.
_M.request = _M.set({
  "filter_func", "rewrite", "access", "before_proxy", "balancer", "content", "header_filter", "body_filter", "delayed_body_filter",
  "log",
})

--- Raises unless the current phase is one of `set`. The error points at the caller of the function that checks.
---@param set moongate.PhaseSet
---@param level integer?    as for error(), counted from the checking function; 2 when left out
function _M.check(set, level)
  local phase = current.phase
  if not set[phase] then
    error("API disabled in the context of " .. phase .. "; allowed in: " .. concat(set.names, ", "), (level or 2) + 1)
  end
end

--- Returns the exchange of `ctx`, or of the request that runs; raises when there is none.
---@param ctx moongate.Ctx?
---@return ffi.cdata*
function _M.exchange(ctx)
  local ex = ctx and ctx._ex or current.ex
  if ex == nil then
    error("API disabled in the context of " .. current.phase .. "; allowed where there is a request: "
      .. concat(_M.request.names, ", "), 3)
  end
  return ex
end

return _M
