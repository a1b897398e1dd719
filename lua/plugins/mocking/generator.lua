-- SPDX-License-Identifier: Apache-2.0
--- Makes an answer's body from a JSON Schema: the examples where there are any, else values by chance, as JSON, XML or
--- plain text.

local core = require("apisix.core")
local native = require("moongate.native")

local C = native.C
local concat = table.concat
local gsub = string.gsub
local ipairs = ipairs
local next = next
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local letters = "abcdefghijklmnopqrstuvwxyz"

local _M = {}

--- How deep a schema may nest.
_M.depth_max = 32

local function draw(count)
  return tonumber(C.mg_random() % count)
end

local function draw_text()
  local out = {}
  for index = 1, 3 + draw(8) do
    local letter = draw(26) + 1
    out[index] = sub(letters, letter, letter)
  end
  return concat(out)
end

local make

local makers = {
  string = function(schema)
    return schema.example ~= nil and tostring(schema.example) or draw_text()
  end,
  number = function(schema)
    return type(schema.example) == "number" and schema.example or draw(1000000) / 100
  end,
  integer = function(schema)
    return type(schema.example) == "number" and schema.example or draw(10000)
  end,
  boolean = function(schema)
    if type(schema.example) == "boolean" then
      return schema.example
    end
    return draw(2) == 1
  end,
  object = function(schema)
    if type(schema.example) == "table" then
      return schema.example
    end
    local object = {}
    for name, property in pairs(schema.properties or {}) do
      object[name] = make(property)
    end
    return object
  end,
  array = function(schema)
    if type(schema.example) == "table" then
      return schema.example
    end
    local array = core.json.array_mt and setmetatable({}, core.json.array_mt) or {}
    if schema.items then
      for index = 1, 1 + draw(3) do
        array[index] = make(schema.items)
      end
    end
    return array
  end,
}

function make(schema)
  local maker = makers[schema.type] or (schema.properties and makers.object) or makers.string
  return maker(schema)
end

--- Checks that a schema can be followed to its end.
---@param schema any
---@param depth integer?
---@return boolean ok
---@return string? err
function _M.check(schema, depth)
  depth = depth or 1
  if type(schema) ~= "table" then
    return false, "response_schema: every schema is an object"
  end
  if depth > _M.depth_max then
    return false, "response_schema: nested too deeply"
  end
  if schema.items ~= nil then
    local ok, err = _M.check(schema.items, depth + 1)
    if not ok then
      return false, err
    end
  end
  for _, property in pairs(schema.properties or {}) do
    local ok, err = _M.check(property, depth + 1)
    if not ok then
      return false, err
    end
  end
  return true
end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function append_xml(out, name, value)
  if type(value) == "table" and #value > 0 then
    for _, item in ipairs(value) do
      append_xml(out, name, item)
    end
    return
  end
  out[#out + 1] = "<" .. name .. ">"
  if type(value) == "table" then
    local names = {}
    for child in pairs(value) do
      names[#names + 1] = tostring(child)
    end
    sort(names)
    for _, child in ipairs(names) do
      append_xml(out, child, value[child])
    end
  else
    out[#out + 1] = gsub(tostring(value), '[&<>"]', entities)
  end
  out[#out + 1] = "</" .. name .. ">"
end

local function to_xml(value)
  local out = { '<?xml version="1.0" encoding="UTF-8"?>' }
  append_xml(out, "data", value)
  return concat(out)
end

local function to_text(value)
  if type(value) ~= "table" then
    return tostring(value)
  end
  return next(value) ~= nil and core.json.encode(value) or ""
end

--- Makes a body for the schema.
---@param schema table
---@param media_type string    "application/json", "application/xml", ...
---@return string? body
---@return string? err
function _M.generate(schema, media_type)
  local value = make(schema)
  if media_type == "application/json" then
    return core.json.encode(value)
  end
  if media_type == "application/xml" or media_type == "text/xml" then
    return to_xml(value)
  end
  return to_text(value)
end

return _M
