-- SPDX-License-Identifier: Apache-2.0
--- `resty.string`: hex and numbers.

local encoding = require("moongate.encoding")

local _M = { _VERSION = "0.15", to_hex = encoding.to_hex }

--- Reads decimal digits; nil when there are others.
---@param text string
---@return integer?
function _M.atoi(text)
  return text:find("^%d+$") and tonumber(text) or nil
end

return _M
