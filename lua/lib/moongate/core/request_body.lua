-- SPDX-License-Identifier: Apache-2.0
--- The request's body for `core.request` and `ctx.var.post_arg_*`: reading it within a limit and parsing it once.

local ffi = require("ffi")
local json = require("moongate.core.json")
local native = require("moongate.native")
local phase = require("moongate.phase")
local query = require("moongate.query")
local fields = require("moongate.fields")
local graphql = require("moongate.core.graphql")
local wait = require("moongate.wait")

local C = native.C
local ffi_string = ffi.string
local find = string.find
local format = string.format
local io_open = io.open
local lower = string.lower
local pairs = pairs
local sub = string.sub
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

local function multipart_boundary(content_type)
  local _, last = find(lower(content_type), "boundary=", 1, true)
  if not last then
    return nil
  end
  return content_type:match('^"([^"]+)"', last + 1) or content_type:match("^([^;%s]+)", last + 1)
end

--- Parses multipart/form-data into name to content; files are taken like fields.
---@param body string
---@param content_type string
---@return table? fields
---@return string? err
function _M.decode_multipart(body, content_type)
  local boundary = multipart_boundary(content_type)
  if not boundary then
    return nil, "multipart body without a boundary"
  end
  local delimiter = "--" .. boundary
  local parts = {}
  local _, from = find(body, delimiter, 1, true)
  while from do
    local next_from, next_to = find(body, "\r\n" .. delimiter, from, true)
    if not next_from then
      break
    end
    local head_end, data_start = find(body, "\r\n\r\n", from, true)
    if head_end and head_end < next_from then
      local name = sub(body, from, head_end):match('[;%s]name="([^"]*)"')
      if name and parts[name] == nil then
        parts[name] = sub(body, data_start + 1, next_from - 1)
      end
    end
    from = next_to
  end
  return parts
end

local kinds = {
  ["application/graphql"] = "graphql",
  ["application/json"] = "json",
  ["application/x-www-form-urlencoded"] = "form",
  ["multipart/form-data"] = "multipart",
  ["text/json"] = "json",
}

--- Returns what a body is by its Content-Type, whatever its case: "form", "multipart", "json" (without a type too),
--- "graphql", or nil for another one.
---@param content_type string?
---@return string?
function _M.kind(content_type)
  local media_type = lower(content_type and content_type:match("[^;,%s]+") or "application/json")
  return kinds[media_type] or find(media_type, "^%w.*%+json$") and "json" or nil
end

local function decode(body, content_type)
  local kind = _M.kind(content_type)
  if kind == "form" then
    return (query.decode(body, 0))
  end
  if kind == "multipart" then
    return _M.decode_multipart(body, content_type)
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

local function walk(value, path)
  local position = 1
  while type(value) == "table" do
    local first, last, name = find(path, "^([^.]+)%.?", position)
    if not first then
      return value
    end
    local item = value[name]
    if item == nil then
      item = value[tonumber(name)]
    end
    value, position = item, last + 1
    if position > #path then
      return value
    end
  end
  return nil
end

-- JSONPath's `[*]` and `..`: every value that the rest of the path fits.
local function collect(value, steps, index, found)
  local step = steps[index]
  if not step then
    found[#found + 1] = value
    return
  end
  if type(value) ~= "table" then
    return
  end
  if step == "*" then
    for _, item in pairs(value) do
      collect(item, steps, index + 1, found)
    end
    return
  end
  if step == ".." then
    collect(value, steps, index + 1, found)
    for _, item in pairs(value) do
      collect(item, steps, index, found)
    end
    return
  end
  local item = value[step]
  if item == nil then
    local number = tonumber(step)
    item = number and value[number + 1]
  end
  if item ~= nil then
    collect(item, steps, index + 1, found)
  end
end

local function steps_of(path)
  local steps = {}
  for step in path:gsub("^%$%.?", ""):gsub("%.%.", ".\0."):gsub("%[([^%]]+)%]", ".%1"):gmatch("[^.]+") do
    steps[#steps + 1] = step == "\0" and ".." or step
  end
  return steps
end

--- Returns what is at a dotted path or a JSONPath in a body that is parsed.
---@param body table
---@param name string
---@return any
function _M.find_path(body, name)
  if find(name, "[*]", 1, true) or find(name, "..", 1, true) then
    local found = {}
    collect(body, steps_of(name), 1, found)
    return #found > 0 and found or nil
  end
  if find(name, "[", 1, true) then
    local found = {}
    collect(body, steps_of(name), 1, found)
    return found[1]
  end
  return walk(body, name)
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
    if _M.kind(content_type) ~= "form" then
      return nil
    end
    local value = _M.post_args(ctx)[name]
    return type(value) == "table" and value[1] or value
  end
  local body = _M.parsed(ctx)
  return body and _M.find_path(body, name)
end

-- An argument of the URL, a form or a JSON body that is a text; false when it was given several times.
local function text_of(args, name, is_json)
  local value = args[name]
  if type(value) == "table" and not is_json then
    return false
  end
  return type(value) == "string" and value ~= "" and value or nil
end

local function graphql_argument(from_url, from_body, name, is_json)
  local of_url, of_body = text_of(from_url, name), text_of(from_body, name, is_json)
  if of_url == false or of_body == false or (of_url and of_body and of_url ~= of_body) then
    return nil, "it has several arguments `" .. name .. "` that may differ; send one"
  end
  return of_url or of_body
end

-- What the body has of a GraphQL request, by the names that arguments have.
local function graphql_body(ctx, kind)
  if kind == "graphql" then
    local text, err = _M.get(graphql_max_bytes, ctx)
    return { query = text }, err
  end
  local body = (kind == "json" or kind == "form") and _M.parsed(ctx) or {}
  if kind == "json" and body[1] ~= nil then
    return body, "it is a batch of GraphQL requests; send them one by one"
  end
  return body
end

--- Reads the request's GraphQL document, of its URL or its body (see graphql.lua). Yields.
---@param ctx moongate.Ctx
---@return {operation: string, name: string, root_fields: string[]}? found     nil without an error: there is none
---@return string? err
function _M.read_graphql(ctx)
  local ex = phase.exchange(ctx)
  local kind = _M.kind(fields.request_get(ex, "content-type"))
  local from_body, err = graphql_body(ctx, kind)
  if err then
    return nil, err
  end
  C.mg_request_query_get(ex, out)
  local from_url = out[0].data ~= nil and query.decode(ffi_string(out[0].data, out[0].size)) or {}
  local text, operation
  text, err = graphql_argument(from_url, from_body, "query", kind == "json")
  if not text then
    return nil, err
  end
  operation, err = graphql_argument(from_url, from_body, "operationName", kind == "json")
  if err then
    return nil, err
  end
  local found
  found, err = graphql.parse(text, operation)
  return found, err and "its GraphQL document cannot be read: " .. err
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
    found = _M.read_graphql(ctx) or false
    ctx._graphql = found
  end
  return found or nil
end

return _M
