-- SPDX-License-Identifier: Apache-2.0
--- `resty.hmac`: `hmac:new(key, hmac.ALGOS.SHA256):final(text)`.

local digest = require("moongate.ngx.digest")
local encoding = require("moongate.encoding")

local concat = table.concat
local setmetatable = setmetatable

local _M = {
  _VERSION = "0.06",
  ALGOS = { MD5 = "md5", SHA1 = "sha1", SHA224 = "sha224", SHA256 = "sha256", SHA384 = "sha384", SHA512 = "sha512" },
}
local hmac_mt = { __index = _M }

--- Starts a code with `key`; the algorithm is MD5 unless given.
function _M:new(key, algorithm)
  return setmetatable({ key = key, algorithm = algorithm or "md5", parts = {} }, hmac_mt)
end

--- Takes more data.
---@return boolean
function _M:update(data)
  self.parts[#self.parts + 1] = data
  return true
end

--- Returns the code over all data, as bytes or as hex digits.
---@param data string?
---@param is_hex boolean?
---@return string
function _M:final(data, is_hex)
  local code = digest.hmac(self.algorithm, self.key, concat(self.parts) .. (data or ""))
  return is_hex and encoding.to_hex(code) or code
end

--- Forgets the data so far.
---@return boolean
function _M:reset()
  self.parts = {}
  return true
end

return _M
