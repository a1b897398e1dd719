-- SPDX-License-Identifier: Apache-2.0
--- `core.env`: environment variables and `$env://NAME[/key]` references to them.

local json = require("moongate.core.json")

local getenv = os.getenv
local sub = string.sub
local type = type
local upper = string.upper

local _M = { PREFIX = "$env://" }

---@param name string
---@return string?
function _M.get(name)
  return getenv(name)
end

--- Returns what a reference stands for. With a key, the variable holds a JSON object and one member of it is meant.
---@param uri string     "$env://NAME" or "$env://NAME/key"; the prefix in any case
---@return any? value
---@return string? err
function _M.fetch_by_uri(uri)
  if type(uri) ~= "string" or upper(sub(uri, 1, #_M.PREFIX)) ~= upper(_M.PREFIX) then
    return nil, "error env_uri prefix: " .. tostring(uri)
  end
  local name, key = sub(uri, #_M.PREFIX + 1):match("^([^/]+)/?(.*)$")
  if not name then
    return nil, "no env name in " .. uri
  end
  local value = getenv(name)
  if value == nil or key == "" then
    return value
  end
  local object, err = json.decode(value)
  if type(object) ~= "table" then
    return nil, "failed to decode env " .. name .. ": " .. (err or "no JSON object")
  end
  return object[key]
end

return _M
