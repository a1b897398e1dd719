-- SPDX-License-Identifier: Apache-2.0
--- `ctx.var`: the variables of a request. Reading looks in the table itself, then here, then asks the runtime.
--
-- Values that cannot change are stored in the table, so the next read is a plain lookup. Values that the proxy may
-- change meanwhile (uri, status, upstream_addr, ...) are asked for every time. A write goes to the runtime when the
-- variable is one of its own; what was written is then kept beside, with its Lua type, until nil is written.
-- How a name is looked up is decided once per name (`plans`), not per request.

local ffi = require("ffi")
local bounded_map = require("moongate.bounded_map")
local cookies = require("moongate.cookies")
local current = require("moongate.current")
local fields = require("moongate.fields")
local kept_keys = require("moongate.kept_keys")
local native = require("moongate.native")
local query = require("moongate.query")

local C = native.C
local error = error
local ffi_string = ffi.string
local forget = kept_keys.forget
local gsub = string.gsub
local ipairs = ipairs
local mg_var_get = C.mg_var_get
local mg_var_set = C.mg_var_set
local rawget = rawget
local rawset = rawset
local sub = string.sub
local tostring = tostring
local type = type

local out = ffi.new("mg_text[1]")
local no_args = {}

local _M = {}

local function ask(ex, name)
  if ex == nil or mg_var_get(ex, name, #name, out) == 0 or out[0].data == nil then
    return nil
  end
  return ffi_string(out[0].data, out[0].size)
end

local function ctx_of(var)
  return rawget(var, "_ctx") or current.ctx
end

--- Returns the parsed query of the request, cached until it is changed through this library.
---@param ctx moongate.Ctx
---@param ex ffi.cdata*
---@return table
function _M.query_args(ctx, ex)
  local args = ctx.req_uri_args
  if args == nil then
    C.mg_request_query_get(ex, out)
    args = out[0].data ~= nil and query.decode(ffi_string(out[0].data, out[0].size)) or {}
    ctx.req_uri_args = args
  end
  return args
end

local function cookies_of(ctx, ex)
  local jar = ctx._cookies
  if jar == nil then
    local text = fields.request_get(ex, "cookie")
    jar = text and cookies.parse(text) or no_args
    ctx._cookies = jar
  end
  return jar
end

-- A plan is {get = function(var, name, plan), field = what the prefix leaves, is_kept = boolean}.

local function get_plain(var, name)
  return ask(rawget(var, "_ex"), name)
end

local function get_header(var, name, plan)
  local ex = rawget(var, "_ex")
  if ex == nil then
    return nil
  end
  return fields.request_get(ex, plan.field) or ask(ex, name)
end

local function get_arg(var, _, plan)
  local ctx, ex = ctx_of(var), rawget(var, "_ex")
  if not ctx or ex == nil then
    return nil
  end
  local value = _M.query_args(ctx, ex)[plan.field]
  if type(value) == "table" then
    value = value[1]
  end
  return value
end

local function get_cookie(var, _, plan)
  local ctx, ex = ctx_of(var), rawget(var, "_ex")
  if not ctx or ex == nil then
    return nil
  end
  return cookies_of(ctx, ex)[plan.field]
end

local function get_path_param(var, name, plan)
  local ctx = ctx_of(var)
  local matched = ctx and ctx.curr_req_matched
  local value = matched and matched[plan.field]
  if value == nil then
    return ask(rawget(var, "_ex"), name)
  end
  return value
end

local function get_ctx_field(var, name)
  local ctx = ctx_of(var)
  local value = ctx and ctx[name]
  if value == nil then
    return ask(rawget(var, "_ex"), name)
  end
  return value
end

local function get_post_arg(var, _, plan)
  return require("moongate.core.request_body").post_arg(ctx_of(var), plan.field, plan.is_path)
end

local function get_graphql(var, _, plan)
  local found = require("moongate.core.request_body").graphql(ctx_of(var))
  return found and found[plan.field]
end

local function get_method(var)
  return ask(rawget(var, "_ex"), "request_method")
end

local function get_cookie_object(var)
  return ask(rawget(var, "_ex"), "http_cookie") and require("resty.cookie"):new() or nil
end

local function get_response_body(var)
  local ctx = ctx_of(var)
  return ctx and ctx.resp_body or ""
end

local function get_registered(var, _, plan)
  return plan.getter(ctx_of(var))
end

local exact = {
  method = { get = get_method },
  cookie = { get = get_cookie_object },
  resp_body = { get = get_response_body },
}
-- What belongs to the connection or the request line as received stays as it is.
for _, name in ipairs({
  "remote_addr", "remote_port", "realip_remote_addr", "realip_remote_port", "server_addr", "server_port", "scheme",
  "host", "hostname", "request_id", "pid", "connection", "ssl_protocol", "ssl_cipher", "ssl_server_name",
  "ssl_client_verify", "ssl_client_s_dn", "ssl_client_fingerprint", "http2", "real_request_uri",
}) do
  exact[name] = { get = get_plain, is_kept = true }
end
for _, name in ipairs({
  "balancer_ip", "balancer_port", "route_id", "route_name", "service_id", "service_name", "consumer_name",
  "consumer_group_id", "upstream_unresolved_host",
}) do
  exact[name] = { get = get_ctx_field }
end

local plain = { get = get_plain }
local plans = bounded_map.new(2048)

local function make_plan(name)
  if exact[name] then
    return exact[name]
  end
  if sub(name, 1, 5) == "http_" then
    return { get = get_header, field = gsub(sub(name, 6), "_", "-") }
  end
  if sub(name, 1, 4) == "arg_" then
    return { get = get_arg, field = sub(name, 5) }
  end
  if sub(name, 1, 7) == "cookie_" then
    return { get = get_cookie, field = sub(name, 8) }
  end
  if sub(name, 1, 10) == "uri_param_" then
    return { get = get_path_param, field = sub(name, 11) }
  end
  if sub(name, 1, 9) == "post_arg_" then
    return { get = get_post_arg, field = sub(name, 10), is_path = false }
  end
  if sub(name, 1, 9) == "post_arg." then
    return { get = get_post_arg, field = sub(name, 10), is_path = true }
  end
  if name == "graphql_operation" or name == "graphql_name" or name == "graphql_root_fields" then
    return { get = get_graphql, field = sub(name, 9) }
  end
  return plain
end

local function plan_of(name)
  local plan = plans:get(name)
  if not plan then
    if type(name) ~= "string" then
      error("invalid argument, expect string value", 3)
    end
    plan = make_plan(name)
    plans:set(name, plan)
  end
  return plan
end

local var_mt = {}

function var_mt.__index(var, name)
  local written = rawget(var, "_written")
  if written then
    local value = written[name]
    if value ~= nil then
      return value
    end
  end
  local plan = plan_of(name)
  local value = plan.get(var, name, plan)
  if plan.is_kept and value ~= nil then
    rawset(var, name, value)
  end
  return value
end

function var_mt.__newindex(var, name, value)
  if type(name) ~= "string" then
    error("invalid argument, expect string value", 2)
  end
  local written = rawget(var, "_written")
  if value == nil then
    if written then
      written[name] = nil
    end
    if name == "upstream_uri" and rawget(var, "_ex") ~= nil then
      mg_var_set(rawget(var, "_ex"), name, #name, "", 0) -- those of the request are sent again
    end
    return
  end
  local text = tostring(value)
  local ex = rawget(var, "_ex")
  local done = ex == nil and 0 or mg_var_set(ex, name, #name, text, #text)
  if done == 2 then
    error(name .. ": no path and query that can be sent: " .. text .. "; core.utils.uri_safe_encode() encodes a path", 2)
  end
  if done == 0 then
    rawset(var, name, value)
    return
  end
  if not written and text == value and plan_of(name) == plain then
    return -- it reads back as it was written
  end
  if not written then
    written = {}
    rawset(var, "_written", written)
  end
  written[name] = value
end

local recycle = kept_keys.make({ "_ex", "_ctx" }, var_mt)

--- Gives a request its `ctx.var`: see kept_keys.lua.
---@param var moongate.Var?     of the request before it in this slot
---@param shape table?
---@param ex ffi.cdata*?
---@param ctx moongate.Ctx?     the ctx it will belong to; without it the running one is used
---@return moongate.Var var
---@return table shape
function _M.recycle(var, shape, ex, ctx)
  var, shape = recycle(var, shape)
  rawset(var, "_ex", ex)
  rawset(var, "_ctx", ctx)
  return var, shape
end

--- Makes a `ctx.var` of its own.
---@param ex ffi.cdata*?
---@param ctx moongate.Ctx?
---@return moongate.Var
function _M.new(ex, ctx)
  local var = _M.recycle(nil, nil, ex, ctx)
  return var
end

--- Reads a variable without any cache, for `ngx.var`.
---@param ex ffi.cdata*
---@param name string
---@return any
function _M.lookup(ex, name)
  local value = ask(ex, name)
  if value ~= nil then
    return value
  end
  local ctx = current.ctx
  local var = ctx and ctx.var
  if not var then
    return nil
  end
  local plan = plan_of(name)
  if plan == plain then
    return nil
  end
  value = plan.get(var, name, plan)
  if value == true then
    return ""
  end
  return value
end

--- Adds a variable for all requests. `getter(ctx)` is called for a read; its value is kept unless `is_volatile`.
---@param name string
---@param getter fun(ctx: moongate.Ctx): any
---@param is_volatile boolean?
function _M.register(name, getter, is_volatile)
  exact[name] = { get = get_registered, getter = getter, is_kept = not is_volatile }
  plans:set(name, exact[name])
end

--- Forgets everything that came from a request header.
---@param ctx moongate.Ctx?
---@param name moongate.HeaderName
function _M.forget_header(ctx, name)
  if not ctx then
    return
  end
  forget(ctx, "headers")
  if name.special == "cookie" then
    forget(ctx, "_cookies")
  elseif name.special == "host" and ctx.var then
    forget(ctx.var, "host")
  end
end

--- Forgets everything that came from the query.
---@param ctx moongate.Ctx?
function _M.forget_query(ctx)
  if ctx then
    forget(ctx, "req_uri_args")
  end
end

return _M
