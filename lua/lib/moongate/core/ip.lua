-- SPDX-License-Identifier: Apache-2.0
--- `core.ip`: matching addresses against lists of addresses and networks.

local ipmatcher = require("resty.ipmatcher")

local _M = {}

--- Makes a matcher for a list of addresses and networks.
---@param list string[]
---@return table? matcher     has `:match(ip)` which gives a boolean
---@return string? err
function _M.create_ip_matcher(list)
  local matcher, err = ipmatcher.new(list)
  if not matcher then
    require("moongate.core.log").error("failed to create ip matcher: ", err)
    return nil, err
  end
  return matcher
end

--- Tells whether `text` is an address or a network.
---@param text string
---@return boolean
function _M.validate_cidr_or_ip(text)
  return ipmatcher.is_valid(text)
end

return _M
