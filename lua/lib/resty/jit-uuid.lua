-- SPDX-License-Identifier: Apache-2.0
--- `resty.jit-uuid`: UUIDs. They are random from the start; `seed` is there because programs call it.

local uuid = require("moongate.uuid")

local _M = { _VERSION = "0.0.7", generate_v4 = uuid.v4, generate_v7 = uuid.v7 }

function _M.seed() end

--- Tells whether `text` is a UUID.
---@param text any
---@return boolean
function _M.is_valid(text)
  if type(text) ~= "string" or #text ~= 36 then
    return false
  end
  return text:find("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$") ~= nil
end

return setmetatable(_M, { __call = uuid.v4 })
