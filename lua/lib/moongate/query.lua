-- SPDX-License-Identifier: Apache-2.0
--- Query strings and urlencoded bodies to and from tables: `a=1&a=2&b` is {a = {"1", "2"}, b = true}.

local encoding = require("moongate.encoding")

local concat = table.concat
local error = error
local find = string.find
local ipairs = ipairs
local pairs = pairs
local sort = table.sort
local sub = string.sub
local tostring = tostring
local type = type
local escape = encoding.escape_uri
local unescape = encoding.unescape_uri

local _M = {}

local function add(args, key, value)
  local before = args[key]
  if before == nil then
    args[key] = value
  elseif type(before) == "table" then
    before[#before + 1] = value
  else
    args[key] = { before, value }
  end
end

-- Looks no further than the pair: a text without `=` would be read to its end for each of them.
local function add_pair(args, pair)
  local equals = find(pair, "=", 1, true)
  if not equals then
    add(args, unescape(pair), true)
  elseif equals > 1 then
    add(args, unescape(sub(pair, 1, equals - 1)), unescape(sub(pair, equals + 1)))
  end
end

--- Parses `text`. A name without `=` has the value true; an empty name is left out.
---@param text string
---@param max integer?     at most this many arguments; nil or 0: all
---@return table args
---@return string? err     "truncated" when there were more
function _M.decode(text, max)
  local args = {}
  local size = #text
  local first = 1
  local count = 0
  while first <= size do
    local last = find(text, "&", first, true)
    last = last and last - 1 or size
    if last >= first then
      if max and max > 0 and count == max then
        return args, "truncated"
      end
      count = count + 1
      add_pair(args, sub(text, first, last))
    end
    first = last + 2
  end
  return args
end

local function append(parts, key, value)
  local kind = type(value)
  if kind == "table" then
    for _, item in ipairs(value) do
      append(parts, key, item)
    end
  elseif value == true then
    parts[#parts + 1] = key
  elseif kind == "string" or kind == "number" then
    parts[#parts + 1] = key .. "=" .. escape(tostring(value))
  elseif value ~= false then
    error("a query argument is a string, a number, a boolean or an array of them, not a " .. kind, 4)
  end
end

--- Makes a query string, names in alphabetical order. false leaves an argument out, true writes its name only.
---@param args table
---@return string
function _M.encode(args)
  local keys = {}
  for key in pairs(args) do
    keys[#keys + 1] = tostring(key)
  end
  sort(keys)
  local parts = {}
  for _, key in ipairs(keys) do
    local value = args[key]
    if value == nil then
      value = args[tonumber(key)]
    end
    append(parts, escape(key), value)
  end
  return concat(parts, "&")
end

return _M
