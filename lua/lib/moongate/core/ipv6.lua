-- SPDX-License-Identifier: Apache-2.0
--- Reading IPv6 addresses in Lua, for configuration; requests are matched by the runtime (mg_address_in_cidr).

local tonumber = tonumber
local type = type

local _M = {}

local function read_groups(text)
  local groups = {}
  if text == "" then
    return groups
  end
  for part in (text .. ":"):gmatch("([^:]*):") do
    if part:find(".", 1, true) then
      local a, b, c, d = part:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
      a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
      if not a or a > 255 or b > 255 or c > 255 or d > 255 then
        return nil
      end
      groups[#groups + 1] = a * 256 + b
      groups[#groups + 1] = c * 256 + d
    elseif part:find("^%x%x?%x?%x?$") then
      groups[#groups + 1] = tonumber(part, 16)
    else
      return nil
    end
  end
  return groups
end

--- Returns the eight groups, or false.
---@param text string     with or without brackets
---@return integer[]|false
function _M.parse(text)
  if type(text) ~= "string" then
    return false
  end
  text = text:match("^%[(.*)%]$") or text
  local head, tail = text:match("^(.-)::(.*)$")
  if not head then
    local groups = read_groups(text)
    return groups and #groups == 8 and groups or false
  end
  local before, after = read_groups(head), read_groups(tail)
  if not before or not after or tail:find("::", 1, true) or #before + #after > 7 then
    return false
  end
  for _ = #before + #after + 1, 8 do
    before[#before + 1] = 0
  end
  for index = 1, #after do
    before[#before + 1] = after[index]
  end
  return before
end

return _M
