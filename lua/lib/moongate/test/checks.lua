-- SPDX-License-Identifier: Apache-2.0
--- What a test claims: each function here raises a Failure when the claim is wrong, and says what was expected and what came.

local _M = {}

local text_max = 400
local depth_max = 20

--- A failed claim, as opposed to an error in the test.
---@class moongate.test.Failure
---@field message string
_M.Failure = {}

function _M.fail(message)
  error(setmetatable({ message = message }, _M.Failure), 0)
end

local function sorted_keys(value)
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then
      return a < b
    end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function show_table(value, depth)
  if depth > depth_max then
    return "{...}"
  end
  local parts = {}
  for _, key in ipairs(sorted_keys(value)) do
    local name = type(key) == "number" and key <= #value and "" or tostring(key) .. " = "
    parts[#parts + 1] = name .. _M.show(value[key], depth + 1)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- A value as a failure shows it.
function _M.show(value, depth)
  if type(value) == "table" then
    return show_table(value, depth or 0)
  end
  if type(value) ~= "string" then
    return tostring(value)
  end
  local text = #value > text_max and value:sub(1, text_max) .. "..." or value
  text = text:gsub("[%c\\\"\127-\255]", function(char)
    return char == '"' and '\\"' or char == "\\" and "\\\\" or char == "\n" and "\\n" or ("\\%03d"):format(char:byte())
  end)
  return '"' .. text .. '"' .. (#value > text_max and " (" .. #value .. " bytes)" or "")
end

local show = _M.show

function _M.equal(actual, expected, note)
  if actual ~= expected then
    _M.fail((note and note .. ": " or "") .. "expected " .. show(expected) .. ", got " .. show(actual))
  end
end

-- The place of the first difference, or nil.
local function find_difference(actual, expected, path, depth)
  if type(actual) ~= "table" or type(expected) ~= "table" or depth > depth_max then
    return actual ~= expected and path or nil
  end
  for _, key in ipairs(sorted_keys(expected)) do
    local found = find_difference(actual[key], expected[key], path .. "." .. tostring(key), depth + 1)
    if found then
      return found
    end
  end
  for _, key in ipairs(sorted_keys(actual)) do
    if expected[key] == nil then
      return path .. "." .. tostring(key)
    end
  end
  return nil
end

--- Two values of the same content, however deep.
function _M.same(actual, expected, note)
  local place = find_difference(actual, expected, "", 0)
  if place then
    local where = place ~= "" and " (they differ at " .. place .. ")" or ""
    _M.fail((note and note .. ": " or "") .. "expected " .. show(expected) .. ", got " .. show(actual) .. where)
  end
end

--- A text in which the Lua pattern is found.
function _M.matches(text, pattern, note)
  if type(text) ~= "string" or not text:find(pattern) then
    _M.fail((note and note .. ": " or "") .. "expected a text that matches " .. show(pattern) .. ", got " .. show(text))
  end
end

function _M.is_true(value, note)
  _M.equal(value, true, note)
end

function _M.is_false(value, note)
  _M.equal(value, false, note)
end

function _M.is_nil(value, note)
  _M.equal(value, nil, note)
end

return _M
