-- SPDX-License-Identifier: Apache-2.0
--- Reads what Content-Type and Content-Disposition have: `form-data; name="a"; filename=b`. What two readers could read
--- in two ways (a parameter given twice, a backslash, white space around `=`) is an error.

local find = string.find
local format = string.format
local lower = string.lower
local match = string.match
local sub = string.sub

local _M = {}

local token = "[%w!#$%%&'*+.^_`|~-]+"
local parameter = "^(" .. token .. ")=()"
local type_and_subtype = "^" .. token .. "/" .. token .. "$"

-- `filename*` says nothing of what a field is called; `name*`, `boundary*` and `charset*` are for few readers another
-- way to write the parameter.
local function is_extended(name)
  return find(name, "*", 1, true) and not find(name, "^filename%*")
end

-- The value at `at`, and where it ends.
local function read_value(text, at)
  local value, behind = match(text, '^"([^"\\%c]*)"()', at)
  if not value then
    value, behind = match(text, '^([^%s;,"\\%c]+)()', at)
  end
  return value, behind
end

--- Splits a value into its first part and its parameters.
---@param text string
---@return string? first                        in lower case
---@return table<string, string> parameters     by name in lower case; the error where there is no first part
function _M.split(text)
  local first, at = match(text, "^[ \t]*([^%s;,]+)[ \t]*()")
  local parameters = {}
  while first and at <= #text do
    local start = match(text, "^;[ \t]*()", at)
    local name, value_at = match(text, parameter, start or #text + 1)
    if name then
      local value
      name = lower(name)
      value, at = read_value(text, value_at)
      if not value or parameters[name] or is_extended(name) then
        return nil, format("its parameter `%s` cannot be read, or is given twice", name)
      end
      parameters[name] = value
    elseif start and (start > #text or sub(text, start, start) == ";") then
      at = start
    else
      return nil, "it is no value with parameters"
    end
    at = match(text, "^[ \t]*()", at)
  end
  if not first then
    return nil, "it is no value with parameters"
  end
  return lower(first), parameters
end

--- The same for a Content-Type; without one, that of JSON.
---@param text string?
---@return string? media_type
---@return table<string, string>|string parameters
function _M.parse(text)
  local first, parameters = _M.split(text and text ~= "" and text or "application/json")
  if not first or not find(first, type_and_subtype) then
    return nil, "the Content-Type cannot be read: " .. (first and "it is no media type" or parameters)
  end
  return first, parameters
end

local kinds = {
  ["application/graphql"] = "graphql",
  ["application/json"] = "json",
  ["application/jsonrequest"] = "json",
  ["application/x-json"] = "json",
  ["application/x-www-form-urlencoded"] = "form",
  ["multipart/form-data"] = "multipart",
  ["text/json"] = "json",
  ["text/x-json"] = "json",
}

--- Returns what a body is by its Content-Type, whatever its case: "form", "multipart", "json" (without a type too),
--- "graphql", or nil for another one.
---@param content_type string?
---@return string?
function _M.kind(content_type)
  local media_type = lower(match(content_type or "", "[^;,%s]+") or "application/json")
  return kinds[media_type] or find(media_type, "^%w.*%+json$") and "json" or nil
end

--- Whether bytes of that charset are read as UTF-8 by everybody.
---@param charset string?     nil where none is named
---@return boolean
function _M.is_utf8(charset)
  charset = charset and lower(charset)
  return charset == nil or charset == "utf-8" or charset == "utf8" or charset == "us-ascii"
end

return _M
