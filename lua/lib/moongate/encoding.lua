-- SPDX-License-Identifier: Apache-2.0
--- Text encodings on top of the native ones: base64, percent-encoding, hex. One scratch buffer serves all; it is given
--- back when one call has made it large.

local ffi = require("ffi")
local native = require("moongate.native")
local bit = require("bit")

local C = native.C
local byte = string.byte
local concat = table.concat
local ffi_new = ffi.new
local ffi_string = ffi.string
local find = string.find
local rshift = bit.rshift
local band = bit.band
local tonumber = tonumber

local scratch_keep_max_bytes = 64 * 1024

local scratch_size = 4096
local scratch = ffi_new("char[?]", scratch_size)

local function room(size)
  if size <= scratch_size then
    return scratch
  end
  if size > scratch_keep_max_bytes then
    return ffi_new("char[?]", size)
  end
  scratch_size = size * 2
  scratch = ffi_new("char[?]", scratch_size)
  return scratch
end

local _M = {}

---@param text string
---@param is_unpadded boolean?
---@return string
function _M.encode_base64(text, is_unpadded)
  local out = room(#text * 4 / 3 + 8)
  local size = C.mg_base64_encode(text, #text, 0, is_unpadded and 0 or 1, out)
  return ffi_string(out, size)
end

---@param text string
---@return string?    nil when it is no base64
function _M.decode_base64(text)
  local out = room(#text + 1)
  local size = tonumber(C.mg_base64_decode(text, #text, 0, out))
  if size < 0 then
    return nil
  end
  return ffi_string(out, size)
end

---@param text string
---@param is_padded boolean?
---@return string
function _M.encode_base64url(text, is_padded)
  local out = room(#text * 4 / 3 + 8)
  local size = C.mg_base64_encode(text, #text, 1, is_padded and 1 or 0, out)
  return ffi_string(out, size)
end

---@param text string
---@return string?
function _M.decode_base64url(text)
  local out = room(#text + 1)
  local size = tonumber(C.mg_base64_decode(text, #text, 1, out))
  if size < 0 then
    return nil
  end
  return ffi_string(out, size)
end

--- Percent-encodes. Kind 0 leaves what a path may hold, 2 (the default) only what any component may.
---@param text string
---@param kind integer?
---@return string
function _M.escape_uri(text, kind)
  local out = room(#text * 3 + 1)
  local size = C.mg_escape_uri(text, #text, kind or 2, out)
  return ffi_string(out, size)
end

--- Undoes percent-encoding; `+` becomes a space. A `%` that starts no code stays.
---@param text string
---@return string
function _M.unescape_uri(text)
  if not find(text, "%", 1, true) and not find(text, "+", 1, true) then
    return text
  end
  local out = room(#text + 1)
  local size = C.mg_unescape_uri(text, #text, out)
  return ffi_string(out, size)
end

---@param text string
---@return integer
function _M.crc32(text)
  return tonumber(C.mg_crc32(text, #text))
end

local hex_digits = "0123456789abcdef"
local hex_of = {}
for code = 0, 255 do
  local high, low = rshift(code, 4) + 1, band(code, 15) + 1
  hex_of[code] = hex_digits:sub(high, high) .. hex_digits:sub(low, low)
end

--- Returns the bytes of `text` as lower-case hex digits.
---@param text string
---@return string
function _M.to_hex(text)
  local parts = {}
  for index = 1, #text do
    parts[index] = hex_of[byte(text, index)]
  end
  return concat(parts)
end

---@param text string
---@return string?    nil when it is no hex
function _M.from_hex(text)
  if #text % 2 ~= 0 or find(text, "[^%x]") then
    return nil
  end
  return (text:gsub("%x%x", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

return _M
