-- SPDX-License-Identifier: Apache-2.0
--- `_meta`, the part of every plugin conf that belongs to the runtime: disable, filter, error_response, priority,
--- pre_function. What it asks for is put around the hook when the chain is built, so confs without it cost nothing.

local expr = require("resty.expr.v1")
local log = require("moongate.core.log")

local load = load
local next = next
local pcall = pcall
local setmetatable = setmetatable
local tostring = tostring
local type = type

local _M = {}

--- Makes `conf._meta.parent` readable without showing in pairs() or JSON.
---@return table
function _M.attach_parent(meta, resource_key, resource_version)
  local parent = { resource_key = resource_key, resource_version = resource_version }
  return setmetatable(meta or {}, { __index = { parent = parent } })
end

---@return boolean
function _M.is_disabled(conf)
  local meta = conf._meta
  return meta ~= nil and meta.disable == true
end

-- An expression that cannot be compiled or evaluated lets the plugin run: to skip a check by mistake would be worse.
local function make_filter(entry)
  local compiled, err = expr.new(entry.conf._meta.filter)
  if not compiled then
    log.warn("plugin ", entry.name, ": _meta.filter: ", err)
    return nil
  end
  local key = "_filter_" .. tostring(entry.conf)
  return function(ctx)
    local verdict = ctx[key]
    if verdict == nil then
      local is_wanted, reason = compiled:eval(ctx.var)
      if reason then
        log.warn("plugin ", entry.name, ": _meta.filter: ", reason)
        is_wanted = true
      end
      verdict = is_wanted and true or false
      ctx[key] = verdict
    end
    return verdict
  end
end

local function make_pre_function(entry)
  local chunk, err = load(entry.conf._meta.pre_function, "=_meta.pre_function of " .. entry.name)
  local ok, fn = pcall(chunk or function() end)
  if not chunk or not ok or type(fn) ~= "function" then
    log.error("failed to load _meta.pre_function in plugin ", entry.name, ": ", err or tostring(fn))
    return nil
  end
  return function(conf, ctx)
    local fine, reason = pcall(fn, conf, ctx)
    if not fine then
      log.error("plugin ", entry.name, ": pre_function: ", tostring(reason))
    end
  end
end

--- Puts what `_meta` asks for around a hook; the hook itself when it asks for nothing.
---@param fn function
---@param entry table
---@param calls table           where the caller has counted the call already
---@param count_index integer
---@return function
function _M.wrap(fn, entry, calls, count_index)
  local meta = entry.conf._meta
  if not meta or next(meta) == nil then
    return fn
  end
  local filter = meta.filter and make_filter(entry)
  local pre_function = meta.pre_function and make_pre_function(entry)
  local error_response = meta.error_response
  if not filter and not pre_function and not error_response then
    return fn
  end
  return function(conf, ctx)
    if filter and not filter(ctx) then
      calls[count_index] = calls[count_index] - 1
      return nil
    end
    if pre_function then
      pre_function(conf, ctx)
    end
    local code, body = fn(conf, ctx)
    if error_response and type(code) == "number" and code >= 400 then
      body = error_response
    end
    return code, body
  end
end

return _M
