-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.utils.content-decode")`: bodies in plain text for plugins that read them.

local ffi = require("ffi")
local native = require("moongate.native")

local C = native.C
local type = type

local out = ffi.new("mg_text[1]")
local decoders = {}

local _M = {}

local function make_decoder(number)
  return function(data, size_max)
    local is_plain = C.mg_content_decode(number, data, #data, size_max or 0, out) == 1
    local text = native.text(out[0])
    C.mg_content_forget()
    if is_plain then
      return text
    end
    return nil, text
  end
end

--- Returns what decodes a whole body of this Content-Encoding (gzip, deflate, br, zstd); nil for another. It takes the
--- body and at most how many bytes may come out (64 MB), and returns the text, or nil and why not: broken, cut short, or
--- larger than the limit or than 200 times what was sent.
---@param encoding string
---@return (fun(data: string, size_max: integer?): string?, string?)?
function _M.dispatch_decoder(encoding)
  if type(encoding) ~= "string" then
    return nil
  end
  local number = C.mg_content_coding(encoding, #encoding)
  if number == 0 then
    return nil
  end
  decoders[number] = decoders[number] or make_decoder(number)
  return decoders[number]
end

return _M
