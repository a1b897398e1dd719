-- SPDX-License-Identifier: Apache-2.0
--- The global `ngx` of plugins: OpenResty's names on top of this library. The runner sets `_G.ngx` to it.
--
-- Fields that are plain functions and constants lie in the table; `ctx`, `status`, `headers_sent` depend on the request
-- and come through its metatable.

local constants = require("moongate.ngx.constants")
local ctx_of = require("moongate.ngx.ctx")
local current = require("moongate.current")
local digest = require("moongate.ngx.digest")
local encoding = require("moongate.encoding")
local fields = require("moongate.fields")
local log = require("moongate.core.log")
local native = require("moongate.native")
local output = require("moongate.ngx.output")
local phase = require("moongate.phase")
local query = require("moongate.query")
local time = require("moongate.ngx.time")
local var = require("moongate.var")
local wait = require("moongate.wait")

local C = native.C
local error = error
local pairs = pairs
local rawset = rawset
local setmetatable = setmetatable
local tostring = tostring
local type = type

local _M = {}

for _, source in pairs({ constants, time, output }) do
  for name, value in pairs(source) do
    _M[name] = value
  end
end

_M.re = require("moongate.ngx.regex")
_M.req = require("moongate.ngx.req")
_M.shared = require("moongate.ngx.shared")
_M.socket = require("moongate.ngx.socket")
_M.timer = require("moongate.ngx.timer")
_M.sleep = wait.sleep

_M.md5 = digest.md5
_M.md5_bin = digest.md5_bin
_M.sha1_bin = digest.sha1_bin
_M.hmac_sha1 = digest.hmac_sha1
_M.crc32_short = encoding.crc32
_M.crc32_long = encoding.crc32
_M.decode_base64 = encoding.decode_base64
_M.base64 = { encode_base64url = encoding.encode_base64url, decode_base64url = encoding.decode_base64url }
_M.decode_args = query.decode
_M.encode_args = query.encode

local function text_of(value)
  return type(value) == "string" and value or value == nil and "" or tostring(value)
end

function _M.encode_base64(text, is_unpadded)
  return encoding.encode_base64(text_of(text), is_unpadded)
end

function _M.escape_uri(text, kind)
  return encoding.escape_uri(text_of(text), kind)
end

function _M.unescape_uri(text)
  return encoding.unescape_uri(text_of(text))
end

--- Writes its arguments to the log at an nginx level (ngx.ERR).
---@param level integer
function _M.log(level, ...)
  if type(level) ~= "number" then
    error("bad argument #1 to 'log' (a level is a number, ngx.ERR for one)", 2)
  end
  if level <= C.mg_log_level() then
    log.write(level, 2, nil, ...)
  end
end

local nginx_phases = {
  init = "init_worker", rewrite = "access", before_proxy = "access", delayed_body_filter = "body_filter",
  certificate = "ssl_cert",
}

--- Returns the phase by nginx's name: what APISIX runs in "access" is "access" here.
---@return string
function _M.get_phase()
  local name = current.phase
  return nginx_phases[name] or name
end

_M.worker = {
  id = function() return C.mg_worker_id() end,
  count = function() return C.mg_worker_count() end,
  pid = function() return C.mg_worker_pid() end,
  pids = function() return { C.mg_worker_pid() } end,
  exiting = function() return C.mg_worker_is_exiting() ~= 0 end,
}

_M.process = { type = function() return "worker" end }

_M.config = {
  subsystem = "http",
  debug = false,
  ngx_lua_version = 10026,
  nginx_version = 1027001,
  prefix = function() return require("moongate.core.config").local_conf().prefix or "./" end,
  nginx_configure = function() return "" end,
}

_M.resp = {
  get_headers = function(max, is_raw)
    return fields.response_all(phase.exchange(nil), is_raw, max or 100)
  end,
  add_header = function(name, value)
    return fields.response_add(phase.exchange(nil), name, value)
  end,
}

_M.var = setmetatable({}, {
  __index = function(_, name)
    return var.lookup(phase.exchange(nil), tostring(name))
  end,
  __newindex = function(_, name, value)
    local ex = phase.exchange(nil)
    local text = value == nil and "" or tostring(value)
    if C.mg_var_set(ex, name, #name, text, #text) == 0 then
      error('variable "' .. tostring(name) .. '" cannot be changed', 2)
    end
    local written = current.ctx and current.ctx.var and rawget(current.ctx.var, "_written")
    if written then
      written[name] = nil
    end
  end,
})

_M.header = setmetatable({}, {
  __index = function(_, name)
    return fields.response_values(phase.exchange(nil), fields.dashed(name))
  end,
  __newindex = function(_, name, value)
    local ex = phase.exchange(nil)
    if C.mg_response_is_sent(ex) ~= 0 then
      error("attempt to set ngx.header." .. name .. " after sending out response headers", 2)
    end
    local ok, err = fields.response_set(ex, fields.dashed(name), value)
    if not ok then
      log.warn("response header not set: ", err)
    end
  end,
})

_M.arg = setmetatable({}, {
  __index = function(_, index)
    return current.arg[index]
  end,
  __newindex = function(_, index, value)
    current.arg[index] = value
  end,
})

local getters = {
  ctx = ctx_of.get,
  status = function()
    return C.mg_response_status_get(phase.exchange(nil))
  end,
  headers_sent = function()
    return C.mg_response_is_sent(phase.exchange(nil)) ~= 0
  end,
  is_subrequest = function()
    return false
  end,
}

setmetatable(_M, {
  __index = function(_, name)
    local getter = getters[name]
    return getter and getter()
  end,
  __newindex = function(ngx, name, value)
    if name == "ctx" then
      ctx_of.set(value)
    elseif name == "status" then
      local ex = phase.exchange(nil)
      if C.mg_response_is_sent(ex) ~= 0 then
        log.error("attempt to set ngx.status after sending out response headers")
        return
      end
      C.mg_response_status_set(ex, tonumber(value))
    else
      rawset(ngx, name, value)
    end
  end,
})

return _M
