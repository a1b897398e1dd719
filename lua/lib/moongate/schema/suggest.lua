-- SPDX-License-Identifier: Apache-2.0
--- Says what would be right: the property or the id that was probably meant, or the form a field has.

local schemas = require("moongate.schema.resource_schemas")
local upstreams = require("moongate.schema.upstream")

local concat = table.concat
local ipairs = ipairs
local min = math.min
local pairs = pairs
local sort = table.sort
local tostring = tostring
local type = type

local ids_shown_max = 5

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

-- `known` has the words as keys.
local function nearest(word, known)
  local best, best_distance
  for name in pairs(known) do
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

-- What fields look like whose schema says no more than that a value does not fit.
local hints = {
  host = "a host is NAME, *.NAME, NAME:PORT or [IPV6]:PORT",
  id = "an id has 1 to 64 letters, digits, `-`, `_` and `.`",
  methods = "methods are GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS, CONNECT, TRACE and PURGE",
  nodes = 'nodes are {"HOST:PORT": WEIGHT}, or a list of {host, port, weight}',
  remote_addr = "write an IP address, or a network such as 10.0.0.0/8",
  upstream = "an upstream has nodes, or service_name and discovery_type",
}
hints.hosts, hints.remote_addrs = hints.host, hints.remote_addr

-- What would be right where the text of an error says only what is wrong.
local remedies = {
  ["invalid operator"] = "operators are ==, ~=, >, >=, <, <=, ~~, ~*, in, has and ipmatch",
  ["rule should be wrapped inside brackets"] = 'write a list of rules, as in [["arg_x", "==", "1"]]',
  ["invalid expression$"] = 'a rule is [VARIABLE, OPERATOR, VALUE], as in ["arg_x", "==", "1"], nested at most 32 deep',
  ["^missing key$"] = "chash needs to know what to hash, such as remote_addr",
}

local function remedy_of(text)
  for pattern, remedy in pairs(remedies) do
    if text:find(pattern) then
      return remedy
    end
  end
end

local mismatches = { "failed to match pattern", "matches none of the enum values", "matches none of the required$", "but matches none$" }

local function is_mismatch(text)
  for _, pattern in ipairs(mismatches) do
    if text:find(pattern) then
      return true
    end
  end
  return false
end

local function field_of(path)
  for index = #path, 1, -1 do
    if type(path[index]) == "string" then
      return path[index]
    end
  end
end

--- Completes the error of a reference to a resource that is not there: "...; did you mean `orders`?".
---@param text string
---@param id any                          what was referred to
---@param others table<string, table>?    the resources there are, by id
---@return string
function _M.complete_reference(text, id, others)
  local guess = others and nearest(tostring(id), others)
  if guess then
    return text .. "; did you mean `" .. guess .. "`?"
  end
  local ids = {}
  for other in pairs(others or {}) do
    ids[#ids + 1] = other
  end
  if #ids == 0 then
    return text .. "; there are none"
  end
  sort(ids)
  return text .. "; there are " .. concat(ids, ", ", 1, min(#ids, ids_shown_max)) .. (#ids > ids_shown_max and ", ..." or "")
end

--- Completes an error text: "...; did you mean `upstream`?". The text as it is when nothing comes near.
---@param kind string
---@param path (string|integer)[]
---@param text string
---@return string
function _M.complete(kind, path, text)
  local word = text:match("additional properties forbidden, found (%S+)$")
  if not word then
    local hint = remedy_of(text) or path[1] ~= "plugins" and is_mismatch(text) and hints[field_of(path)]
    return hint and text .. "; " .. hint or text
  end
  local schema = schema_at(kind == "upstream" and upstreams.upstream or schemas[kind], path)
  local guess = schema and schema.properties and nearest(word, schema.properties)
  return guess and text .. "; did you mean `" .. guess .. "`?" or text
end

return _M
