-- SPDX-License-Identifier: Apache-2.0
--- `core.os`: the operating system as far as plugins need it.

local ffi = require("ffi")

ffi.cdef([[int setenv(const char *name, const char *value, int overwrite);]])

local _M = {}
setmetatable(_M, { __index = os })

--- Sets an environment variable of this process; false when the arguments cannot be one.
---@param name string
---@param value string|number|boolean
---@return boolean
function _M.setenv(name, value)
  if name == nil or value == nil then
    return false
  end
  return ffi.C.setenv(tostring(name), tostring(value), 1) == 0
end

return _M
