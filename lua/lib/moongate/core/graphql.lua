-- SPDX-License-Identifier: Apache-2.0
--- What `ctx.var.graphql_*` and routes want of a GraphQL document: the operation that will run, with the names of the
--- fields at its root. What is below the root is only skipped: whether it makes sense is for the upstream to say.

local byte = string.byte
local find = string.find
local sub = string.sub

local _M = {}

local closing = { ["("] = ")", ["["] = "]", ["{"] = "}" }
local operations = { query = true, mutation = true, subscription = true }
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

-- The names of the fields at the root, and where they end.
local function root_fields_of(text, at)
  local names = {}
  while true do
    local token, behind = next_token(text, at)
    if token == "}" then
      return names, behind
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

-- Where a fragment ends that is called by what is at `at`.
local function skip_fragment(text, at)
  local token, opened, inside
  repeat
    token, at = next_token(text, at)
  until not token or token == "@" or token == "{"
  if token == "@" then
    opened, inside = skip_decorations(text, at - 1)
  else
    opened, inside = token, at
  end
  return opened == "{" and skip_group(text, inside, "{") or nil
end

-- The operation that begins with `token`, and where it ends.
local function read_operation(text, token, at)
  local found = { operation = "query", name = "" }
  if operations[token] then
    found.operation = token
    local name, behind = next_token(text, at)
    if name and is_name(name) then
      found.name, at = name, behind
    end
    token, at = skip_decorations(text, at)
  end
  if token ~= "{" then
    return nil
  end
  found.root_fields, at = root_fields_of(text, at)
  return found.root_fields and found, at
end

-- All operations, by place.
local function read_operations(text)
  local found = {}
  local token, at = next_token(text, 1)
  while token do
    if token == "fragment" then
      at = skip_fragment(text, at)
      if not at then
        return nil, "a fragment that does not end"
      end
    elseif token ~= '"' then -- not the description of what follows
      found[#found + 1], at = read_operation(text, token, at)
      if not at then
        return nil, "neither an operation nor a fragment, or one that does not end"
      end
    end
    token, at = next_token(text, at)
  end
  if token == false then
    return nil, "a string that does not end"
  end
  return found
end

--- Reads a document for the operation that runs: the one called `wanted`, or the only one.
---@param text string
---@param wanted string?
---@return {operation: string, name: string, root_fields: string[]}? found
---@return string? err
function _M.parse(text, wanted)
  local all, err = read_operations(text)
  if not all then
    return nil, err
  end
  local found
  for index = 1, #all do
    if not wanted or all[index].name == wanted then
      if found then
        return nil, wanted and "several operations of the name that operationName gives" or "several operations and no operationName"
      end
      found = all[index]
    end
  end
  if not found then
    return nil, wanted and "no operation of the name that operationName gives" or "no operation"
  end
  return found
end

return _M
