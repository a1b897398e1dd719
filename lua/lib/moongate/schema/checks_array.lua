-- SPDX-License-Identifier: Apache-2.0
--- Keywords for arrays: items, additionalItems, contains, numbers of items, uniqueItems.

local core_table = require("moongate.core.table")
local journal = require("moongate.schema.journal")
local kinds = require("moongate.schema.kinds")

local type = type

local function within(index, path)
  path = path or {}
  path[#path + 1] = index
  return path
end

local function failed(index, text, path)
  return "failed to validate item " .. index .. ": " .. text, within(index, path)
end

local function all_items(check)
  return function(value)
    if not kinds.array(value) then
      return nil
    end
    for index = 1, #value do
      local text, path = check(value[index])
      if text then
        return failed(index, text, path)
      end
    end
  end
end

local function items(schema, compile)
  local wanted = schema.items
  if type(wanted) == "boolean" or (type(wanted) == "table" and #wanted == 0) then
    return all_items(compile(wanted))
  end
  if type(wanted) ~= "table" then
    return nil
  end
  local checks = {}
  for index = 1, #wanted do
    checks[index] = compile(wanted[index])
  end
  local rest = schema.additionalItems
  local check_rest = type(rest) == "table" and compile(rest) or nil
  return function(value)
    if not kinds.array(value) then
      return nil
    end
    for index = 1, #value do
      local check = checks[index] or check_rest
      if not check and rest == false then
        return "expect array to have at most " .. #checks .. " items"
      end
      if check then
        local text, path = check(value[index])
        if text then
          return failed(index, text, path)
        end
      end
    end
  end
end

local function counts(schema)
  local least, most = schema.minItems, schema.maxItems
  if not least and not most then
    return nil
  end
  return function(value)
    if not kinds.array(value) then
      return nil
    end
    if least and #value < least then
      return "expect array to have at least " .. least .. " items"
    end
    if most and #value > most then
      return "expect array to have at most " .. most .. " items"
    end
  end
end

-- The index of an earlier item equal to value[index].
local function find_equal(value, index, seen)
  local item = value[index]
  if type(item) ~= "table" then
    local before = seen[item]
    seen[item] = index
    return before
  end
  for before = 1, index - 1 do
    if type(value[before]) == "table" and core_table.deep_eq(value[before], item) then
      return before
    end
  end
  return nil
end

local function unique(schema)
  if not schema.uniqueItems then
    return nil
  end
  return function(value)
    if not kinds.array(value) then
      return nil
    end
    local seen = {}
    for index = 1, #value do
      local before = find_equal(value, index, seen)
      if before then
        return "expected unique items but items " .. before .. " and " .. index .. " are equal"
      end
    end
  end
end

local function contains(schema, compile)
  if schema.contains == nil then
    return nil
  end
  local check = compile(schema.contains)
  return function(value)
    if not kinds.array(value) then
      return nil
    end
    for index = 1, #value do
      local mark = journal.mark()
      if not check(value[index]) then
        return nil
      end
      journal.undo(mark)
    end
    return "array does not contain any expected item"
  end
end

return { items, counts, unique, contains }
