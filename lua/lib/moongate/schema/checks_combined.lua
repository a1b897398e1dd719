-- SPDX-License-Identifier: Apache-2.0
--- Keywords that combine schemas: allOf, anyOf, oneOf, not, if/then/else. Defaults stay only where a branch fits.

local json = require("moongate.core.json")
local journal = require("moongate.schema.journal")

local concat = table.concat
local ipairs = ipairs
local type = type

local function compile_list(list, compile)
  local checks = {}
  for index, schema in ipairs(list) do
    checks[index] = compile(schema)
  end
  return checks
end

-- Checks and takes the defaults back when the value does not fit.
local function fits(check, value)
  local mark = journal.mark()
  if check(value) then
    journal.undo(mark)
    return false
  end
  return true
end

-- Checks and takes the defaults back in any case.
local function would_fit(check, value)
  local mark = journal.mark()
  local text = check(value)
  journal.undo(mark)
  return text == nil
end

local function all_of(schema, compile)
  if type(schema.allOf) ~= "table" then
    return nil
  end
  local checks = compile_list(schema.allOf, compile)
  return function(value)
    for index = 1, #checks do
      local text, path = checks[index](value)
      if text then
        return "allOf " .. index .. " failed: " .. text, path
      end
    end
  end
end

-- `["a"] or ["a","b"]` when every branch is about required properties.
local function required_text(branches)
  local parts = {}
  for index, branch in ipairs(branches) do
    if type(branch) ~= "table" or type(branch.required) ~= "table" then
      return ""
    end
    parts[index] = json.encode(branch.required)
  end
  return ": " .. concat(parts, " or ")
end

local function any_of(schema, compile)
  if type(schema.anyOf) ~= "table" then
    return nil
  end
  local checks = compile_list(schema.anyOf, compile)
  local text = "object matches none of the required" .. required_text(schema.anyOf)
  return function(value)
    for index = 1, #checks do
      if fits(checks[index], value) then
        return nil
      end
    end
    return text
  end
end

local function one_of(schema, compile)
  if type(schema.oneOf) ~= "table" then
    return nil
  end
  local checks = compile_list(schema.oneOf, compile)
  return function(value)
    local matched
    for index = 1, #checks do
      if would_fit(checks[index], value) then
        if matched then
          return "value should match only one schema, but matches both schemas " .. matched .. " and " .. index
        end
        matched = index
      end
    end
    if not matched then
      return "value should match only one schema, but matches none"
    end
    return checks[matched](value) -- once more, for its defaults
  end
end

local function negated(schema, compile)
  if schema["not"] == nil then
    return nil
  end
  local check = compile(schema["not"])
  return function(value)
    if would_fit(check, value) then
      return "value wasn't supposed to match schema"
    end
  end
end

local function conditional(schema, compile)
  if schema["if"] == nil then
    return nil
  end
  local check = compile(schema["if"])
  local check_then = schema["then"] ~= nil and compile(schema["then"]) or nil
  local check_else = schema["else"] ~= nil and compile(schema["else"]) or nil
  return function(value)
    if fits(check, value) then
      if check_then and check_then(value) then
        return "then clause did not match"
      end
    elseif check_else and check_else(value) then
      return "else clause did not match"
    end
  end
end

return { all_of, any_of, one_of, negated, conditional }
