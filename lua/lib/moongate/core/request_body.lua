-- SPDX-License-Identifier: Apache-2.0
--- The request's body for `core.request` and `ctx.var.post_arg_*`: reading it within a limit and parsing it once.

local ffi = require("ffi")
local json = require("moongate.core.json")
local native = require("moongate.native")
local phase = require("moongate.phase")
local query = require("moongate.query")
local fields = require("moongate.fields")
local exact_body = require("moongate.core.exact_body")
local graphql_request = require("moongate.core.graphql_request")
local json_path = require("moongate.core.json_path")
local media_type = require("moongate.core.media_type")
local multipart = require("moongate.core.multipart")
local wait = require("moongate.wait")

local C = native.C
local ffi_string = ffi.string
local format = string.format
local ipairs = ipairs
local io_open = io.open
local tonumber = tonumber
local type = type

local state_none, state_memory, state_file = 0, 2, 3
local out = ffi.new("mg_text[1]")

-- What the client sends does not come into Lua's heap beyond this, unless a plugin says how much it wants.
local body_default_max_bytes = 64 * 1024 * 1024
local graphql_max_bytes = 1024 * 1024

local _M = {}

local function read_file(path, max_bytes)
  local file, err = io_open(path, "rb")
  if not file then
    return nil, "failed to open the request body: " .. err
  end
  local size = file:seek("end")
  if max_bytes and size > max_bytes then
    file:close()
    return nil, format("request size %d is greater than the maximum size %d allowed", size, max_bytes)
  end
  file:seek("set")
  local body = file:read("*a")
  file:close()
  return body
end

--- Returns the body as far as it was read already: from memory or from the file it was spooled to.
---@param ex ffi.cdata*
---@return string? body
---@return string? path
function _M.peek(ex)
  local state = C.mg_request_body_get(ex, out)
  if state == state_memory then
    return ffi_string(out[0].data, out[0].size)
  end
  if state == state_file then
    return nil, ffi_string(out[0].data, out[0].size)
  end
  return nil
end

--- Reads the whole body. Phases: rewrite, access, before_proxy, content; in later ones what was read before.
--- Yields unless the body is there.
---@param max_bytes integer?
---@param ctx moongate.Ctx?
---@return string? body     nil without an error when there is none
---@return string? err
function _M.get(max_bytes, ctx)
  local ex = phase.exchange(ctx)
  if max_bytes then
    local declared = tonumber(fields.request_get(ex, "content-length"))
    if declared and declared > max_bytes then
      return nil, format("request size %d is greater than the maximum size %d allowed", declared, max_bytes)
    end
  end
  local state = C.mg_request_body_get(ex, out)
  if state == state_none then
    return nil
  end
  if state ~= state_memory and state ~= state_file then
    local body, err = wait.read_body(max_bytes)
    if body or err then
      return body, err
    end
    state = C.mg_request_body_get(ex, out)
  end
  if state == state_file then
    return read_file(ffi_string(out[0].data, out[0].size), max_bytes or body_default_max_bytes)
  end
  if state ~= state_memory or out[0].size == 0 then
    return nil
  end
  local size = tonumber(out[0].size)
  if max_bytes and size > max_bytes then
    return nil, format("request size %d is greater than the maximum size %d allowed", size, max_bytes)
  end
  return ffi_string(out[0].data, size)
end

--- Reads the whole body, however long, into memory or a file: peek() has it then. Phases as for get(). Yields unless
--- it is there.
function _M.collect()
  wait.read_body(-1)
end

-- The first field of each name.
local function decode_multipart(body, content_type)
  local parsed, parameters = media_type.parse(content_type)
  if not parsed then
    return nil, parameters
  end
  local parts, err = multipart.decode(body, parameters.boundary)
  local args = parts and {}
  for _, part in ipairs(parts or {}) do
    args[part.name] = args[part.name] or part.value
  end
  return args, err
end

local function decode(body, content_type)
  local kind = media_type.kind(content_type)
  if kind == "form" then
    return (query.decode(body, 0))
  end
  if kind == "multipart" then
    return decode_multipart(body, content_type)
  end
  local value, err = json.decode(body)
  if type(value) ~= "table" then
    return nil, "could not get parsed request body: " .. (err or "the body is no JSON object or array")
  end
  return value
end

--- Returns the body as a table, parsed once per request: JSON, urlencoded or multipart, by Content-Type. The same table
--- is returned each time. Yields.
---@param ctx moongate.Ctx
---@param content_type string?      instead of the request's own
---@return table? body
---@return {message: string}? err
function _M.parsed(ctx, content_type)
  if ctx._request_body_table then
    return ctx._request_body_table
  end
  local body, err = _M.get(body_default_max_bytes, ctx)
  if not body then
    return nil, { message = "could not get body: " .. (err or "request body is empty") }
  end
  content_type = content_type or fields.request_get(phase.exchange(ctx), "content-type") or "application/json"
  local value
  value, err = decode(body, content_type)
  if not value then
    return nil, { message = err }
  end
  ctx._request_body_table = value
  return value
end

--- Returns the fields of an urlencoded body, cached. Yields.
---@param ctx moongate.Ctx
---@return table
function _M.post_args(ctx)
  local args = ctx.req_post_args
  if args then
    return args
  end
  local body = _M.get(body_default_max_bytes, ctx)
  args = body and query.decode(body, 0) or {}
  ctx.req_post_args = args
  return args
end

--- Returns one argument of the body, for `ctx.var`. Yields.
---@param ctx moongate.Ctx?
---@param name string
---@param is_path boolean     `name` is a dotted path or a JSONPath into a body of any known type
---@return any
function _M.post_arg(ctx, name, is_path)
  if not ctx then
    return nil
  end
  if not is_path then
    local content_type = fields.request_get(phase.exchange(ctx), "content-type")
    if media_type.kind(content_type) ~= "form" then
      return nil
    end
    local value = _M.post_args(ctx)[name]
    return type(value) == "table" and value[1] or value
  end
  local body = _M.parsed(ctx)
  return body and (json_path.find(body, name))
end

--- Returns the URL's query as it came; empty where there is none.
---@param ex ffi.cdata*
---@return string
function _M.url_query(ex)
  C.mg_request_query_get(ex, out)
  return out[0].data ~= nil and ffi_string(out[0].data, out[0].size) or ""
end

local function read_graphql(ctx)
  local ex = phase.exchange(ctx)
  local content_type = fields.request_get(ex, "content-type")
  local kind = media_type.kind(content_type)
  local text, err, body
  if kind then
    text, err = _M.get(graphql_max_bytes, ctx)
  end
  if text then
    body, err = exact_body.decode(text, kind, content_type)
  end
  if err then
    return nil
  end
  return (graphql_request.read(body, _M.url_query(ex)))
end

--- Returns what the request's GraphQL document says, parsed once; nil when there is none, or none that can be read.
--- Yields.
---@param ctx moongate.Ctx?
---@return {operation: string, name: string, root_fields: string[]}?
function _M.graphql(ctx)
  if not ctx then
    return nil
  end
  local found = ctx._graphql
  if found == nil then
    found = read_graphql(ctx) or false
    ctx._graphql = found
  end
  return found or nil
end

return _M
