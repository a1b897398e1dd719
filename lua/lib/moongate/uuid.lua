-- SPDX-License-Identifier: Apache-2.0
--- UUIDs of version 4 (random) and 7 (ordered by time). C makes them: a plugin may want one for every request.

local ffi = require("ffi")
local native = require("moongate.native")

local error = error
local ffi_string = ffi.string
local mg_now_fresh = native.C.mg_now_fresh
local mg_uuid_v4 = native.C.mg_uuid_v4
local mg_uuid_v7 = native.C.mg_uuid_v7

local size = 36
local text = ffi.new("char[?]", size)

local function taken(is_made)
  if is_made == 0 then
    error("the system has no random bytes to give", 3)
  end
  return ffi_string(text, size)
end

local _M = {}

---@return string
function _M.v4()
  return taken(mg_uuid_v4(text))
end

---@return string
function _M.v7()
  return taken(mg_uuid_v7(mg_now_fresh() * 1000, text))
end

return _M
