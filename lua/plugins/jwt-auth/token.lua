-- SPDX-License-Identifier: Apache-2.0
--- One JSON Web Token in compact form (RFC 7515, 7519): taken apart, its signature checked, its times checked.
--
-- The algorithm is the consumer's, never the token's: `verify` is told which one to use and only then looks whether
-- the token claims the same. A secret serves HS*, a public key everything else, and neither is ever taken for the other.

local core = require("apisix.core")
local ffi = require("ffi")
local native = require("moongate.native")

local C = native.C
local byte = string.byte
local ffi_string = ffi.string
local find = string.find
local ipairs = ipairs
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local type = type

local _M = {}
local methods = {}
methods.__index = methods

--- Longer tokens are refused unread.
_M.size_max_bytes = 16384

local digest_of = { HS256 = "sha256", HS384 = "sha384", HS512 = "sha512" }
_M.digest_of = digest_of

local decoded = ffi.new("char[?]", _M.size_max_bytes + 4)
local mac = ffi.new("char[64]")
local reason = ffi.new("char[256]")

---@class plugin.Jwt
---@field header table
---@field payload table
---@field signed_size integer    how much of `text` is signed
---@field text string
---@field signature string

local function decode_part(text)
  local size = tonumber(C.mg_base64_decode(text, #text, 1, decoded))
  if size < 0 then
    return nil
  end
  return ffi_string(decoded, size)
end

local function decode_object(text)
  local json = decode_part(text)
  if not json then
    return nil, "no base64url"
  end
  -- JSON's white space is all below `!`; an array or a string would decode as well.
  local start = 1
  while (byte(json, start) or 33) < 33 do
    start = start + 1
  end
  if byte(json, start) ~= 123 then -- {
    return nil, "no JSON object"
  end
  local value = core.json.decode(json)
  if type(value) ~= "table" then
    return nil, "bad JSON"
  end
  return value
end

--- Takes a token apart. Says nothing yet about whether it is genuine.
---@param text string
---@return plugin.Jwt?
---@return string? err
function _M.parse(text)
  if #text > _M.size_max_bytes then
    return nil, "the token is too long"
  end
  local first = find(text, ".", 1, true)
  local second = first and find(text, ".", first + 1, true)
  if not second or find(text, ".", second + 1, true) then
    return nil, "the token has not three parts"
  end
  local header, payload, err
  header, err = decode_object(sub(text, 1, first - 1))
  if not header then
    return nil, "header: " .. err
  end
  payload, err = decode_object(sub(text, first + 1, second - 1))
  if not payload then
    return nil, "payload: " .. err
  end
  local signature = decode_part(sub(text, second + 1))
  if not signature then
    return nil, "signature: no base64url"
  end
  if header.crit ~= nil then
    return nil, "header: extensions named in crit are not supported"
  end
  return setmetatable({
    header = header, payload = payload, signed_size = second - 1, text = text, signature = signature,
  }, methods)
end

local function verify_mac(token, secret)
  if not secret or secret == "" then
    return false, "the consumer has no secret"
  end
  local size = C.mg_hmac(digest_of[token.header.alg], secret, #secret, token.text, token.signed_size, mac)
  if size == 0 then
    return false, "the signature cannot be computed"
  end
  if C.mg_equal_constant_time(mac, size, token.signature, #token.signature) ~= 1 then
    return false, "signature mismatch"
  end
  return true
end

local function verify_with_public_key(token, pem)
  if not pem then
    return false, "the consumer has no public key"
  end
  local result = C.mg_signature_verify(token.header.alg, pem, #pem, token.text, token.signed_size, token.signature,
    #token.signature, reason, 256)
  if result == 1 then
    return true
  end
  if result < 0 then
    return false, "the consumer's public key cannot be used: " .. ffi_string(reason)
  end
  return false, "signature mismatch"
end

--- Checks the signature.
---@param keys table    {algorithm, secret, public_key} of the consumer; the secret is raw bytes
---@return boolean ok
---@return string? err
function methods:verify(keys)
  if self.header.alg ~= keys.algorithm then
    return false, "the token's algorithm is not the consumer's"
  end
  if digest_of[keys.algorithm] then
    return verify_mac(self, keys.secret)
  end
  return verify_with_public_key(self, keys.public_key)
end

local is_valid_at = {
  exp = function(value, now, leeway)
    return now < value + leeway, "exp: the token has expired"
  end,
  nbf = function(value, now, leeway)
    return now >= value - leeway, "nbf: the token is not valid yet"
  end,
}

local function check_claim(payload, claim, now, leeway, is_required)
  local value = payload[claim]
  if value == nil then
    if is_required then
      return false, claim .. ": the claim is missing"
    end
    return true
  end
  if type(value) ~= "number" then
    return false, claim .. ": the claim is no number"
  end
  local ok, err = is_valid_at[claim](value, now, leeway)
  return ok, not ok and err or nil
end

--- Checks the times in the payload. Both are checked when present; those listed must be present.
---@param required string[]?    of "exp" and "nbf"
---@param now number            seconds since 1970
---@param leeway number         seconds by which clocks may differ
---@return boolean ok
---@return string? err
function methods:verify_times(required, now, leeway)
  for _, claim in ipairs(required or {}) do
    local ok, err = check_claim(self.payload, claim, now, leeway, true)
    if not ok then
      return false, err
    end
  end
  local ok, err = check_claim(self.payload, "exp", now, leeway, false)
  if not ok then
    return false, err
  end
  return check_claim(self.payload, "nbf", now, leeway, false)
end

return _M
