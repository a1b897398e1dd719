-- SPDX-License-Identifier: Apache-2.0
--- The header fields of the request and of the answer, as plain functions of an exchange. `core.request`,
--- `core.response`, `ngx.req` and `ngx.header` are all made of these.

local ffi = require("ffi")
local bounded_map = require("moongate.bounded_map")
local native = require("moongate.native")

local C = native.C
local error = error
local ffi_string = ffi.string
local gmatch = string.gmatch
local gsub = string.gsub
local lower = string.lower
local mg_request_field_get = C.mg_request_field_get
local mg_response_field_get = C.mg_response_field_get
local mg_request_field_set = C.mg_request_field_set
local mg_request_field_remove = C.mg_request_field_remove
local mg_response_field_set = C.mg_response_field_set
local mg_response_number_set = C.mg_response_number_set
local mg_response_quota_set = C.mg_response_quota_set
local mg_response_field_remove = C.mg_response_field_remove
local rawget = rawget
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

local name_out = ffi.new("mg_text[1]")
local value_out = ffi.new("mg_text[1]")

local _M = {}

---@class moongate.HeaderName
---@field number integer     as C knows it; negative when no header can be called so
---@field lower string
---@field special string?    "cookie" or "host": ctx keeps something that was made of it

local passing = 64 -- numbers below it are soon used for other names
local header_names = {} -- C gives out no more than some thousand numbers that stay
local special = { cookie = "cookie", host = "host" }

