-- SPDX-License-Identifier: Apache-2.0
--- A request's body for who decides by it: what upstreams could read in another way than we do is an error, and never
--- a value or none. Routes that ask for `post_arg_*` and `graphql_*` are found with it (runtime/body_search.lua).

local form_fields = require("moongate.core.form_fields")
local json = require("moongate.core.json")
local json_path = require("moongate.core.json_path")
local media_type = require("moongate.core.media_type")
local multipart = require("moongate.core.multipart")
local native = require("moongate.native")

local C = native.C
local find = string.find
local format = string.format
local ipairs = ipairs
local null = json.null
local pairs = pairs
local tonumber = tonumber
local tostring = tostring
local type = type

local whole_number_max = 2 ^ 53 -- from here on two numbers of a text can be one

local _M = {}

local function say_other(other, name)
  return format("it has `%s`, which some upstreams take for `%s`; send one", form_fields.quoted(other), name)
end

---@class moongate.ExactBody
---@field kind string                          of media_type.kind()
---@field text string
---@field object table?                        of JSON; empty for a scalar
---@field known table                         for json_path.find()
---@field form moongate.FormFields?            of both kinds of forms

local function count_members(value)
  local size = #value
  local count = 0
  for index = 1, size do -- an array; its numbers and texts are passed quickly
    local item = value[index]
    if type(item) == "table" then
      count = count + count_members(item)
    end
  end
  if size == 0 then
    for _, item in pairs(value) do
      count = count + 1
      if type(item) == "table" then
        count = count + count_members(item)
      end
    end
  end
  return count
end

-- Decoded, a member that was given twice is there once.
local function has_member_twice(text, value)
  return C.mg_json_member_count(text, #text) ~= count_members(value)
end

--- Reads JSON in which no object has a member twice.
---@param text string
---@return table? object     empty for a scalar, which has no members
---@return string? err
function _M.decode_json(text)
  local value, err = json.decode(text)
  if value == nil then
    return nil, "it is no JSON: " .. err
  elseif type(value) ~= "table" then
    return {}
  elseif has_member_twice(text, value) then
    return nil, "an object in its JSON has a member twice"
  end
  return value
end

--- Reads JSON's member `name`, which must be there in one way.
---@param object table
---@param name string
---@return any value
---@return string? err
function _M.get_member(object, name)
  local other = json_path.find_other(object, name)
  return object[name], other and say_other(other, name)
end

local function decode_multipart(text, boundary)
  local parts, err = multipart.decode(text, boundary)
  if not parts then
    return nil, err
  end
  local form = form_fields.new()
  for _, part in ipairs(parts) do
    form:add(part.name, part.value)
    if not part.is_file and find(part.value, "%z") then
      form:doubt(part.name, format("its argument `%s` has a NUL, where some upstreams end it", form_fields.quoted(part.name)))
    end
  end
  return form
end

--- Reads a body.
---@param text string
---@param kind string
---@param content_type string?
---@return moongate.ExactBody? body
---@return string? err
function _M.decode(text, kind, content_type)
  local body, err = { kind = kind, text = text, known = {} }, nil
  local parsed, parameters = media_type.parse(content_type)
  if not parsed then
    err = parameters
  elseif not media_type.is_utf8(parameters.charset) then
    err = format("its charset is %s; send it in UTF-8", parameters.charset)
  elseif kind == "form" then
    body.form = form_fields.decode(text)
  elseif kind == "multipart" then
    body.form, err = decode_multipart(text, parameters.boundary)
  elseif kind == "json" then
    body.object, err = _M.decode_json(text)
  end
  return not err and body or nil, err
end

-- Why a form may not be read for a path: its fields have no structure, some upstreams make one of `a[b]` and `a.b`.
local function doubt_of(form, path, name)
  local err
  for index, step in ipairs(path.steps) do
    if step == ".." then
      err = err or form.brackets and say_other(form.brackets, name)
    elseif index == 1 or path.steps[index - 1] == ".." then
      err = err or form:doubt_of(step)
    end
  end
  return err or path.first_index == 1 and form:doubt_of(name) or nil
end

local function find_fields(form, name)
  local err = doubt_of(form, json_path.compile(name), name)
  if err then
    return nil, err
  end
  return form.values[name] or json_path.find(form.values, name), nil
end

-- A path may have found one field's values, or one of them, or the values of several fields.
local function flatten(values)
  local list = {}
  for _, value in ipairs(type(values) == "table" and values or { values }) do
    for _, item in ipairs(type(value) == "table" and value or { value }) do
      list[#list + 1] = item
    end
  end
  return list
end

--- Returns a scalar as routes compare it; nil for what is none.
---@param value any
---@return string? text
---@return string? err
function _M.text_of(value)
  if type(value) ~= "number" then
    return value ~= nil and value ~= null and type(value) ~= "table" and tostring(value) or nil
  elseif value ~= value or value >= whole_number_max or value <= -whole_number_max then
    return nil, "the number there is too large to be read exactly"
  elseif value % 1 == 0 then
    return format("%d", value)
  end
  local text = format("%.14g", value)
  return tonumber(text) == value and text or format("%.17g", value)
end

--- Finds what is at a path of the body (see json_path.lua) and is a text, a number or a boolean.
---@param body moongate.ExactBody
---@param name string
---@return string? text      nil without an error: it is not there, or no scalar
---@return string? err
function _M.find_text(body, name)
  local value, err
  if body.form then
    value, err = find_fields(body.form, name)
    local list = json_path.compile(name).is_list and {} or flatten(value)
    if list[2] ~= nil then
      return nil, format("it has several arguments `%s`; send one", name)
    end
    return list[1], err
  end
  local other
  value, other = json_path.find(body.object, name, body.known)
  if other then
    return nil, say_other(other, name)
  end
  return _M.text_of(value)
end

--- Whether what is at a path of the body is a list with `element`: a form's field may be given several times.
---@param body moongate.ExactBody
---@param name string
---@param element string
---@return boolean
---@return string? err
function _M.has_element(body, name, element)
  local value, err, other
  if body.form then
    value, err = find_fields(body.form, name)
    value = flatten(value)
  else
    value, other = json_path.find(body.object, name, body.known)
    err = other and say_other(other, name)
  end
  for _, item in ipairs(not err and type(value) == "table" and value or {}) do
    local text
    text, err = _M.text_of(item)
    if err or text == element then
      return err == nil, err
    end
  end
  return false, err
end

return _M
