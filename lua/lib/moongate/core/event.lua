-- SPDX-License-Identifier: Apache-2.0
--- `core.event`: events within this worker.

local ipairs = ipairs

local handlers = {}

local _M = {
  --- Known events. BUILD_ROUTER: the routes were compiled anew.
  CONST = { BUILD_ROUTER = 1 },
}

--- Calls `handler(...)` at every push of `kind`.
---@param kind integer
---@param handler fun(...)
function _M.register(kind, handler)
  handlers[kind] = handlers[kind] or {}
  table.insert(handlers[kind], handler)
end

---@param kind integer
---@param handler fun(...)
function _M.unregister(kind, handler)
  for index, known in ipairs(handlers[kind] or {}) do
    if known == handler then
      table.remove(handlers[kind], index)
      return
    end
  end
end

---@param kind integer
function _M.push(kind, ...)
  for _, handler in ipairs(handlers[kind] or {}) do
    handler(...)
  end
end

return _M
