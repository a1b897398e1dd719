-- SPDX-License-Identifier: Apache-2.0
--- Keywords for strings, numbers and plain values: lengths, pattern, format, bounds, multipleOf, enum, const.

local core_table = require("moongate.core.table")
local ipv6 = require("moongate.core.ipv6")
local regex = require("moongate.ngx.regex")

local error = error
local find = string.find
local floor = math.floor
local gsub = string.gsub
local ipairs = ipairs
local select = select
local tonumber = tonumber
local tostring = tostring
local type = type

local function length_of(text)
  if not find(text, "[\128-\255]") then
    return #text
  end
  return (select(2, gsub(text, "[^\128-\191]", "")))
end

local function lengths(schema)
  local least, most = schema.minLength, schema.maxLength
  if not least and not most then
    return nil
  end
  return function(value)
    if type(value) ~= "string" then
      return nil
    end
    local length = length_of(value)
    if least and length < least then
      return "string too short, expected at least " .. least .. ", got " .. length
    end
    if most and length > most then
      return "string too long, expected at most " .. most .. ", got " .. length
    end
  end
end

local function pattern(schema)
  local wanted = schema.pattern
  if not wanted then
    return nil
  end
  local ok, err = regex.compile(wanted, "jo")
  if not ok then
    error("broken pattern in the schema: " .. err, 0)
  end
  return function(value)
    if type(value) ~= "string" then
      return nil
    end
    if not regex.find(value, wanted, "jo") then
      return 'failed to match pattern "' .. wanted .. '" with "' .. value .. '"'
    end
  end
end

local function is_ipv4(text)
  local parts = { text:match("^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$") }
  for _, part in ipairs(parts) do
    if tonumber(part) > 255 then
      return false
    end
  end
  return #parts == 4
end

local function is_hostname(text)
  if #text == 0 or #text > 253 then
    return false
  end
  for label in (text:gsub("%.$", "") .. "."):gmatch("([^.]*)%.") do
    if #label > 63 or not find(label, "^%w[%w-]*$") or find(label, "%-$") then
      return false
    end
  end
  return true
end

local formats = {
  ipv4 = is_ipv4,
  ipv6 = function(text) return not find(text, "[", 1, true) and ipv6.parse(text) ~= false end,
  hostname = is_hostname,
  email = function(text) return find(text, "^[^%s@]+@[^%s@]+%.[^%s@]+$") ~= nil end,
  regex = function(text) return regex.compile(text, "jo") ~= nil end,
}

-- Formats that are not known say nothing about a value.
local function format(schema)
  local name = schema.format
  local is_valid = formats[name]
  if not is_valid then
    return nil
  end
  return function(value)
    if type(value) == "string" and not is_valid(value) then
      return "expect valid " .. name .. " format but got: " .. value
    end
  end
end

local function lower_bound(schema)
  local least, above = schema.minimum, schema.exclusiveMinimum
  if above == true then -- draft 4
    least, above = nil, least
  end
  if not least and type(above) ~= "number" then
    return nil
  end
  return function(value)
    if type(value) ~= "number" then
      return nil
    end
    if least and not (value >= least) then
      return "expected " .. tostring(value) .. " to be at least " .. least
    end
    if above and not (value > above) then
      return "expected " .. tostring(value) .. " to be greater than " .. above
    end
  end
end

local function upper_bound(schema)
  local most, below = schema.maximum, schema.exclusiveMaximum
  if below == true then -- draft 4
    most, below = nil, most
  end
  if not most and type(below) ~= "number" then
    return nil
  end
  return function(value)
    if type(value) ~= "number" then
      return nil
    end
    if most and not (value <= most) then
      return "expected " .. tostring(value) .. " to be at most " .. most
    end
    if below and not (value < below) then
      return "expected " .. tostring(value) .. " to be smaller than " .. below
    end
  end
end

local function multiple(schema)
  local of = schema.multipleOf
  if not of then
    return nil
  end
  return function(value)
    if type(value) ~= "number" then
      return nil
    end
    local quotient = value / of
    -- 0.3 is a multiple of 0.1, although not in binary.
    if math.abs(quotient - floor(quotient + 0.5)) > 1e-9 * math.max(1, math.abs(quotient)) then
      return "expected " .. tostring(value) .. " to be a multiple of " .. of
    end
  end
end

local function enum(schema)
  local values = schema.enum
  if type(values) ~= "table" then
    return nil
  end
  local known, tables = {}, {}
  for _, item in ipairs(values) do
    if type(item) == "table" then
      tables[#tables + 1] = item
    else
      known[item] = true
    end
  end
  return function(value)
    if value ~= nil and known[value] then
      return nil
    end
    for _, item in ipairs(tables) do
      if core_table.deep_eq(item, value) then
        return nil
      end
    end
    return "matches none of the enum values"
  end
end

local function const(schema)
  local wanted = schema.const
  if wanted == nil then
    return nil
  end
  return function(value)
    if not core_table.deep_eq(wanted, value) then
      return "failed to check const value"
    end
  end
end

return { lengths, pattern, format, lower_bound, upper_bound, multiple, enum, const }
