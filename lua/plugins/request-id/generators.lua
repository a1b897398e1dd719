-- SPDX-License-Identifier: Apache-2.0
--- Makes request ids: one function for each `algorithm`. All take their chance from the system's random source,
--- fetched a page at a time, so that an id costs no call and cannot be guessed.

local ffi = require("ffi")
local bit = require("bit")
local native = require("moongate.native")

local C = native.C
local band = bit.band
local bor = bit.bor
local char = string.char
local concat = table.concat
local error = error
local ffi_string = ffi.string
local floor = math.floor
local sub = string.sub

local page_size = 4096
local page = ffi.new("uint8_t[?]", page_size)
local page_chars = ffi.cast("char *", page)
local position = page_size

--- Returns where `count` unused random bytes begin in the page.
local function reserve(count)
  local start = position
  if start + count > page_size then
    if C.mg_random_bytes(page_chars, page_size) == 0 then
      error("the system gives no random bytes")
    end
    start = 0
  end
  position = start + count
  return start
end

-- A byte as two hexadecimal digits, in one store.
local hex = ffi.new("uint16_t[256]")
for code = 0, 255 do
  ffi.copy(hex + code, ("%02x"):format(code), 2)
end

-- xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, written over and over; the groups as pairs of digits.
local text = ffi.new("char[36]")
ffi.fill(text, 36, 45)
local pairs_at_0 = ffi.cast("uint16_t *", text)
local pairs_at_9 = ffi.cast("uint16_t *", text + 9)
local pairs_at_14 = ffi.cast("uint16_t *", text + 14)
local pairs_at_19 = ffi.cast("uint16_t *", text + 19)
local pairs_at_24 = ffi.cast("uint16_t *", text + 24)

local function join(p, b6, b8)
  pairs_at_0[0], pairs_at_0[1], pairs_at_0[2], pairs_at_0[3] = hex[page[p]], hex[page[p + 1]], hex[page[p + 2]], hex[page[p + 3]]
  pairs_at_9[0], pairs_at_9[1] = hex[page[p + 4]], hex[page[p + 5]]
  pairs_at_14[0], pairs_at_14[1] = hex[b6], hex[page[p + 7]]
  pairs_at_19[0], pairs_at_19[1] = hex[b8], hex[page[p + 9]]
  pairs_at_24[0], pairs_at_24[1], pairs_at_24[2] = hex[page[p + 10]], hex[page[p + 11]], hex[page[p + 12]]
  pairs_at_24[3], pairs_at_24[4], pairs_at_24[5] = hex[page[p + 13]], hex[page[p + 14]], hex[page[p + 15]]
  return ffi_string(text, 36)
end

local _M = {}

--- A random UUID (version 4).
---@return string
function _M.uuid()
  local p = reserve(16)
  return join(p, bor(band(page[p + 6], 0x0f), 0x40), bor(band(page[p + 8], 0x3f), 0x80))
end

--- A UUID that begins with the time in milliseconds (version 7).
---@return string
function _M.uuidv7()
  local p = reserve(16)
  local time = floor(C.mg_now_fresh() * 1000)
  for index = 5, 0, -1 do
    page[p + index] = time % 256
    time = floor(time / 256)
  end
  return join(p, bor(band(page[p + 6], 0x0f), 0x70), bor(band(page[p + 8], 0x3f), 0x80))
end

local nano_alphabet = "useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict"
local nano = {}
for index = 1, #nano_alphabet do
  nano[index - 1] = sub(nano_alphabet, index, index)
end

--- 21 characters of 64: as unlikely to repeat as a UUID.
---@return string
function _M.nanoid()
  local p = reserve(21)
  local out = {}
  for index = 1, 21 do
    out[index] = nano[band(page[p + index - 1], 63)]
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
    local p = reserve(2)
    local drawn = size <= 256 and page[p] or page[p] * 256 + page[p + 1]
    if drawn < fair then
      count = count + 1
      local index = drawn % size + 1
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
  local p = reserve(16)
  words[0] = floor(C.mg_now_fresh()) - ksuid_epoch
  for index = 1, 4 do
    local at = p + (index - 1) * 4
    words[index] = ((page[at] * 256 + page[at + 1]) * 256 + page[at + 2]) * 256 + page[at + 3]
  end
  local out = {}
  for index = 27, 1, -1 do
    out[index] = char(base62:byte(divide() + 1))
  end
  return concat(out)
end

return _M
