-- SPDX-License-Identifier: Apache-2.0
--- The templates of request-transformer: a text with `$(headers.NAME)` and `$(query_params.NAME)` in it, the name also as
--- `["NAME"]`. Other expressions of Kong's are Lua and are refused.

local core = require("apisix.core")

local concat = table.concat
local find = string.find
local match = string.match
local sub = string.sub
local tostring = tostring
local type = type

local _M = {}

local function parse_reference(text)
  local source, name = match(text, "^%s*([%w_]+)%.([%w_]+)%s*$")
  if not source then
    local quote
    source, quote, name = match(text, "^%s*([%w_]+)%[(['\"])([%w_%-]+)%2%]%s*$")
    if not quote then
      return nil
    end
  end
  if source == "headers" or source == "query_params" then
    return { source = source, name = name }
  end
end

--- Takes a template apart.
---@param text string
---@return table? parts    strings and {source, name}
---@return string? err
function _M.parse(text)
  local parts, at = {}, 1
  while true do
    local from, to, inner = find(text, "%$%((.-)%)", at)
    if not from then
      break
    end
    local reference = parse_reference(inner)
    if not reference then
      return nil, "the template " .. sub(text, from, to) .. " is not served; known are $(headers.NAME) and "
        .. "$(query_params.NAME)"
    end
    parts[#parts + 1] = sub(text, at, from - 1)
    parts[#parts + 1] = reference
    at = to + 1
  end
  parts[#parts + 1] = sub(text, at)
  return parts
end

local function value_of(reference, ctx)
  if reference.source == "headers" then
    return core.request.header(ctx, (reference.name:gsub("_", "-"))) or core.request.header(ctx, reference.name)
  end
  local value = core.request.get_uri_args(ctx)[reference.name]
  if type(value) == "table" then
    value = value[1]
  end
  return value ~= true and value or nil
end

--- Returns the text for this request; nil when a part of it is not there.
---@param parts table
---@param ctx moongate.Ctx
---@return string?
function _M.fill(parts, ctx)
  if #parts == 1 then
    return parts[1]
  end
  local texts = {}
  for index = 1, #parts do
    local part = parts[index]
    if type(part) == "table" then
      part = value_of(part, ctx)
      if part == nil then
        return nil
      end
    end
    texts[index] = tostring(part)
  end
  return concat(texts)
end

return _M
