-- SPDX-License-Identifier: Apache-2.0
--- `core.string`: Lua's own `string` and a few helpers. `find` is plain here: no patterns.

local query = require("moongate.query")

local byte = string.byte
local error = error
local find = string.find
local sub = string.sub
local type = type

local _M = {}
setmetatable(_M, { __index = string })

--- Finds `needle` as it stands.
---@param haystack string
---@param needle string
---@param from integer?
---@return integer? first
---@return integer? last
function _M.find(haystack, needle, from)
  return find(haystack, needle, from or 1, true)
end

local function check_strings(text, part)
  if type(text) ~= "string" or type(part) ~= "string" then
    error("unexpected type: text and part must be strings, got " .. type(text) .. " and " .. type(part), 3)
  end
end

---@param text string
---@param prefix string
---@return boolean
function _M.has_prefix(text, prefix)
  check_strings(text, prefix)
  return sub(text, 1, #prefix) == prefix
end

---@param text string
---@param suffix string
---@return boolean
function _M.has_suffix(text, suffix)
  check_strings(text, suffix)
  return #text >= #suffix and sub(text, #text - #suffix + 1) == suffix
end

--- Returns the last position of the character `char`, looking backwards from `from` (the end when left out).
---@param text string
---@param char string
---@param from integer?
---@return integer?
function _M.rfind_char(text, char, from)
  local code = byte(char)
  for index = from or #text, 1, -1 do
    if byte(text, index) == code then
      return index
    end
  end
  return nil
end

--- Parses a query string, however many arguments it has.
---@param text string
---@return table
function _M.decode_args(text)
  return (query.decode(text, 0))
end

_M.encode_args = query.encode

--- Shortens a Lua script for Redis: comments, blank lines and indentation go.
---@param script string
---@return string
function _M.compress_script(script)
  script = script:gsub("%-%-%[%[.-%]%]", ""):gsub("%-%-[^\r\n]*", "")
  script = script:gsub("[ \t\r]+\n", "\n"):gsub("\n[ \t\n]+", "\n")
  return (script:gsub("^%s+", ""):gsub("%s+$", ""))
end

return _M