local function make_name(name)
  local lower_name = lower(name)
  local number = C.mg_field_name(name, #name)
  local made = { number = number, lower = lower_name, special = special[lower_name] }
  if number >= passing then
    header_names[name] = made
  end
  return made
end

--- Returns what is known of a header's name, made when the name first comes.
---@param name string
---@return moongate.HeaderName
local function name_of(name)
  return header_names[name] or make_name(name)
end
_M.name_of = name_of

local dashed_names = bounded_map.new(1024)

--- Returns the name with `_` replaced by `-`, as `ngx.header.content_type` is written.
---@param name string
---@return string
function _M.dashed(name)
  local result = dashed_names:get(name)
  if not result then
    result = gsub(name, "_", "-")
    dashed_names:set(name, result)
  end
  return result
end

--- Returns the first value of a request header, or nil.
---@param ex ffi.cdata*
---@param name string
---@return string?
function _M.request_get(ex, name)
  if mg_request_field_get(ex, name_of(name).number, value_out) == 0 then
    return nil
  end
  return ffi_string(value_out[0].data, value_out[0].size)
end

--- Returns the first value of a response header, or nil.
---@param ex ffi.cdata*
---@param name string
---@return string?
function _M.response_get(ex, name)
  if mg_response_field_get(ex, name_of(name).number, value_out) == 0 then
    return nil
  end
  return ffi_string(value_out[0].data, value_out[0].size)
end

--- Text of one value. Only scalars have one.
local function text_of(value)
  local kind = type(value)
  if kind == "string" then
    return value
  end
  if kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  error("a header's value is a string, a number, a boolean or an array of them, not a " .. kind, 4)
end

local changed, too_late = 1, 2
_M.changed = changed -- what the C functions that change a field answer

local function verdict(result, name)
  if result == changed then
    return true
  elseif result == too_late then
    return nil, 'header "' .. name .. '" cannot be changed any more'
  end
  return nil, 'invalid name or value of header "' .. name .. '"'
end

--- Replaces all request headers of this name; nil removes them, an array makes several.
---@param ex ffi.cdata*
---@param name string
---@param value any
---@return boolean? ok
---@return string? err
function _M.request_set(ex, name, value)
  local number = name_of(name).number
  if type(value) ~= "table" then
    if value == nil then
      return verdict(mg_request_field_remove(ex, number), name)
    end
    local text = text_of(value)
    return verdict(mg_request_field_set(ex, number, text, #text), name)
  end
  mg_request_field_remove(ex, number)
  return _M.request_add(ex, name, value)
end

--- Adds a request header, or one for each item of an array.
---@param ex ffi.cdata*
---@param name string
---@param value any
---@return boolean? ok
---@return string? err
function _M.request_add(ex, name, value)
  local number = name_of(name).number
  if type(value) ~= "table" then
    local text = text_of(value)
    return verdict(C.mg_request_field_add(ex, number, text, #text), name)
  end
  for index = 1, #value do
    local text = text_of(value[index])
    local ok, err = verdict(C.mg_request_field_add(ex, number, text, #text), name)
    if not ok then
      return nil, err
    end
  end
  return true
end

--- As `request_set`, for the answer.
---@param ex ffi.cdata*
---@param name string
---@param value any
---@return boolean? ok
---@return string? err
function _M.response_set(ex, name, value)
  local number = name_of(name).number
  if type(value) ~= "table" then
    if value == nil then
      return verdict(mg_response_field_remove(ex, number), name)
    end
    if type(value) == "number" then -- written where it goes: no Lua string for a counter that never repeats
      return verdict(mg_response_number_set(ex, number, value), name)
    end
    local text = text_of(value)
    return verdict(mg_response_field_set(ex, number, text, #text), name)
  end
  mg_response_field_remove(ex, number)
  return _M.response_add(ex, name, value)
end

---@class moongate.QuotaHeaders
---@field limit string
---@field remaining string
---@field reset string
---@field names ffi.cdata*?     as C knows them; nil when one of them has no number that stays

--- Prepares the three headers in which limiters tell a client its allowance.
---@param limit string      their names
---@param remaining string
---@param reset string
---@return moongate.QuotaHeaders
function _M.quota_headers(limit, remaining, reset)
  local numbers = { name_of(limit).number, name_of(remaining).number, name_of(reset).number }
  local is_lasting = numbers[1] >= passing and numbers[2] >= passing and numbers[3] >= passing
  return {
    limit = limit, remaining = remaining, reset = reset, names = is_lasting and ffi.new("mg_quota_names", numbers) or nil,
  }
end

--- Sets them, all at once where that is possible.
---@param ex ffi.cdata*
---@param headers moongate.QuotaHeaders
---@param limit number
---@param left number
---@param reset_s number
function _M.response_set_quota(ex, headers, limit, left, reset_s)
  local names = headers.names
  if names and mg_response_quota_set(ex, names, limit, left, reset_s) == changed then
    return
  end
  _M.response_set(ex, headers.limit, limit)
  _M.response_set(ex, headers.remaining, left)
  _M.response_set(ex, headers.reset, reset_s)
end

--- As `request_add`, for the answer.
---@param ex ffi.cdata*
---@param name string
---@param value any
---@return boolean? ok
---@return string? err
function _M.response_add(ex, name, value)
  local number = name_of(name).number
  if type(value) ~= "table" then
    local text = text_of(value)
    return verdict(C.mg_response_field_add(ex, number, text, #text), name)
  end
  for index = 1, #value do
    local text = text_of(value[index])
    local ok, err = verdict(C.mg_response_field_add(ex, number, text, #text), name)
    if not ok then
      return nil, err
    end
  end
  return true
end

local any_case = {
  __index = function(headers, key)
    if type(key) ~= "string" then
      return nil
    end
    return rawget(headers, (gsub(name_of(key).lower, "_", "-")))
  end,
}

local function collect(ex, count_of, at, is_raw, max)
  local headers = is_raw and {} or setmetatable({}, any_case)
  local count = tonumber(count_of(ex))
  local err
  if max and max > 0 and count > max then
    count, err = max, "truncated"
  end
  for index = 0, count - 1 do
    at(ex, index, name_out, value_out)
    local name = ffi_string(name_out[0].data, name_out[0].size)
    local value = ffi_string(value_out[0].data, value_out[0].size)
    if not is_raw then
      name = name_of(name).lower
    end
    local before = rawget(headers, name)
    if before == nil then
      headers[name] = value
    elseif type(before) == "table" then
      before[#before + 1] = value
    else
      headers[name] = { before, value }
    end
  end
  return headers, err
end

--- Returns all request headers: lower-case names that are found in any case, repeated ones as arrays.
---@param ex ffi.cdata*
---@param is_raw boolean?     names as they were sent, found only so
---@param max integer?        at most this many fields; nil or 0: all
---@return table headers
---@return string? err        "truncated"
function _M.request_all(ex, is_raw, max)
  return collect(ex, C.mg_request_field_count, C.mg_request_field_at, is_raw, max)
end

--- Returns all headers of the answer, in the same form.
---@param ex ffi.cdata*
---@param is_raw boolean?
---@param max integer?
---@return table headers
---@return string? err
function _M.response_all(ex, is_raw, max)
  return collect(ex, C.mg_response_field_count, C.mg_response_field_at, is_raw, max)
end

--- Returns nil, one value or an array of all values of a response header.
---@param ex ffi.cdata*
---@param name string
---@return string|string[]|nil
function _M.response_values(ex, name)
  local first = _M.response_get(ex, name)
  if first == nil then
    return nil
  end
  return _M.response_all(ex)[name] or first
end

--- Goes over the trailers of the upstream, once its answer is over: names in lower case, and values.
---@param ex ffi.cdata*
---@return fun(): string?, string?
function _M.upstream_trailers(ex)
  C.mg_upstream_trailers_get(ex, value_out)
  local next_line = gmatch(ffi_string(value_out[0].data, value_out[0].size), "([^:\r\n]+):[ \t]*([^\r\n]-)[ \t]*\r\n")
  return function()
    local name, value = next_line()
    return name and lower(name), value
  end
end

return _M
