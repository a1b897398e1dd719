-- SPDX-License-Identifier: Apache-2.0
--- `core.ctx`: variables that plugins add to `ctx.var`.

local var = require("moongate.var")

local error = error
local type = type

local _M = {}

--- Adds a variable for all requests: reading `ctx.var[name]` calls `getter(ctx)`.
---@param name string
---@param getter fun(ctx: moongate.Ctx): any
---@param options {no_cacheable: boolean}?     the value is asked for at every read
function _M.register_var(name, getter, options)
  if type(name) ~= "string" then
    error("the name of a variable is a string, not a " .. type(name), 2)
  end
  if type(getter) ~= "function" then
    error("the getter of a variable is a function, not a " .. type(getter), 2)
  end
  var.register(name, getter, options and options.no_cacheable)
end

--- Gives a ctx its `var`. For code that makes a ctx of its own.
---@param ctx moongate.Ctx
function _M.set_vars_meta(ctx)
  ctx.var = var.new(ctx._ex, ctx)
end

return _M
