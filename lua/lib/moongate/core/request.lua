-- SPDX-License-Identifier: Apache-2.0
--- `core.request`: the request as plugins read and change it. `ctx` may be left out where APISIX allows it; then the
--- request that runs is meant.

local ffi = require("ffi")
local body = require("moongate.core.request_body")
local current = require("moongate.current")
local fields = require("moongate.fields")
local log = require("moongate.core.log")
local native = require("moongate.native")
local phase = require("moongate.phase")
local query = require("moongate.query")
local var = require("moongate.var")

local C = native.C
local error = error
local exchange_of = phase.exchange
local ffi_string = ffi.string
local name_of = fields.name_of
local mg_request_field_remove = C.mg_request_field_remove
local mg_request_field_set = C.mg_request_field_set
local request_get = fields.request_get
local tonumber = tonumber
local tostring = tostring
local type = type

local out = ffi.new("mg_text[1]")
local changed = fields.changed
local forget_header = var.forget_header
local writing = phase.set({ "rewrite", "access", "before_proxy", "balancer", "content" })

local _M = {}

--- Returns the first value of a header, or nil. Upper and lower case are the same, `-` and `_` are not.
--- Phases: any with a request.
---@param ctx moongate.Ctx?
---@param name string
---@return string?
function _M.header(ctx, name)
  if name == nil then
    ctx, name = nil, ctx
  end
  return request_get(exchange_of(ctx), name)
end

--- Returns all headers: lower-case names, found in any case; repeated ones are arrays. To be read only.
---@param ctx moongate.Ctx?
---@return table
function _M.headers(ctx)
  ctx = ctx or current.ctx
  local headers = ctx and ctx.headers
  if not headers then
    headers = fields.request_all(exchange_of(ctx))
    if ctx then
      ctx.headers = headers
    end
  end
  return headers
end

local function change_header(ctx, name, value, change)
  -- The old form had no ctx: (name, value).
  if type(ctx) == "string" then
    ctx, name, value = nil, ctx, name
  end
  if type(name) ~= "string" then
    error("invalid header name: expected a string, got " .. type(name), 3)
  end
  phase.check(writing, 3)
  ctx = ctx or current.ctx
  local ok, err = change(exchange_of(ctx), name, value)
  forget_header(ctx, name_of(name))
  if not ok then
    log.warn("request header not set: ", err)
  end
  return ok, err
end

--- Replaces a header of the request; nil removes it, an array makes several.
--- Phases: rewrite, access, before_proxy.
---@param ctx moongate.Ctx?
---@param name string
---@param value string|number|boolean|string[]|nil
---@return boolean? ok
---@return string? err     the name or value is none that can be sent
function _M.set_header(ctx, name, value)
  -- Nearly always a text is set, or a header removed, where that is possible. This is short because every call of it is
  -- compiled in place; all that can be said against a call is said below.
  if type(ctx) == "table" then
    local known, ex, result = name_of(name), current.ex, nil
    if ex ~= nil and ex == ctx._ex then -- of the request that runs, which a ctx kept for later may be no more
      if type(value) == "string" then
        result = mg_request_field_set(ex, known.number, value, #value)
      elseif value == nil then
        result = mg_request_field_remove(ex, known.number)
      end
    end
    if result == changed then
      if ctx.headers or known.special then
        forget_header(ctx, known)
      end
      return true
    end
  end
  return change_header(ctx, name, value, fields.request_set)
end

--- Adds a header and keeps those of the same name. Phases: rewrite, access, before_proxy.
---@param ctx moongate.Ctx?
---@param name string
---@param value string|number|boolean|string[]
---@return boolean? ok
---@return string? err
function _M.add_header(ctx, name, value)
  return change_header(ctx, name, value, fields.request_add)
end

--- Returns the query as a table, cached: a name without value is true, a repeated one an array.
---@param ctx moongate.Ctx?
---@return table
function _M.get_uri_args(ctx)
  ctx = ctx or current.ctx
  return var.query_args(ctx, exchange_of(ctx))
end

--- Replaces the query that is sent upstream and seen from now on.
---@param ctx moongate.Ctx?
---@param args table|string
function _M.set_uri_args(ctx, args)
  ctx = ctx or current.ctx
  local text = type(args) == "table" and query.encode(args) or tostring(args)
  C.mg_request_query_set(exchange_of(ctx), text, #text)
  var.forget_query(ctx)
end

--- Returns the fields of an urlencoded body. Yields.
---@param ctx moongate.Ctx?
---@return table
function _M.get_post_args(ctx)
  return body.post_args(ctx or current.ctx)
end

--- Replaces what get_post_args returns; the body itself stays.
---@param ctx moongate.Ctx?
---@param args table
function _M.set_post_args(ctx, args)
  ctx = ctx or current.ctx
  ctx.req_post_args = args
end

--- Returns the body; nil and no error when the request has none. Phases: rewrite, access, content; later only what was
--- read before. Yields.
---@param max_bytes integer?
---@param ctx moongate.Ctx?
---@return string? body
---@return string? err
function _M.get_body(max_bytes, ctx)
  return body.get(max_bytes, ctx)
end

--- Returns the body as a table, parsed once per request. Yields.
---@param ctx moongate.Ctx?
---@param content_type string?
---@return table? body
---@return {message: string}? err
function _M.get_request_body_table(ctx, content_type)
  return body.parsed(ctx or current.ctx, content_type)
end

--- Returns the JSON body as a table, parsed once per request. Yields.
---@param ctx moongate.Ctx?
---@return table? body
---@return {message: string}? err
function _M.get_json_request_body_table(ctx)
  return body.parsed(ctx or current.ctx, "application/json")
end

local function variable(name)
  return function(ctx)
    ctx = ctx or current.ctx
    return ctx and ctx.var and ctx.var[name] or var.lookup(exchange_of(ctx), name)
  end
end

--- Host of the request, lower-case, without port.
_M.get_host = variable("host")
--- "http" or "https".
_M.get_scheme = variable("scheme")
--- Address of the peer, before any forwarded header was believed.
_M.get_ip = variable("realip_remote_addr")
--- Address of the client.
_M.get_remote_client_ip = variable("remote_addr")

local server_port = variable("server_port")
local remote_port = variable("remote_port")

--- Port the request came in on.
---@param ctx moongate.Ctx?
---@return number?
function _M.get_port(ctx)
  return tonumber(server_port(ctx))
end

--- Port of the client.
---@param ctx moongate.Ctx?
---@return number?
function _M.get_remote_client_port(ctx)
  return tonumber(remote_port(ctx))
end

--- Method in upper case.
---@param ctx moongate.Ctx?
---@return string
function _M.get_method(ctx)
  C.mg_request_method_get(exchange_of(ctx), out)
  return ffi_string(out[0].data, out[0].size)
end

--- 1.0, 1.1, 2.0 or 3.0.
---@param ctx moongate.Ctx?
---@return number
function _M.get_http_version(ctx)
  return C.mg_request_version(exchange_of(ctx)) / 10
end

return _M
