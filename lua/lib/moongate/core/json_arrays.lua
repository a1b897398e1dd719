-- SPDX-License-Identifier: Apache-2.0
--- Empty arrays in JSON. The packaged cjson writes every empty table as `{}` and forgets on reading that it was `[]`.
--- Here a table with the metatable `array_mt` is written as `[]`, and what was read as `[]` gets that metatable.
--
-- It is done around cjson: an empty array travels as an array of one marker string, which nobody else can know because
-- it is drawn at start. Texts and tables without empty arrays, nearly all, are handed to cjson as they are.

local find = string.find
local getmetatable = getmetatable
local pairs = pairs
local setmetatable = setmetatable
local sub = string.sub
local type = type
local concat = table.concat

local depth_max = 1000

local _M = {}

--- The metatable of tables that are arrays even when empty.
_M.array_mt = {}

local marker = ("moongate-empty-array:%s:%s"):format(tostring({}), os.clock()):gsub("[^%w:-]", "")
local marker_text = '["' .. marker .. '"]'

local is_used = false

--- From now on encoding looks for empty arrays. Called when someone gets hold of array_mt.
function _M.use()
  is_used = true
end

local copy_marked

local function copy_items(value, depth)
  local copy
  for key, item in pairs(value) do
    if type(item) == "table" then
      local marked = copy_marked(item, depth + 1)
      if marked ~= item then
        if not copy then
          copy = {}
          for name, old in pairs(value) do
            copy[name] = old
          end
        end
        copy[key] = marked
      end
    end
  end
  return copy or value
end

-- Returns `value` itself, or a copy of the path to each empty array with markers in it.
function copy_marked(value, depth)
  if depth > depth_max then
    return value
  end
  if next(value) == nil then
    return getmetatable(value) == _M.array_mt and { marker } or value
  end
  return copy_items(value, depth)
end

--- Prepares a value for cjson.
---@param value any
---@return any value
---@return boolean is_marked
function _M.mark(value)
  if not is_used or type(value) ~= "table" then
    return value, false
  end
  local marked = copy_marked(value, 1)
  return marked, marked ~= value
end

--- Puts `[]` where the markers are in cjson's text.
---@param text string
---@return string
function _M.unmark_text(text)
  local parts, from = {}, 1
  while true do
    local first, last = find(text, marker_text, from, true)
    if not first then
      break
    end
    parts[#parts + 1] = sub(text, from, first - 1)
    parts[#parts + 1] = "[]"
    from = last + 1
  end
  parts[#parts + 1] = sub(text, from)
  return concat(parts)
end

-- The position after the string that begins at `from`.
local function skip_string(text, from)
  local at = from + 1
  while true do
    local stop = find(text, '["\\]', at)
    if not stop then
      return #text + 1
    end
    if sub(text, stop, stop) == '"' then
      return stop + 1
    end
    at = stop + 2
  end
end

--- Puts markers where the JSON text has empty arrays; nil when there are none.
---@param text string
---@return string?
function _M.mark_text(text)
  if not find(text, "%[%s*%]") then
    return nil
  end
  local parts, copied, at = {}, 1, 1
  while true do
    local stop = find(text, '["%[]', at)
    if not stop then
      break
    end
    if sub(text, stop, stop) == '"' then
      at = skip_string(text, stop)
    else
      local _, last = find(text, "^%[%s*%]", stop)
      if last then
        parts[#parts + 1] = sub(text, copied, stop - 1)
        parts[#parts + 1] = marker_text
        copied = last + 1
      end
      at = (last or stop) + 1
    end
  end
  parts[#parts + 1] = sub(text, copied)
  return concat(parts)
end

--- Turns the markers in a decoded value into empty arrays, in place.
---@param value any
---@return any
function _M.unmark(value)
  if type(value) ~= "table" then
    return value
  end
  if value[1] == marker then
    is_used = true
    return setmetatable({}, _M.array_mt)
  end
  for key, item in pairs(value) do
    if type(item) == "table" then
      value[key] = _M.unmark(item)
    end
  end
  return value
end

return _M
