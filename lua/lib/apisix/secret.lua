-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.secret")`: references in confs. A plugin's own conf has what they stand for already; this is for what
--- it reads elsewhere. One that cannot be had is left as it stands, with an error in the log.

local env = require("moongate.core.env")
local log = require("moongate.core.log")
local secrets = require("moongate.secrets")

local pairs = pairs
local setmetatable = setmetatable
local sub = string.sub
local type = type
local upper = string.upper

local depth_max = 64

local _M = {}

local function is_env(value)
  return upper(sub(value, 1, 7)) == "$ENV://"
end

--- Tells whether a value is a reference to a secret.
---@param value any
---@return boolean
function _M.is_secret_ref(value)
  return type(value) == "string" and (is_env(value) or secrets.is_reference(value))
end

local function resolve(value)
  if is_env(value) then
    local found, err = env.fetch_by_uri(value)
    if found ~= nil then
      return found
    end
    log.error("failed to fetch secret value of ", value, ": ", err or "not set")
  elseif secrets.is_reference(value) then
    local found, err = secrets.get(value)
    if found ~= nil then
      return found
    end
    log.error("failed to fetch secret value of ", err)
  end
  return value
end

local function copy(value, depth)
  if type(value) == "string" then
    return resolve(value)
  end
  if type(value) ~= "table" or depth > depth_max then
    return value
  end
  local result = {}
  for key, item in pairs(value) do
    result[key] = copy(item, depth + 1)
  end
  return setmetatable(result, getmetatable(value))
end

local function has_reference(value, depth)
  if type(value) ~= "table" or depth > depth_max then
    return _M.is_secret_ref(value)
  end
  for _, item in pairs(value) do
    if has_reference(item, depth + 1) then
      return true
    end
  end
  return false
end

--- Returns a copy of a conf with the references resolved; the conf itself when it has none. May wait for a manager.
---@param conf table?
---@return table?
function _M.fetch_secrets(conf)
  if not conf or not has_reference(conf, 1) then
    return conf
  end
  return copy(conf, 1)
end

return _M
