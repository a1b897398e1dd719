-- SPDX-License-Identifier: Apache-2.0
--- Digests as Lua functions, for `ngx.*` and `resty.*`.

local ffi = require("ffi")
local encoding = require("moongate.encoding")
local native = require("moongate.native")

local C = native.C
local error = error
local ffi_gc = ffi.gc
local ffi_string = ffi.string
local setmetatable = setmetatable
local tostring = tostring

local out = ffi.new("char[64]")
local error_size = 256
local error_text = ffi.new("char[?]", error_size)

local _M = {}

--- Returns the digest of `data` as bytes.
---@param algorithm string     "md5", "sha1", "sha224", "sha256", "sha384", "sha512"
---@param data string
---@return string
function _M.digest(algorithm, data)
  data = tostring(data)
  local size = C.mg_digest(algorithm, data, #data, out)
  if size == 0 then
    error("unknown digest algorithm " .. algorithm, 2)
  end
  return ffi_string(out, size)
end

--- Returns the HMAC of `data` as bytes.
---@param algorithm string
---@param key string
---@param data string
---@return string
function _M.hmac(algorithm, key, data)
  local size = C.mg_hmac(algorithm, key, #key, data, #data, out)
  if size == 0 then
    error("unknown digest algorithm " .. algorithm, 2)
  end
  return ffi_string(out, size)
end

--- Verifies a JWS signature with a public key or certificate (RS*, PS*, ES*, EdDSA; not HS*).
---@param algorithm string
---@param pem string
---@param data string
---@param signature string     raw bytes
---@return boolean? valid      nil when the key cannot be used
---@return string? err
function _M.verify_signature(algorithm, pem, data, signature)
  local verdict = C.mg_signature_verify(algorithm, pem, #pem, data, #data, signature, #signature, error_text, error_size)
  if verdict < 0 then
    return nil, ffi_string(error_text)
  end
  return verdict == 1
end

--- Compares secrets in a time that tells nothing about where they differ.
---@param one string
---@param other string
---@return boolean
function _M.is_equal(one, other)
  return C.mg_equal_constant_time(one, #one, other, #other) == 1
end

function _M.md5(data)
  return encoding.to_hex(_M.digest("md5", data))
end

function _M.md5_bin(data)
  return _M.digest("md5", data)
end

function _M.sha1_bin(data)
  return _M.digest("sha1", data)
end

function _M.hmac_sha1(key, data)
  return _M.hmac("sha1", key, data)
end

local methods = {}
methods.__index = methods

--- Takes more data.
---@param data string
---@return boolean
function methods:update(data)
  return C.mg_digest_update(self._state, data, #data) == 1
end

--- Returns the digest as bytes and starts over.
---@return string?
function methods:final()
  local size = C.mg_digest_final(self._state, out)
  return size > 0 and ffi_string(out, size) or nil
end

--- Forgets the data so far.
---@return boolean
function methods:reset()
  return C.mg_digest_final(self._state, out) > 0
end

--- Makes a module with OpenResty's interface (`new`, `update`, `final`, `reset`) for one algorithm.
---@param algorithm string
---@return table
function _M.module(algorithm)
  local module = { _VERSION = "0.15" }
  function module.new()
    local state = C.mg_digest_new(algorithm)
    if state == nil then
      return nil
    end
    return setmetatable({ _state = ffi_gc(state, C.mg_digest_free) }, methods)
  end
  return module
end

return _M
