-- SPDX-License-Identifier: Apache-2.0
--- What `ctx.var.graphql_*` and routes want of a GraphQL document: the operation that will run, with the names of the
--- fields at its root, those that fragments bring among them, whatever their condition. What is below the root is only
--- skipped: whether it makes sense is for the upstream to say.

local tokens = require("moongate.core.graphql_tokens")

local is_name = tokens.is_name
local ipairs = ipairs
local remove = table.remove
local next_token = tokens.next
local skip_decorations = tokens.skip_decorations
local skip_group = tokens.skip_group

local _M = {}

local operations = { query = true, mutation = true, subscription = true }

-- A field whose first name is `token`: its own name, and where it ends.
local function read_field(text, token, at)
  local follower, behind = next_token(text, at)
  if follower == ":" then -- `token` is another name for the field
    token, at = next_token(text, behind)
    if token then
      follower, behind = next_token(text, at)
    end
  end
  if not token or not is_name(token) then
    return nil
  end
  if follower == "(" or follower == "@" then
    follower, behind, at = skip_decorations(text, at)
  end
  if follower == "{" then
    return token, skip_group(text, behind, "{")
  end
  return follower and token, at
end

-- What follows `...`: the name of a fragment, or where the selection of an inline one begins.
local function read_spread(text, at)
  local word, after = next_token(text, at)
  if word and word ~= "on" and is_name(word) then
    local opened, _, before = skip_decorations(text, after)
    return opened and word, before
  elseif word == "on" then
    word, at = next_token(text, after)
    if not word or not is_name(word) then
      return nil
    end
  end
  local opened, inside = skip_decorations(text, at)
  return nil, opened == "{" and inside or nil
end

-- The names of the fields of a selection whose `{` is before `at`, of the fragments that belong to it, and where it
-- ends. Inline fragments are part of it.
local function read_selection(text, at)
  local found = { fields = {}, fragments = {} }
  local depth = 1
  while depth > 0 do
    local token, name
    token, at = next_token(text, at)
    if token == "}" then
      depth = depth - 1
    elseif token == "..." then
      name, at = read_spread(text, at)
      found.fragments[#found.fragments + 1] = name
      depth = name and depth or depth + 1
    elseif token then
      name, at = read_field(text, token, at)
      found.fields[#found.fields + 1] = name
      at = name and at
    end
    if not token or not at then
      return nil
    end
  end
  return found, at
end

-- `NAME on TYPE { ... }` at `at`: its name, its selection, and where it ends.
local function read_fragment(text, at)
  local name, on, condition, opened, selection
  name, at = next_token(text, at)
  if name and is_name(name) then
    on, at = next_token(text, at)
  end
  if on == "on" then
    condition, at = next_token(text, at)
  end
  if condition and is_name(condition) then
    opened, at = skip_decorations(text, at)
  end
  if opened == "{" then
    selection, at = read_selection(text, at)
  end
  return selection and name, selection, at
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
  found.selection, at = read_selection(text, at)
  return found.selection and found, at
end

-- All operations by place, and the selections of all fragments by name.
local function read_definitions(text)
  local found, fragments = {}, {}
  local token, at = next_token(text, 1)
  while token do
    if token == "fragment" then
      local name, selection
      name, selection, at = read_fragment(text, at)
      if not name or fragments[name] then
        return nil, "a fragment that is none, does not end or is there twice"
      end
      fragments[name] = selection
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
  return found, fragments
end

-- The fields of a selection and of all fragments that belong to it.
local function collect_fields(selection, fragments)
  if #selection.fragments == 0 then
    return selection.fields
  end
  local fields, waiting, is_known = {}, { selection }, {}
  while #waiting > 0 do
    local current = remove(waiting)
    for _, name in ipairs(current.fields) do
      fields[#fields + 1] = name
    end
    for _, name in ipairs(current.fragments) do
      if not fragments[name] then
        return nil, "a fragment that is not there"
      end
      if not is_known[name] then
        is_known[name] = true
        waiting[#waiting + 1] = fragments[name]
      end
    end
  end
  return fields
end

--- Reads a document for the operation that runs: the one called `wanted`, or the only one.
---@param text string
---@param wanted string?
---@return {operation: string, name: string, root_fields: string[]}? found
---@return string? err
function _M.parse(text, wanted)
  local all, fragments = read_definitions(text)
  if not all then
    return nil, fragments
  end
  local found, err
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
  found.root_fields, err = collect_fields(found.selection, fragments)
  return not err and found or nil, err
end

return _M
