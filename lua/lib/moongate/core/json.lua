-- SPDX-License-Identifier: Apache-2.0
--- `core.json`: JSON by way of lua-cjson, with empty arrays that survive (see core/json_arrays.lua).

local arrays = require("moongate.core.json_arrays")
local cjson = require("cjson.safe")

local concat = table.concat
local format = string.format
local next = next
local pairs = pairs
local sort = table.sort
local tostring = tostring
local type = type
local cjson_decode = cjson.decode
local cjson_encode = cjson.encode

local depth_max = 100

local _M = { null = cjson.null }

-- The sentinels are handed out through __index, so that encoding knows whether anyone has one.
setmetatable(_M, {
  __index = function(_, key)
    if key == "array_mt" or key == "empty_array_mt" then
      arrays.use()
      return arrays.array_mt
    end
    if key == "empty_array" then
      arrays.use()
      return setmetatable({}, arrays.array_mt)
    end
  end,
})

local function encode_plain(value)
  local marked, is_marked = arrays.mark(value)
  local text, err = cjson_encode(marked)
  if text and is_marked then
    text = arrays.unmark_text(text)
  end
  return text, err
end

-- A copy in which everything that JSON cannot say has become a string.
local function make_encodable(value, path, depth)
  local kind = type(value)
  if kind == "function" or kind == "thread" or (kind == "userdata" and value ~= cjson.null) or kind == "cdata" then
    return tostring(value)
  end
  if kind == "number" and (value ~= value or value == math.huge or value == -math.huge) then
    return tostring(value)
  end
  if kind ~= "table" then
    return value
  end
  if path[value] or depth > depth_max then
    return tostring(value)
  end
  path[value] = true
  local copy = {}
  local is_list = #value > 0
  for key, item in pairs(value) do
    if not is_list or type(key) ~= "number" then
      key = type(key) == "number" and key or tostring(key)
    end
    copy[key] = make_encodable(item, path, depth + 1)
  end
  path[value] = nil
  return setmetatable(copy, getmetatable(value) == arrays.array_mt and arrays.array_mt or nil)
end

--- Returns the JSON text of `value`.
---@param value any
---@param is_forced boolean?    functions, userdata and cycles become strings instead of an error
---@return string? text
---@return string? err
function _M.encode(value, is_forced)
  if is_forced then
    value = make_encodable(value, {}, 1)
  end
  return encode_plain(value)
end

local function drop_nulls(value)
  for key, item in pairs(value) do
    if item == cjson.null then
      value[key] = nil
    elseif type(item) == "table" then
      drop_nulls(item)
    end
  end
end

--- Reads JSON. null becomes `core.json.null`.
---@param text string
---@param options {null_as_nil: boolean}?
---@return any value
---@return string? err
function _M.decode(text, options)
  if type(text) ~= "string" then
    return nil, "expected a string to decode, got " .. type(text)
  end
  local marked = arrays.mark_text(text)
  local value, err = cjson_decode(marked or text)
  if value == nil then
    if marked then
      -- The text is broken: report the place in the text as it was given.
      value, err = cjson_decode(text)
    end
    return value, err
  end
  if marked then
    value = arrays.unmark(value)
  end
  if options and options.null_as_nil then
    if value == cjson.null then
      return nil
    end
    if type(value) == "table" then
      drop_nulls(value)
    end
  end
  return value
end

local encode_sorted

local function encode_list(value, depth)
  local parts = {}
  for index = 1, #value do
    parts[index] = encode_sorted(value[index], depth + 1)
  end
  return "[" .. concat(parts, ",") .. "]"
end

local function encode_object(value, depth)
  local names, items = {}, {}
  for key, item in pairs(value) do
    local name = tostring(key)
    names[#names + 1] = name
    items[name] = item
  end
  sort(names)
  for index, name in ipairs(names) do
    names[index] = cjson_encode(name) .. ":" .. encode_sorted(items[name], depth + 1)
  end
  return "{" .. concat(names, ",") .. "}"
end

function encode_sorted(value, depth)
  local kind = type(value)
  if kind ~= "table" then
    return cjson_encode(value) or format("%q", tostring(value))
  end
  if depth > depth_max then
    return '"..."'
  end
  if #value > 0 then
    return encode_list(value, depth)
  end
  if next(value) == nil then
    return getmetatable(value) == arrays.array_mt and "[]" or "{}"
  end
  return encode_object(value, depth)
end

--- Returns JSON with sorted keys: equal content gives equal bytes. For hashing and comparing.
---@param value any
---@return string
function _M.stably_encode(value)
  return encode_sorted(value, 1)
end
_M.canonical_encode = _M.stably_encode

local delayed_mt = {
  __tostring = function(delayed)
    local text, err = _M.encode(delayed.value, delayed.is_forced)
    if not text then
      return "encode error: " .. tostring(err)
    end
    return text
  end,
}
local delayed_ring = {}
for index = 1, 16 do
  delayed_ring[index] = setmetatable({}, delayed_mt)
end
local delayed_index = 0

--- Returns an object that is encoded when it is turned into a string; for log arguments only, because the objects are
--- used again after 16 calls.
---@param value any
---@param is_forced boolean?
function _M.delay_encode(value, is_forced)
  delayed_index = delayed_index % 16 + 1
  local delayed = delayed_ring[delayed_index]
  delayed.value = value
  delayed.is_forced = is_forced
  return delayed
end

return _M
