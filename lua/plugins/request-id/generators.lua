-- SPDX-License-Identifier: Apache-2.0
--- Makes request ids: one function for each `algorithm`. All take their chance from the system's random source, so that no
--- id can be guessed.

local ffi = require("ffi")
local bit = require("bit")
local native = require("moongate.native")
local uuid = require("moongate.uuid")

local C = native.C
local band = bit.band
local char = string.char
local concat = table.concat
local error = error
local floor = math.floor
local sub = string.sub

local drawn = ffi.new("uint8_t[21]")

local function draw(count)
  if C.mg_random_cut(drawn, count) == 0 then
    error("the system has no random bytes to give")
  end
end

local _M = {
  uuid = uuid.v4, -- random
  uuidv7 = uuid.v7, -- begins with the time in milliseconds
}

local nano_alphabet = "useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict"
local nano = {}
for index = 1, #nano_alphabet do
  nano[index - 1] = sub(nano_alphabet, index, index)
end

--- 21 characters of 64: as unlikely to repeat as a UUID.
---@return string
function _M.nanoid()
  draw(21)
  local out = {}
  for index = 1, 21 do
    out[index] = nano[band(drawn[index - 1], 63)]
  end
  return concat(out)
end

--- `length` characters of `char_set`, each equally likely: bytes above the last whole multiple are drawn again.
---@param options table    {length, char_set}
---@return string
function _M.range_id(options)
  local set = options.char_set
  local size = #set
  local fair = size <= 256 and 256 - 256 % size or 65536 - 65536 % size
  local out = {}
  local count = 0
  while count < options.length do
    draw(2)
    local number = size <= 256 and drawn[0] or drawn[0] * 256 + drawn[1]
    if number < fair then
      count = count + 1
      local index = number % size + 1
      out[count] = sub(set, index, index)
    end
  end
  return concat(out)
end

local base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
local ksuid_epoch = 1400000000
local words = ffi.new("double[5]")

--- Divides the 160-bit number in `words` by 62 in place and returns the remainder.
local function divide()
  local rest = 0
  for index = 0, 4 do
    local value = rest * 4294967296 + words[index]
    words[index] = floor(value / 62)
    rest = value - words[index] * 62
  end
  return rest
end

--- A KSUID: 32 bits of time in seconds and 128 random bits as 27 characters that sort by time.
---@return string
function _M.ksuid()
  draw(16)
  words[0] = floor(C.mg_now_fresh()) - ksuid_epoch
  for index = 1, 4 do
    local at = (index - 1) * 4
    words[index] = ((drawn[at] * 256 + drawn[at + 1]) * 256 + drawn[at + 2]) * 256 + drawn[at + 3]
  end
  local out = {}
  for index = 27, 1, -1 do
    out[index] = char(base62:byte(divide() + 1))
  end
  return concat(out)
end

return _M
