-- SPDX-License-Identifier: Apache-2.0
--- `resty.jwt` as far as plugins use it: reading a token, verifying it, signing with a shared secret.
--
-- The caller fixes the algorithm by the kind of secret: PEM text never serves as a shared secret and a shared secret
-- never as a public key, whatever the token's header asks for. `none` is no algorithm here.

local digest = require("moongate.ngx.digest")
local encoding = require("moongate.encoding")
local json = require("moongate.core.json")
local native = require("moongate.native")

local C = native.C
local find = string.find
local floor = math.floor
local pairs = pairs
local type = type

local token_max_bytes = 16 * 1024

local _M = { _VERSION = "0.2.6" }

local shared_secret = { HS256 = "sha256", HS384 = "sha384", HS512 = "sha512" }
local public_key = {
  RS256 = true, RS384 = true, RS512 = true, PS256 = true, PS384 = true, PS512 = true, ES256 = true, ES384 = true,
  ES512 = true, EdDSA = true,
}

local function failed(reason, token)
  return { valid = false, verified = false, reason = reason, raw = token }
end

local function decode_part(text)
  local raw = encoding.decode_base64url(text)
  local value = raw and json.decode(raw)
  return type(value) == "table" and value or nil
end

--- Reads a token without believing it: {valid, header, payload, signature, raw_header, raw_payload} or {valid = false,
--- reason}.
---@param token string
---@return table
function _M:load_jwt(token)
  if type(token) ~= "string" or #token > token_max_bytes then
    return failed("invalid jwt string", token)
  end
  local raw_header, raw_payload, signature = token:match("^([%w_-]+)%.([%w_-]+)%.([%w_-]*)$")
  if not raw_header then
    return failed("invalid jwt string", token)
  end
  local header = decode_part(raw_header)
  if not header then
    return failed("invalid header: " .. raw_header, token)
  end
  local payload = decode_part(raw_payload)
  if not payload then
    return failed("invalid payload: " .. raw_payload, token)
  end
  return {
    valid = true, verified = false, raw_header = raw_header, raw_payload = raw_payload, header = header,
    payload = payload, signature = signature,
  }
end

local function verify_signature(jwt, secret)
  local algorithm = jwt.header.alg
  local signed = jwt.raw_header .. "." .. jwt.raw_payload
  local signature = encoding.decode_base64url(jwt.signature)
  if not signature or signature == "" then
    return false, "signature mismatch: " .. tostring(jwt.signature)
  end
  local is_pem = find(secret, "-----BEGIN ", 1, true) ~= nil
  if shared_secret[algorithm] then
    if secret == "" or is_pem then
      return false, "the secret cannot be used with " .. algorithm
    end
    local expected = digest.hmac(shared_secret[algorithm], secret, signed)
    if not digest.is_equal(expected, signature) then
      return false, "signature mismatch: " .. jwt.signature
    end
    return true
  end
  if not public_key[algorithm] then
    return false, "invalid alg: " .. tostring(algorithm)
  end
  local is_valid, err = digest.verify_signature(algorithm, secret, signed, signature)
  if not is_valid then
    return false, err or "signature mismatch: " .. jwt.signature
  end
  return true
end

local function check_times(payload, leeway_s)
  local now = floor(C.mg_now())
  for _, name in ipairs({ "exp", "nbf" }) do
    if payload[name] ~= nil and type(payload[name]) ~= "number" then
      return false, "'" .. name .. "' is malformed.  Expected to be a positive numeric value."
    end
  end
  if payload.exp and payload.exp + leeway_s <= now then
    return false, "'exp' claim expired at " .. require("moongate.ngx.time").http_time(payload.exp)
  end
  if payload.nbf and payload.nbf - leeway_s > now then
    return false, "'nbf' claim not valid until " .. require("moongate.ngx.time").http_time(payload.nbf)
  end
  return true
end

--- Verifies a token that load_jwt has read: signature, `exp`, `nbf` and the claims in `spec`: functions of a claim's
--- value, and lifetime_grace_period in seconds.
---@param secret string        shared secret, or public key or certificate as PEM
---@param jwt table
---@param spec table?
---@return table jwt           `verified` and `reason` say what came out
function _M:verify_jwt_obj(secret, jwt, spec)
  if not jwt.valid then
    return jwt
  end
  spec = spec or {}
  local ok, reason = verify_signature(jwt, type(secret) == "string" and secret or "")
  if ok then
    ok, reason = check_times(jwt.payload, spec.lifetime_grace_period or 0)
  end
  for claim, check in pairs(spec) do
    if ok and type(check) == "function" then
      local is_right, verdict = pcall(check, jwt.payload[claim], claim)
      if not is_right or not verdict then
        ok, reason = false, "Claim '" .. claim .. "' ('" .. tostring(jwt.payload[claim]) .. "') returned failure"
      end
    end
  end
  jwt.verified = ok
  jwt.reason = ok and "signature and claims are valid" or reason
  return jwt
end

--- Reads and verifies a token. A secret may be a function of the token's `kid`.
---@param secret string|fun(kid: string): string?
---@param token string
---@param spec table?
---@return table jwt
function _M:verify(secret, token, spec)
  local jwt = _M:load_jwt(token)
  if jwt.valid and type(secret) == "function" then
    secret = secret(jwt.header.kid)
  end
  return _M:verify_jwt_obj(secret, jwt, spec)
end

--- Makes a token signed with a shared secret.
---@param secret string
---@param jwt {header: table, payload: table}
---@return string
function _M:sign(secret, jwt)
  local algorithm = shared_secret[jwt.header.alg]
  if not algorithm then
    error("unsupported alg: " .. tostring(jwt.header.alg), 2)
  end
  local header = encoding.encode_base64url(json.encode(jwt.header))
  local signed = header .. "." .. encoding.encode_base64url(json.encode(jwt.payload))
  return signed .. "." .. encoding.encode_base64url(digest.hmac(algorithm, secret, signed))
end

return _M
