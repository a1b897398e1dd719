-- SPDX-License-Identifier: Apache-2.0
--- Guesses which property was meant when a configuration has one that its schema does not know.

local schemas = require("moongate.schema.resource_schemas")
local upstreams = require("moongate.schema.upstream")

local min = math.min
local pairs = pairs
local type = type

local _M = {}

-- How many letters to change, add or leave out to get from `a` to `b`.
local function distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local above = row[j]
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = min(above + 1, row[j - 1] + 1, diagonal + cost)
      diagonal = above
    end
  end
  return row[#b]
end

local function nearest(word, properties)
  local best, best_distance
  for name in pairs(properties) do
    local steps = distance(word, name)
    if not best or steps < best_distance or (steps == best_distance and name < best) then
      best, best_distance = name, steps
    end
  end
  if best and best_distance <= (#word <= 4 and 1 or 2) then
    return best
  end
end

-- The schema of the object that `path` leads into; its last key is the unknown one.
local function schema_at(schema, path)
  for index = 1, #path - 1 do
    if type(schema) ~= "table" then
      return nil
    end
    local properties = schema.properties
    schema = type(path[index]) == "string" and properties and properties[path[index]] or schema.items
  end
  return schema
end

--- Completes an error text: "...; did you mean `upstream`?". The text as it is when nothing comes near.
---@param kind string
---@param path (string|integer)[]
---@param text string
---@return string
function _M.complete(kind, path, text)
  local word = text:match("additional properties forbidden, found (%S+)$")
  if not word then
    return text
  end
  local schema = schema_at(kind == "upstream" and upstreams.upstream or schemas[kind], path)
  local guess = schema and schema.properties and nearest(word, schema.properties)
  return guess and text .. "; did you mean `" .. guess .. "`?" or text
end

return _M
