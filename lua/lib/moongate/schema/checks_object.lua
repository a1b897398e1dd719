-- SPDX-License-Identifier: Apache-2.0
--- Keywords for objects: properties with their defaults, required, patternProperties, additionalProperties, dependencies,
--- numbers of properties, propertyNames.

local journal = require("moongate.schema.journal")
local kinds = require("moongate.schema.kinds")
local nkeys = require("table.nkeys")
local regex = require("moongate.ngx.regex")

local error = error
local ipairs = ipairs
local pairs = pairs
local sort = table.sort
local tostring = tostring
local type = type

-- A fault found inside `key` of a value.
local function within(key, path)
  path = path or {}
  path[#path + 1] = key
  return path
end

local function copy(value)
  if type(value) ~= "table" then
    return value
  end
  local result = {}
  for key, item in pairs(value) do
    result[key] = copy(item)
  end
  return setmetatable(result, getmetatable(value))
end

-- Properties in the order of their names, so that of several faults always the same one is reported.
local function sorted_names(properties)
  local names = {}
  for name in pairs(properties) do
    names[#names + 1] = name
  end
  sort(names, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return names
end

local function properties(schema, compile)
  if type(schema.properties) ~= "table" then
    return nil
  end
  local list = {}
  for _, name in ipairs(sorted_names(schema.properties)) do
    local inner = schema.properties[name]
    local default
    if type(inner) == "table" then
      default = inner.default
    end
    list[#list + 1] = { name = name, check = compile(inner), default = default }
  end
  return function(value)
    if not kinds.object(value) then
      return nil
    end
    for index = 1, #list do
      local property = list[index]
      local name = property.name
      if value[name] == nil and property.default ~= nil then
        journal.write(value, name, copy(property.default))
      end
      if value[name] ~= nil then
        local text, path = property.check(value[name])
        if text then
          return 'property "' .. name .. '" validation failed: ' .. text, within(name, path)
        end
      end
    end
  end
end

local function required(schema)
  local names = schema.required
  if type(names) ~= "table" or #names == 0 then
    return nil
  end
  return function(value)
    if not kinds.object(value) then
      return nil
    end
    for index = 1, #names do
      if value[names[index]] == nil then
        return 'property "' .. names[index] .. '" is required'
      end
    end
  end
end

local function compile_patterns(schema, compile)
  local list = {}
  if type(schema.patternProperties) == "table" then
    for _, pattern in ipairs(sorted_names(schema.patternProperties)) do
      local ok, err = regex.compile(pattern, "jo")
      if not ok then
        error("broken pattern in the schema: " .. err, 0)
      end
      list[#list + 1] = { pattern = pattern, check = compile(schema.patternProperties[pattern]) }
    end
  end
  return list
end

local function check_patterns(patterns, name, item)
  local is_matched = false
  for index = 1, #patterns do
    local entry = patterns[index]
    if regex.find(name, entry.pattern, "jo") then
      is_matched = true
      local text, path = entry.check(item)
      if text then
        return true, "failed to validate " .. name .. ' (matching "' .. entry.pattern .. '"): ' .. text, path
      end
    end
  end
  return is_matched
end

-- Names that `properties` does not list: patternProperties and additionalProperties.
local function other_names(schema, compile)
  local patterns = compile_patterns(schema, compile)
  local additional = schema.additionalProperties
  if #patterns == 0 and (additional == nil or additional == true) then
    return nil
  end
  local known = type(schema.properties) == "table" and schema.properties or {}
  local check_additional = type(additional) == "table" and compile(additional) or nil
  return function(value)
    if not kinds.object(value) then
      return nil
    end
    for key, item in pairs(value) do
      local name = tostring(key)
      local is_matched, text, path = check_patterns(patterns, name, item)
      if text then
        return text, within(name, path)
      end
      if not is_matched and known[key] == nil then
        if additional == false then
          return "additional properties forbidden, found " .. name, within(name)
        end
        if check_additional then
          text, path = check_additional(item)
          if text then
            return "failed to validate additional property " .. name .. ": " .. text, within(name, path)
          end
        end
      end
    end
  end
end

local function property_names(schema, compile)
  if schema.propertyNames == nil then
    return nil
  end
  local check = compile(schema.propertyNames)
  return function(value)
    if not kinds.object(value) then
      return nil
    end
    for key in pairs(value) do
      local text = check(tostring(key))
      if text then
        return 'property name "' .. tostring(key) .. '" validation failed: ' .. text, within(tostring(key))
      end
    end
  end
end

local function dependencies(schema, compile)
  if type(schema.dependencies) ~= "table" then
    return nil
  end
  local list = {}
  for _, name in ipairs(sorted_names(schema.dependencies)) do
    local wanted = schema.dependencies[name]
    if type(wanted) == "table" and (#wanted > 0 or next(wanted) == nil) then
      list[#list + 1] = { name = name, names = wanted }
    else
      list[#list + 1] = { name = name, check = compile(wanted) }
    end
  end
  return function(value)
    if not kinds.object(value) then
      return nil
    end
    for _, entry in ipairs(list) do
      if value[entry.name] ~= nil then
        for _, other in ipairs(entry.names or {}) do
          if value[other] == nil then
            return 'property "' .. other .. '" is required when "' .. entry.name .. '" is set'
          end
        end
        if entry.check then
          local text, path = entry.check(value)
          if text then
            return 'failed to validate dependent schema for "' .. entry.name .. '": ' .. text, path
          end
        end
      end
    end
  end
end

local function counts(schema)
  local least, most = schema.minProperties, schema.maxProperties
  if not least and not most then
    return nil
  end
  return function(value)
    if not kinds.object(value) then
      return nil
    end
    local count = nkeys(value)
    if least and count < least then
      return "expect object to have at least " .. least .. " properties"
    end
    if most and count > most then
      return "expect object to have at most " .. most .. " properties"
    end
  end
end

return { properties, required, other_names, property_names, dependencies, counts }
