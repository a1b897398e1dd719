-- SPDX-License-Identifier: Apache-2.0
--- What the request's body says while its route is looked for. What cannot be looked at is neither a value nor none: it is
--- a refusal, so that nobody chooses a route by what the gateway cannot read.

local ffi = require("ffi")
local array_find = require("moongate.core.table").array_find
local json = require("moongate.core.json")
local native = require("moongate.native")
local query = require("moongate.query")
local request_body = require("moongate.core.request_body")

local C = native.C
local ffi_string = ffi.string
local find = string.find
local format = string.format
local lower = string.lower
local sub = string.sub
local tostring = tostring
local type = type

local state_none, state_unread, state_memory = 0, 1, 2
local out = ffi.new("mg_text[1]")
local name_out = ffi.new("mg_text[1]")

local _M = {}

-- The second result of `ask` when the body is needed first; other numbers are the status of a refusal.
local not_here = 1

local kinds = {
  ["post_arg_"] = { form = true },
  ["post_arg."] = { form = true, multipart = true, json = true },
  graphql_ = { form = true, json = true, graphql = true },
}
local graphql_fields = { graphql_operation = "operation", graphql_name = "name", graphql_root_fields = "root_fields" }

-- One search at a time: the router does not wait.
local search

local function is_list(content_type)
  return find(content_type, "^[^;]*,") ~= nil
end

-- What the fields say of the body: its kind, a coding it has, or that nobody can tell.
local function read_head(ex)
  local content_type, coding
  local is_ambiguous = false
  for index = 0, C.mg_request_field_count(ex) - 1 do
    C.mg_request_field_at(ex, index, name_out, out)
    local name = lower(ffi_string(name_out[0].data, name_out[0].size))
    if name == "content-type" then
      is_ambiguous = content_type ~= nil
      content_type = ffi_string(out[0].data, out[0].size)
      is_ambiguous = is_ambiguous or is_list(content_type)
    elseif name == "content-encoding" then
      local value = lower(ffi_string(out[0].data, out[0].size))
      coding = value ~= "identity" and value or coding
    end
    if is_ambiguous then
      break
    end
  end
  return { kind = request_body.kind(content_type), coding = coding, is_ambiguous = is_ambiguous }
end

-- Parses the body for post_arg.PATH and graphql_*, into where request_body.lua looks for it.
local function parse(ctx, ex, kind)
  if ctx._request_body_table or kind == "graphql" then
    return
  end
  local body, err = request_body.get(nil, ctx)
  if not body then
    return err or "it is not there"
  end
  local value
  if kind == "form" then
    value = query.decode(body, 0)
    ctx.req_post_args = value
  elseif kind == "multipart" then
    C.mg_request_field_get(ex, C.mg_field_name("content-type", 12), out)
    value, err = request_body.decode_multipart(body, ffi_string(out[0].data, out[0].size))
  else
    value, err = json.decode(body)
    err = err and "it is no JSON: " .. err
    value = (type(value) == "table" or value == nil) and value or {} -- a scalar has no fields
  end
  ctx._request_body_table = value
  return err
end

-- Whether the body has a part in what `group` names: then it is here and parsed. Otherwise a status and a reason.
local function look(group, ex)
  local state = C.mg_request_body_get(ex, out)
  if state == state_none or (state == state_memory and out[0].size == 0) then
    return false
  end
  search.head = search.head or read_head(ex)
  local head = search.head
  if head.is_ambiguous then
    return false, 400, "it has several Content-Types; send one"
  elseif not kinds[group][head.kind] then
    return false
  elseif head.coding then
    return false, 400, "it has a Content-Encoding (" .. head.coding .. "); send it without"
  elseif state == state_unread then
    return false, not_here
  end
  local err = parse(search.ctx, ex, head.kind)
  if err then
    return false, find(err, "nested", 1, true) and 413 or 400, err
  end
  return true
end

local function find_graphql(name)
  local field = graphql_fields[name]
  if not field then
    return nil
  end
  local ctx = search.ctx
  if ctx._graphql == nil then
    local found, err = request_body.read_graphql(ctx)
    if err then
      return nil, 400, err
    end
    ctx._graphql = found or false
  end
  return ctx._graphql and ctx._graphql[field]
end

local function find_value(name, ex)
  local is_graphql = sub(name, 1, 8) == "graphql_"
  local group = is_graphql and "graphql_" or sub(name, 1, 9)
  local has_part, status, reason = look(group, ex)
  if status then
    return nil, status, reason
  elseif is_graphql then
    return find_graphql(name)
  elseif not has_part then
    return nil
  elseif group == "post_arg." then
    return request_body.find_path(search.ctx._request_body_table, sub(name, 10))
  end
  local value = search.ctx.req_post_args[sub(name, 10)]
  return type(value) == "table" and value[1] or value
end

--- Finds `post_arg_NAME`, `post_arg.PATH` or `graphql_*`.
---@param ex ffi.cdata*
---@param name string
---@param element string?    asks whether the variable is a list with it
---@return string|boolean|nil value     nil without more: the request has no such variable
---@return integer? status              1: ask again when the body is here; otherwise of the refusal
---@return string? reason
function _M.ask(ex, name, element)
  search = search or { ctx = { _ex = ex }, values = {} }
  local value = search.values[name]
  if value == nil then
    local status, reason
    value, status, reason = find_value(name, ex)
    if status then
      return nil, status, reason and format("the route is looked for by `%s`, but the body cannot be looked at: %s", name, reason)
    end
    search.values[name] = value
  end
  if element then
    return type(value) == "table" and array_find(value, element) ~= nil or nil
  end
  if value == nil or type(value) == "table" then
    return nil
  end
  return tostring(value)
end

--- The search is over: what was parsed is for nobody.
function _M.forget()
  search = nil
end

return _M
