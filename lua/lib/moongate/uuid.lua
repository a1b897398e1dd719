-- SPDX-License-Identifier: Apache-2.0
--- UUIDs of version 4 (random) and 7 (ordered by time).

local ffi = require("ffi")
local bit = require("bit")
local native = require("moongate.native")

local C = native.C
local band = bit.band
local bor = bit.bor
local error = error
local floor = math.floor
local format = string.format

local bytes = ffi.new("uint8_t[16]")

local function fill()
  if C.mg_random_bytes(ffi.cast("char *", bytes), 16) == 0 then
    error("the system has no random bytes to give", 3)
  end
end

local function text(version)
  bytes[6] = bor(band(bytes[6], 0x0f), version * 16)
  bytes[8] = bor(band(bytes[8], 0x3f), 0x80)
  return format("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2],
    bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13],
    bytes[14], bytes[15])
end

local _M = {}

---@return string
function _M.v4()
  fill()
  return text(4)
end

---@return string
function _M.v7()
  fill()
  local milliseconds = floor(C.mg_now_fresh() * 1000)
  for index = 5, 0, -1 do
    bytes[index] = milliseconds % 256
    milliseconds = floor(milliseconds / 256)
  end
  return text(7)
end

return _M
