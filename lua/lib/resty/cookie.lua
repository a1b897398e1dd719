-- SPDX-License-Identifier: Apache-2.0
--- `resty.cookie`: reading the request's cookies and setting those of the answer.

local cookies = require("moongate.cookies")
local fields = require("moongate.fields")
local phase = require("moongate.phase")

local ipairs = ipairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local _M = { _VERSION = "0.4.1" }
local cookie_mt = { __index = _M }

---@return table
function _M:new()
  return setmetatable({ header = fields.request_get(phase.exchange(nil), "cookie") }, cookie_mt)
end

--- Returns all cookies by name.
---@return table<string, string>? all
---@return string? err
function _M:get_all()
  if not self.header then
    return nil, "no cookie found in the current request"
  end
  self.all = self.all or cookies.parse(self.header)
  return self.all
end

--- Returns one cookie.
---@param name string
---@return string? value
---@return string? err
function _M:get(name)
  local all, err = self:get_all()
  if not all then
    return nil, err
  end
  return all[name]
end

function _M.get_cookie_size(cookie)
  return #cookie.key + #cookie.value
end

local attributes = {
  { "expires", "Expires" }, { "max_age", "Max-Age" }, { "domain", "Domain" }, { "path", "Path" },
  { "samesite", "SameSite" },
}

--- Adds a Set-Cookie header: {key=, value=, path=, domain=, max_age=, expires=, samesite=, secure=, httponly=, extension=}.
---@param cookie table
---@return boolean? ok
---@return string? err
function _M:set(cookie)
  if type(cookie.key) ~= "string" or cookie.value == nil then
    return nil, 'missing cookie field "key" or "value"'
  end
  local text = cookie.key .. "=" .. tostring(cookie.value)
  for _, attribute in ipairs(attributes) do
    local value = cookie[attribute[1]]
    if value ~= nil then
      text = text .. "; " .. attribute[2] .. "=" .. tostring(value)
    end
  end
  text = text .. (cookie.secure and "; Secure" or "") .. (cookie.httponly and "; HttpOnly" or "")
    .. (cookie.extension and "; " .. cookie.extension or "")
  return fields.response_add(phase.exchange(nil), "Set-Cookie", text)
end

return _M
