-- SPDX-License-Identifier: Apache-2.0
--- The Cookie header as a table: name to value, the first of equal names. Names are case-sensitive. Quotes around a
--- value are taken off, nothing is decoded.

local byte = string.byte
local find = string.find
local sub = string.sub

local space, tab, quote = 32, 9, 34

local _M = {}

local function skip_blanks(text, from, to)
  while from <= to do
    local char = byte(text, from)
    if char ~= space and char ~= tab then
      break
    end
    from = from + 1
  end
  return from
end

local function drop_blanks(text, from, to)
  while to >= from do
    local char = byte(text, to)
    if char ~= space and char ~= tab then
      break
    end
    to = to - 1
  end
  return to
end

local function add_pair(cookies, text, from, to)
  local equals = find(text, "=", from, true)
  if not equals or equals > to then
    return
  end
  from = skip_blanks(text, from, equals)
  local name = sub(text, from, drop_blanks(text, from, equals - 1))
  if name == "" or cookies[name] ~= nil then
    return
  end
  local first = skip_blanks(text, equals + 1, to)
  local last = drop_blanks(text, first, to)
  if last > first and byte(text, first) == quote and byte(text, last) == quote then
    first, last = first + 1, last - 1
  end
  cookies[name] = sub(text, first, last)
end

--- Parses the value of a Cookie header into `cookies`.
---@param text string
---@param cookies table<string, string>?
---@return table<string, string>
function _M.parse(text, cookies)
  cookies = cookies or {}
  local from, size = 1, #text
  while from <= size do
    local to = find(text, ";", from, true)
    to = to and to - 1 or size
    add_pair(cookies, text, from, to)
    from = to + 2
  end
  return cookies
end

return _M
