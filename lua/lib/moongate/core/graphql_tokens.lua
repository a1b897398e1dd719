-- SPDX-License-Identifier: Apache-2.0
--- The tokens of a GraphQL document, and what graphql.lua skips of it without a look inside.

local byte = string.byte
local find = string.find
local sub = string.sub

local _M = {}

local closing = { ["("] = ")", ["["] = "]", ["{"] = "}" }
local byte_order_mark = "\239\187\191"

local function is_name(token)
  return find(token, "^[_%a]") ~= nil
end

local function skip_string(text, at)
  if sub(text, at, at + 2) == '"""' then
    local position = at + 3
    while true do
      local first, last = find(text, '"""', position, true)
      if not first then
        return nil
      end
      if byte(text, first - 1) ~= 92 then -- \""" is text
        return last + 1
      end
      position = last + 1
    end
  end
  local position = at + 1
  while true do
    local first = find(text, '["\\\r\n]', position)
    local char = first and sub(text, first, first)
    if char == '"' then
      return first + 1
    elseif char ~= "\\" then
      return nil
    end
    position = first + 2
  end
end

-- The first place at or behind `at` that is neither white space nor comment; a comment ends at either kind of line end.
local function skip_ignored(text, at)
  while true do
    local _, last = find(text, "^[%s,]*", at)
    at = last + 1
    local char = byte(text, at)
    if char == 35 then
      _, last = find(text, "^[^\r\n]*", at)
      at = last + 1
    elseif char == 239 and sub(text, at, at + 2) == byte_order_mark then
      at = at + 3
    else
      return at
    end
  end
end

-- The token at or behind `at`: a name, a string (as `"`), `...`, or one character; and where it ends. nil at the end,
-- false where a string does not end.
local function next_token(text, at)
  at = skip_ignored(text, at)
  if at > #text then
    return nil
  end
  local _, last = find(text, "^[_%a][_%w]*", at)
  if last then
    return sub(text, at, last), last + 1
  end
  local char = sub(text, at, at)
  if char == '"' then
    local behind = skip_string(text, at)
    return behind and char or false, behind
  end
  if sub(text, at, at + 2) == "..." then
    return "...", at + 3
  end
  return char, at + 1
end

-- Where what was opened before `at` is closed; nil when it is not.
local function skip_group(text, at, open)
  local waiting = { closing[open] }
  while #waiting > 0 do
    local token, behind = next_token(text, at)
    if not token then
      return nil
    end
    if closing[token] then
      waiting[#waiting + 1] = closing[token]
    elseif token == waiting[#waiting] then
      waiting[#waiting] = nil
    elseif token == ")" or token == "]" or token == "}" then
      return nil
    end
    at = behind
  end
  return at
end

-- The first token behind variables, arguments and directives.
local function skip_decorations(text, at)
  while true do
    local token, behind = next_token(text, at)
    if token == "(" then
      at = skip_group(text, behind, "(")
      if not at then
        return nil
      end
    elseif token == "@" then
      local _, after = next_token(text, behind)
      if not after then
        return nil
      end
      at = after
    else
      return token, behind, at
    end
  end
end

_M.is_name = is_name
_M.next = next_token
_M.skip_decorations = skip_decorations
_M.skip_group = skip_group

return _M
