-- SPDX-License-Identifier: Apache-2.0
--- `core.math`: Lua's `math` and the greatest common divisor.

local _M = {}
setmetatable(_M, { __index = math })

---@param a integer
---@param b integer
---@return integer
function _M.gcd(a, b)
  while b ~= 0 do
    a, b = b, a % b
  end
  return a
end

return _M
