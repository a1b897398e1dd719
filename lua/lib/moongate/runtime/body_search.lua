-- SPDX-License-Identifier: Apache-2.0
--- What the request's body says while its route is looked for. What cannot be looked at is neither a value nor none: it is
--- a refusal, so that nobody chooses a route by what the gateway cannot read.

local ffi = require("ffi")
local array_find = require("moongate.core.table").array_find
local exact_body = require("moongate.core.exact_body")
local fields = require("moongate.fields")
local graphql_request = require("moongate.core.graphql_request")
local media_type = require("moongate.core.media_type")
local native = require("moongate.native")
local request_body = require("moongate.core.request_body")

local C = native.C
local find = string.find
local format = string.format
local lower = string.lower
local sub = string.sub
local type = type

local state_none, state_unread, state_memory = 0, 1, 2
local out = ffi.new("mg_text[1]")
local content_type_name = fields.name_of("content-type").number
local content_coding_name = fields.name_of("content-encoding").number

local _M = {}

-- The second result of `ask` when the body is needed first; other numbers are the status of a refusal.
local not_here = 1

local kinds = {
  ["post_arg_"] = { form = true, multipart = true },
  ["post_arg."] = { form = true, multipart = true, json = true },
  graphql_ = { form = true, multipart = true, json = true, graphql = true },
}
local graphql_fields = { graphql_operation = "operation", graphql_name = "name", graphql_root_fields = "root_fields" }

-- One search at a time: the router does not wait.
local search

-- What stands for a variable that was looked for and is not there.
local absent = {}

-- What the fields say of the body, or why nobody can tell.
local function read_head(ex)
  local head = { content_type = fields.request_get(ex, "content-type") }
  local parsed, err = media_type.parse(head.content_type)
  local coding = lower(fields.request_get(ex, "content-encoding") or "")
  if C.mg_request_field_count_of(ex, content_type_name) > 1 then
    head.err = "it has several Content-Types; send one"
  elseif not parsed then
    head.err = err
  elseif C.mg_request_field_count_of(ex, content_coding_name) > 1 or (coding ~= "" and coding ~= "identity") then
    head.coding_err = format("it has a Content-Encoding (%s); send it without", coding)
  end
  head.kind = media_type.kind(head.content_type)
  return head
end

-- Whether the body has a part in what `group` names: then it is here and parsed. Otherwise a status and a reason.
local function look(group, ex)
  local state = C.mg_request_body_get(ex, out)
  if state == state_none or (state == state_memory and out[0].size == 0) then
    return false
  end
  search.head = search.head or read_head(ex)
  local head = search.head
  if head.err then
    return false, 400, head.err
  elseif not kinds[group][head.kind] then
    return false
  elseif head.coding_err then
    return false, 400, head.coding_err
  elseif state == state_unread then
    return false, not_here
  end
  if not search.body then
    local text, err = request_body.get(nil, search.ctx)
    if text then
      search.body, err = exact_body.decode(text, head.kind, head.content_type)
    end
    if not search.body then
      err = err or "it is not there"
      return false, find(err, "too many nested", 1, true) and 413 or 400, err
    end
  end
  return true
end

local function find_graphql(name, ex)
  local field = graphql_fields[name]
  if not field then
    return nil
  end
  if search.graphql == nil then
    local found, err = graphql_request.read(search.body, request_body.url_query(ex))
    if err then
      return nil, err
    end
    search.graphql = found or absent
  end
  return search.graphql[field]
end

local function find_in_body(group, name, element)
  local body = search.body
  if group == "post_arg_" then
    local value, err = body.form:get(name)
    return not element and value or nil, err
  elseif element then
    local has, err = exact_body.has_element(body, name, element)
    return has or nil, err
  end
  return exact_body.find_text(body, name)
end

local function find_value(name, element, ex)
  local is_graphql = sub(name, 1, 8) == "graphql_"
  local group = is_graphql and "graphql_" or sub(name, 1, 9)
  local has_part, status, reason = look(group, ex)
  if status then
    return nil, status, reason
  end
  local value, err
  if is_graphql then
    value, err = find_graphql(name, ex)
    if type(value) == "table" then
      value = element and array_find(value, element) ~= nil or nil
    elseif element then
      value = nil
    end
  elseif has_part then
    value, err = find_in_body(group, sub(name, 10), element)
  end
  return value, err and 400, err
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
  local key = element and name .. "\0" .. element or name
  local value = search.values[key]
  if value == nil then
    local status, reason
    value, status, reason = find_value(name, element, ex)
    if status then
      return nil, status, reason and format("the route is looked for by `%s`, but the body cannot be looked at: %s", name, reason)
    end
    value = value == nil and absent or value
    search.values[key] = value
  end
  return value ~= absent and value or nil
end

--- The search is over: what was parsed is for nobody.
function _M.forget()
  search = nil
end

return _M
