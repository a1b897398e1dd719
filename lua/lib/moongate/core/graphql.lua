-- SPDX-License-Identifier: Apache-2.0
--- What `ctx.var.graphql_*` and routes want of a GraphQL document: its first operation, with the names of the fields at
--- its root. Everything else is only skipped, so a document that is wrong further on is for the upstream to refuse.

local byte = string.byte
local find = string.find
local sub = string.sub

local _M = {}

local closing = { ["("] = ")", ["["] = "]", ["{"] = "}" }
local operations = { query = true, mutation = true, subscription = true }

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
    local first = find(text, '["\\\n]', position)
    local char = first and sub(text, first, first)
    if char == '"' then
      return first + 1
    elseif char ~= "\\" then
      return nil
    end
    position = first + 2
  end
end

-- The token at or behind `at`: a name, a string (as `"`), `...`, or one character; and where it ends. nil at the end, and
-- where a string does not end.
local function next_token(text, at)
  local _, last = find(text, "^[%s,]*", at)
  at = last + 1
  while sub(text, at, at) == "#" do
    _, last = find(text, "^[^\n]*[%s,]*", at)
    at = last + 1
  end
  if at > #text then
    return nil
  end
  _, last = find(text, "^[_%a][_%w]*", at)
  if last then
    return sub(text, at, last), last + 1
  end
  local char = sub(text, at, at)
  if char == '"' then
    local behind = skip_string(text, at)
    return behind and char, behind
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

local function root_fields_of(text, at)
  local names = {}
  while true do
    local token, behind = next_token(text, at)
    if token == "}" then
      return names
    elseif not token then
      return nil
    end
    if token == "..." then
      local word, after = next_token(text, behind)
      if word == "on" then
        local _, typed = next_token(text, after)
        after = typed
      end
      behind = (word == "{" or word == "@") and behind or after
      if not behind then
        return nil
      end
    else
      local colon, after = next_token(text, behind)
      if colon == ":" then -- `token` is another name for the field
        token, behind = next_token(text, after)
      end
      if not token or not is_name(token) then
        return nil
      end
      names[#names + 1] = token
    end
    local opened, inside, before = skip_decorations(text, behind)
    if not opened then
      return nil
    end
    at = opened == "{" and skip_group(text, inside, "{") or before
    if opened == "{" and at == before then
      return nil
    end
  end
end

--- Reads a document.
---@param text string
---@return {operation: string, name: string, root_fields: string[]}? found
---@return string? err
function _M.parse(text)
  local token, at = next_token(text, 1)
  while token == "fragment" do
    local opened, inside
    repeat
      token, at = next_token(text, at)
    until not token or token == "@" or token == "{"
    if token == "@" then
      opened, inside = skip_decorations(text, at - 1)
    else
      opened, inside = token, at
    end
    at = opened == "{" and skip_group(text, inside, "{")
    if not at then
      return nil, "a fragment that does not end"
    end
    token, at = next_token(text, at)
  end
  local found = { operation = "query", name = "" }
  if token and operations[token] then
    found.operation = token
    local name, behind = next_token(text, at)
    if name and is_name(name) then
      found.name, at = name, behind
    end
    token, at = skip_decorations(text, at)
  end
  if token ~= "{" then
    return nil, "no operation"
  end
  found.root_fields = root_fields_of(text, at)
  if not found.root_fields then
    return nil, "an operation that does not end"
  end
  return found
end

return _M
