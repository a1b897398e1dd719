-- SPDX-License-Identifier: Apache-2.0
--- Finds what is at a dotted path (`a.b.1`) or a JSONPath (`$.a[0].b`, `a[*].b`, `..b`) in a decoded body.

local bounded_map = require("moongate.bounded_map")
local folded_name = require("moongate.core.folded_name")
local null = require("moongate.core.json").null

local find = string.find
local gmatch = string.gmatch
local gsub = string.gsub
local pairs = pairs
local tonumber = tonumber
local type = type

local _M = {}

---@class moongate.JsonPath
---@field steps string[]      names, numbers, "*" and ".."
---@field is_list boolean     it may find several values
---@field first_index integer what the first item of an array is called

local paths = bounded_map.new(1024)
local path_max_bytes = 1024 -- longer ones are not worth the memory

local function compile(name)
  local is_list = find(name, "[*]", 1, true) ~= nil or find(name, "..", 1, true) ~= nil
  local path = { steps = {}, is_list = is_list, first_index = 1 }
  local text = name
  if is_list or find(name, "[", 1, true) then
    path.first_index = 0
    text = gsub(gsub(gsub(name, "^%$%.?", ""), "%.%.", ".\0."), "%[([^%]]+)%]", ".%1")
  end
  for step in gmatch(text, "[^.]+") do
    path.steps[#path.steps + 1] = step == "\0" and ".." or step
  end
  return path
end

--- Returns the steps of a path, kept by its text.
---@param name string
---@return moongate.JsonPath
function _M.compile(name)
  local path = paths:get(name)
  if not path then
    path = compile(name)
    if #name <= path_max_bytes then
      paths:set(name, path)
    end
  end
  return path
end

-- The members of an object that are not spelled as they are folded: one of each, and another where there are several.
local function fold_members(object)
  local odd = { first = {}, second = {} }
  for key in pairs(object) do
    local folded = type(key) == "string" and folded_name(key)
    if folded and folded ~= key then
      odd.second[folded] = odd.first[folded] and key
      odd.first[folded] = odd.first[folded] or key
    end
  end
  return odd
end

--- Finds a member that a reader who takes no notice of case has for `name`.
---@param object table
---@param name string
---@param known table?       what earlier calls for the same body found, by object
---@return string? other     not `name` itself
function _M.find_other(object, name, known)
  local odd = known and known[object] or fold_members(object)
  if known then
    known[object] = odd
  end
  local folded = folded_name(name)
  if folded ~= name and object[folded] ~= nil then
    return folded
  end
  local first = odd.first[folded]
  return first ~= name and first or odd.second[folded]
end

local function get_member(object, step, search)
  if search.known then
    search.other = search.other or _M.find_other(object, step, search.known)
  end
  local item = object[step]
  if item == nil then
    local number = tonumber(step)
    item = number and object[number + 1 - search.path.first_index]
  end
  return item
end

-- Every value that the rest of the path fits.
local function collect(value, index, search)
  local step = search.path.steps[index]
  if value == nil or value == null then
    return
  elseif not step then
    search.found[#search.found + 1] = value
  elseif type(value) ~= "table" then
    return
  elseif step == "*" then
    for _, item in pairs(value) do
      collect(item, index + 1, search)
    end
  elseif step == ".." then
    collect(value, index + 1, search)
    for _, item in pairs(value) do
      collect(item, index, search)
    end
  else
    collect(get_member(value, step, search), index + 1, search)
  end
end

--- Returns what is at a path; null is nothing.
---@param body table
---@param name string
---@param known table?        a member whose name differs only in case from what is looked for is told; see find_other()
---@return any value          an array of values where the path may find several
---@return string? other      the name of such a member
function _M.find(body, name, known)
  local search = { path = _M.compile(name), found = {}, known = known }
  collect(body, 1, search)
  local found = search.found
  if search.path.is_list then
    return #found > 0 and found or nil, search.other
  end
  return found[1], search.other
end

return _M
