-- SPDX-License-Identifier: Apache-2.0
--- `resty.core.regex`: compiling patterns ahead, which plugins do to check them.

local regex = require("moongate.ngx.regex")

local _M = {}

--- Compiles a pattern; nil and the reason when it is broken.
---@param pattern string
---@param options string?
---@return table? compiled
---@return string? err
function _M.re_match_compile(pattern, options)
  return regex.compile(pattern, options)
end

return _M
