-- SPDX-License-Identifier: Apache-2.0
--- Under which key a limiter plugin counts. Shared by limit-count, rate-limiting and sliding-window-rate-limit.
--
--   limit-count|/routes/1:2786424510:=203.0.113.7
--   plugin      resource  crc32 of conf  value, `=` as configured or `@` the address because there was none
--
-- The resource and the conf keep counters of different routes apart and let them survive a reload that does not
-- touch the conf. The mark before the value keeps a client from choosing a header that equals somebody's address.
-- Where keys are only hashed, a digest of 16 bytes stands for all that comes before the mark, and they are put together in a
-- buffer of the slot: a request makes no string for them.

local core = require("apisix.core")
local plugin = require("apisix.plugin")
local ffi = require("ffi")

local ffi_copy = ffi.copy
local ffi_new = ffi.new
local tostring = tostring
local type = type

local digest_size = 16
local value_size_max_bytes = 512
local configured, fallback = 61, 64 -- the bytes of `=` and `@`

local _M = {}

---@class plugin.LimitSlot
---@field prefix string
---@field buffer ffi.cdata*      the prefix's digest, and room for the mark and a value

local function resource_of(conf, ctx)
  local meta = conf._meta
  local parent = meta and meta.parent
  if parent and parent.resource_key then
    return parent.resource_key
  end
  return tostring(ctx.conf_type) .. "#" .. tostring(ctx.conf_id)
end

--- Makes the slot in which the counters of a conf live.
---@param name string       the plugin
---@param conf table
---@param ctx moongate.Ctx
---@param suffix string?    tells apart several counters of one conf
---@return plugin.LimitSlot
function _M.new(name, conf, ctx, suffix)
  local scope
  if conf.group then
    scope = "group " .. conf.group
  else
    scope = resource_of(conf, ctx) .. ":" .. plugin.conf_version(conf)
  end
  local prefix = name .. "|" .. scope .. ":" .. (suffix and suffix .. ":" or "")
  local buffer = ffi_new("char[?]", digest_size + 1 + value_size_max_bytes)
  ffi_copy(buffer, ngx.sha1_bin(prefix), digest_size)
  return { prefix = prefix, buffer = buffer }
end

--- Returns how `value` finds the value soonest: some variables are fields of ctx.
---@param key_type string
---@param key string
---@return string kind
---@return string key
function _M.source(key_type, key)
  if key_type == "var" and (key == "consumer_name" or key == "remote_addr") then
    return key, key
  end
  if key_type == "cookie" then
    return "var", "cookie_" .. key
  end
  return key_type, key
end

--- Returns the value a request is counted by, and whether it is the address for want of anything better.
---@param kind string      as `source` gives it
---@param key string       for "var" the variable, for a header its name, for the rest a template or a literal
---@param ctx moongate.Ctx
---@return string value
---@return boolean is_fallback
function _M.value(kind, key, ctx)
  local value
  if kind == "var" then
    value = ctx.var[key]
  elseif kind == "consumer_name" then
    value = ctx.consumer_name
  elseif kind == "remote_addr" then
    value = ctx.var.remote_addr
  elseif kind == "constant" then
    value = key
  elseif kind == "header" then
    value = core.request.header(ctx, key)
  else
    local text, err, count = core.utils.resolve_var(key, ctx.var)
    if err then
      core.log.error("cannot resolve the limit key ", key, ": ", err)
    elseif count ~= 0 then
      value = text
    end
  end
  if value == nil then
    return ctx.var.remote_addr or "unknown", true
  end
  return type(value) == "string" and value or tostring(value), false
end

--- Returns the key for `value` as bytes that stay until the slot's next use.
---@param slot plugin.LimitSlot
---@param value string
---@param is_fallback boolean
---@return ffi.cdata*|string data
---@return integer size
function _M.bytes(slot, value, is_fallback)
  local size = #value
  if size > value_size_max_bytes then
    local key = _M.text(slot, value, is_fallback)
    return key, #key
  end
  local buffer = slot.buffer
  buffer[digest_size] = is_fallback and fallback or configured
  ffi_copy(buffer + digest_size + 1, value, size)
  return buffer, digest_size + 1 + size
end

--- Returns the key for `value` as a string; a long value by its digest.
---@param slot plugin.LimitSlot
---@param value string
---@param is_fallback boolean
---@return string
function _M.text(slot, value, is_fallback)
  if #value > value_size_max_bytes then
    value = "sha1:" .. ngx.encode_base64(ngx.sha1_bin(value))
  end
  return slot.prefix .. (is_fallback and "@" or "=") .. value
end

return _M
