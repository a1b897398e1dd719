-- SPDX-License-Identifier: Apache-2.0
--- One line of an HTTP head or of a part's: `Name: value`.

local match = string.match

local _M = {}

--- Takes a line apart. Whoever sent it writes what is matched here: no pattern may try the white space at the end once more from
--- each of its places.
---@param line string
---@return string? name      as it is written; nil for what is no such line
---@return string? value     without the white space around it
function _M.split(line)
  local name, value = match(line, "^([%w!#$%%&'*+.^_`|~-]+):[ \t]*(.*)$")
  return name, name and (match(value, "^.*[^ \t]") or "")
end

return _M
