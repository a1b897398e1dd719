-- SPDX-License-Identifier: Apache-2.0
--- `resty.random`: random bytes from the system.

local ffi = require("ffi")
local native = require("moongate.native")

local C = native.C

local _M = { _VERSION = "0.15" }

--- Returns `count` bytes fit for secrets; nil when the system has none.
---@param count integer
---@return string?
function _M.bytes(count)
  local out = ffi.new("char[?]", count)
  if C.mg_random_bytes(out, count) == 0 then
    return nil
  end
  return ffi.string(out, count)
end

--- Returns a random text of letters, digits, `-` and `_`.
---@param count integer
---@return string
function _M.token(count)
  local bytes = _M.bytes(count) or error("the system has no random bytes to give", 2)
  return require("moongate.encoding").encode_base64url(bytes):sub(1, count)
end

--- Returns a random number from `low` to `high`.
---@param low integer
---@param high integer
---@return integer
function _M.number(low, high)
  local bytes = _M.bytes(6) or error("the system has no random bytes to give", 2)
  local number = 0
  for index = 1, 6 do
    number = number * 256 + bytes:byte(index)
  end
  return low + number % (high - low + 1)
end

return _M
