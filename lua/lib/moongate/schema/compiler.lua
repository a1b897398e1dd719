-- SPDX-License-Identifier: Apache-2.0
--- Turns a JSON Schema into one Lua function. Each keyword becomes a check, `check(value) -> nil | text, path`: nil means
--- fine, otherwise the text of the fault and the path to it, innermost key first. The keyword checks are in
--- schema/checks_*.lua; here is what joins them: types, references, the order.

local arrays = require("moongate.schema.checks_array")
local combined = require("moongate.schema.checks_combined")
local journal = require("moongate.schema.journal")
local kinds = require("moongate.schema.kinds")
local objects = require("moongate.schema.checks_object")
local scalars = require("moongate.schema.checks_scalar")

local concat = table.concat
local error = error
local ipairs = ipairs
local tostring = tostring
local type = type

local _M = {}

local function type_check(schema)
  local wanted = schema.type
  if wanted == nil then
    return nil
  end
  if type(wanted) == "string" then
    local is_kind = kinds[wanted] or error('unknown type "' .. wanted .. '" in the schema', 0)
    return function(value)
      if not is_kind(value) then
        return "wrong type: expected " .. wanted .. ", got " .. type(value)
      end
    end
  end
  local tests = {}
  for index, name in ipairs(wanted) do
    tests[index] = kinds[name] or error('unknown type "' .. tostring(name) .. '" in the schema', 0)
  end
  local text = "wrong type: expected one of " .. concat(wanted, ", ") .. ", got "
  return function(value)
    for index = 1, #tests do
      if tests[index](value) then
        return nil
      end
    end
    return text .. type(value)
  end
end

local function takes_strings(schema)
  local wanted = schema.type
  if wanted == nil or wanted == "string" then
    return true
  end
  if type(wanted) == "table" then
    for _, name in ipairs(wanted) do
      if name == "string" then
        return true
      end
    end
  end
  return false
end

local function step(text)
  return (text:gsub("~1", "/"):gsub("~0", "~"))
end

local function find_reference(root, reference)
  if type(reference) ~= "string" or reference:sub(1, 1) ~= "#" then
    error("only references within the schema are supported, got " .. tostring(reference), 0)
  end
  local at = root
  for name in reference:sub(2):gmatch("[^/]+") do
    name = step(name)
    local inner = type(at) == "table" and at[name]
    if inner == nil and type(at) == "table" then
      inner = at[tonumber(name) and tonumber(name) + 1]
    end
    at = inner
  end
  if type(at) ~= "table" and type(at) ~= "boolean" then
    error("the schema has nothing at " .. reference, 0)
  end
  return at
end

local function constant(schema)
  if schema then
    return function() end
  end
  return function()
    return "nothing is allowed here"
  end
end

local function add_all(checks, source, schema, compile)
  for _, make in ipairs(source) do
    local check = make(schema, compile)
    if check then
      checks[#checks + 1] = check
    end
  end
end

local function join(checks, is_string_schema)
  local count = #checks
  return function(value)
    -- A reference to a secret stands for a text that is not known yet.
    if is_string_schema and kinds.is_secret(value) then
      return nil
    end
    for index = 1, count do
      local text, path = checks[index](value)
      if text then
        return text, path
      end
    end
  end
end

local function make_compile(root)
  local known = {}
  local compile

  local function build(schema)
    if schema["$ref"] then
      return compile(find_reference(root, schema["$ref"]))
    end
    local checks = { type_check(schema) }
    add_all(checks, objects, schema, compile)
    add_all(checks, arrays, schema, compile)
    add_all(checks, scalars, schema, compile)
    add_all(checks, combined, schema, compile)
    return join(checks, takes_strings(schema))
  end

  function compile(schema)
    if type(schema) == "boolean" then
      return constant(schema)
    end
    if type(schema) ~= "table" then
      error("a schema is a table, not a " .. type(schema), 0)
    end
    if known[schema] then
      return known[schema]
    end
    local built
    -- What is met again while it is being built is a recursive schema.
    known[schema] = function(value)
      return built(value)
    end
    built = build(schema)
    known[schema] = built
    return built
  end

  return compile
end

local function reversed(path)
  local result, count = {}, path and #path or 0
  for index = count, 1, -1 do
    result[#result + 1] = path[index]
  end
  return result
end

--- Compiles a schema; raises a text when it is broken.
---@param schema table
---@return fun(value: any): boolean, string?, string[]?
function _M.compile(schema)
  local check = make_compile(schema)(schema)
  return function(value)
    local mark = journal.mark()
    local text, path = check(value)
    journal.forget(mark)
    if text then
      return false, text, reversed(path)
    end
    return true
  end
end

return _M
