-- SPDX-License-Identifier: Apache-2.0
--- `ngx.req`: the request that runs.

local ffi = require("ffi")
local bodies = require("moongate.core.request_body")
local constants = require("moongate.ngx.constants")
local current = require("moongate.current")
local fields = require("moongate.fields")
local native = require("moongate.native")
local phase = require("moongate.phase")
local query = require("moongate.query")
local request = require("moongate.core.request")
local forget = require("moongate.kept_keys").forget
local var = require("moongate.var")

local C = native.C
local error = error
local exchange_of = phase.exchange
local ffi_string = ffi.string
local pairs = pairs
local tonumber = tonumber
local tostring = tostring
local type = type

local default_max = 100
local out = ffi.new("mg_text[1]")

local method_names = {}
for name, id in pairs(constants) do
  local method = name:match("^HTTP_(%u+)$")
  -- Method ids are powers of two; statuses lie between 100 and 599 and have other names, but OPTIONS is 512.
  if method and (id < 100 or id > 599 or method == "COPY" or method == "MOVE" or method == "OPTIONS") then
    method_names[id] = method
  end
end

local _M = {}

--- Returns the headers: at most `max` (100; 0 all), lower-case unless `is_raw`.
function _M.get_headers(max, is_raw)
  return fields.request_all(exchange_of(nil), is_raw, max or default_max)
end

function _M.set_header(name, value)
  return request.set_header(nil, name, value)
end

function _M.add_header(name, value)
  return request.add_header(nil, name, value)
end

function _M.clear_header(name)
  return request.set_header(nil, name, nil)
end

function _M.get_method()
  return request.get_method(nil)
end

--- Sets the method by id (ngx.HTTP_POST).
---@param id integer
function _M.set_method(id)
  local name = type(id) == "string" and id or method_names[id]
  if not name then
    error("unsupported HTTP method: " .. tostring(id), 2)
  end
  C.mg_request_method_set(exchange_of(nil), name, #name)
end

function _M.http_version()
  return request.get_http_version(nil)
end

--- When the request began, in seconds since 1970.
function _M.start_time()
  return C.mg_request_started_at(exchange_of(nil))
end

function _M.is_internal()
  exchange_of(nil)
  return false
end

--- Reads the body, so that get_body_data has it, or get_body_file when it is long. Yields.
function _M.read_body()
  bodies.collect()
end

--- Returns the body that was read, when it is in memory.
function _M.get_body_data()
  local body = bodies.peek(exchange_of(nil))
  return body ~= "" and body or nil
end

--- Returns the path of the file the body was spooled to.
function _M.get_body_file()
  local _, path = bodies.peek(exchange_of(nil))
  return path
end

--- Reads the body from the client and drops it. Yields.
function _M.discard_body()
  local ex = exchange_of(nil)
  bodies.collect()
  C.mg_request_body_set(ex, "", 0)
end

local function forget_body(ctx)
  if ctx then
    forget(ctx, "req_post_args")
    forget(ctx, "_request_body_table")
  end
end

--- Replaces the body sent upstream.
---@param data string
function _M.set_body_data(data)
  if type(data) ~= "string" then
    error("bad argument #1 to 'set_body_data' (string expected, got " .. type(data) .. ")", 2)
  end
  if C.mg_request_body_set(exchange_of(nil), data, #data) == 0 then
    error("the request body has already been sent to the upstream", 2)
  end
  forget_body(current.ctx)
end

--- Replaces the body by the content of a file.
---@param path string
---@param is_deleted boolean?     remove the file afterwards
function _M.set_body_file(path, is_deleted)
  local data, err = require("moongate.core.io").get_file(path)
  if not data then
    error(err, 2)
  end
  _M.set_body_data(data)
  if is_deleted then
    os.remove(path)
  end
end

--- Returns the urlencoded body as a table. Yields when it was not read yet.
function _M.get_post_args(max)
  local body, err = bodies.get(nil, current.ctx)
  if not body then
    return err and nil or {}, err
  end
  return query.decode(body, max or default_max)
end

--- Returns the query as a table: a fresh one, at most `max` arguments (100; 0 all).
function _M.get_uri_args(max)
  C.mg_request_query_get(exchange_of(nil), out)
  if out[0].data == nil then
    return {}
  end
  return query.decode(ffi_string(out[0].data, out[0].size), max or default_max)
end

function _M.set_uri_args(args)
  request.set_uri_args(nil, args)
end

--- Replaces the path (unescaped form). `is_jump` is refused: there are no locations to search again.
---@param uri string
---@param is_jump boolean?
function _M.set_uri(uri, is_jump)
  if is_jump then
    error("set_uri cannot jump: routes are matched once", 2)
  end
  if type(uri) ~= "string" or uri == "" then
    error("attempt to use zero-length uri", 2)
  end
  local ex = exchange_of(nil)
  C.mg_request_query_get(ex, out)
  local old = out[0].data ~= nil and ffi_string(out[0].data, out[0].size) or nil
  if C.mg_request_uri_set(ex, uri, #uri, old, old and #old or 0, out) == 0 then
    error("invalid uri: " .. ffi_string(out[0].data, out[0].size), 2)
  end
  var.forget_query(current.ctx)
end

--- Returns the head as it is now, request line included unless `is_without_line`.
function _M.raw_header(is_without_line)
  local ex = exchange_of(nil)
  local parts = {}
  if not is_without_line then
    parts[1] = (var.lookup(ex, "request") or "") .. "\r\n"
  end
  local name, value = ffi.new("mg_text[1]"), ffi.new("mg_text[1]")
  for index = 0, tonumber(C.mg_request_field_count(ex)) - 1 do
    C.mg_request_field_at(ex, index, name, value)
    parts[#parts + 1] = ffi_string(name[0].data, name[0].size) .. ": " .. ffi_string(value[0].data, value[0].size)
      .. "\r\n"
  end
  return table.concat(parts) .. "\r\n"
end

return _M
