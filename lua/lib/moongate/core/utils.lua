-- SPDX-License-Identifier: Apache-2.0
--- `core.utils`: small helpers of all kinds that APISIX gathers under this name. The longer ones live in files of their
--- own (template, uuid).

local encoding = require("moongate.encoding")
local log = require("moongate.core.log")
local regex = require("moongate.ngx.regex")
local template = require("moongate.core.template")
local uuid = require("moongate.uuid")

local find = string.find
local ipairs = ipairs
local pairs = pairs
local sub = string.sub
local tonumber = tonumber
local type = type

local _M = {
  resolve_var = template.resolve_var,
  resolve_var_with_captures = template.resolve_var_with_captures,
  generate_uuid_v7 = uuid.v7,
  sleep = require("moongate.core.sleep"),
}

local hostname

--- Returns the name of this machine.
---@return string
function _M.gethostname()
  if not hostname then
    local file = io.open("/proc/sys/kernel/hostname", "r") or io.open("/etc/hostname", "r")
    hostname = file and file:read("*l") or "localhost"
    if file then
      file:close()
    end
  end
  return hostname
end

--- Percent-encodes what cannot stand in a path.
---@param text string
---@return string
function _M.uri_safe_encode(text)
  return encoding.escape_uri(text, 0)
end

--- Percent-encodes control characters and spaces only, so that no header or request line can be broken.
---@param text string
---@return string
function _M.escape_uri_control_chars(text)
  return (text:gsub("[%z\1-\32\127]", function(char)
    return ("%%%02X"):format(char:byte())
  end))
end

--- Splits "host:port". Brackets around an IPv6 address stay.
---@param text string
---@return string host
---@return integer? port
function _M.parse_addr(text)
  if sub(text, 1, 1) == "[" then
    local host, port = text:match("^(%[[^%]]*%]):?(%d*)$")
    return host or text, tonumber(port)
  end
  local colon = find(text, ":", 1, true)
  if not colon or find(text, ":", colon + 1, true) then
    return text, nil
  end
  return sub(text, 1, colon - 1), tonumber(sub(text, colon + 1))
end

--- Returns an IPv4 address as a number, or false.
---@param text string
---@return number|false
function _M.parse_ipv4(text)
  if type(text) ~= "string" then
    return false
  end
  local a, b, c, d = text:match("^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$")
  if not a then
    return false
  end
  local number = 0
  for _, part in ipairs({ a, b, c, d }) do
    local value = tonumber(part)
    if value > 255 then
      return false
    end
    number = number * 256 + value
  end
  return number
end

--- Returns the groups of an IPv6 address as an array of eight numbers, or false.
---@param text string
---@return integer[]|false
function _M.parse_ipv6(text)
  return require("moongate.core.ipv6").parse(text)
end

--- Splits a path at its slashes.
---@param uri string
---@return string[]
function _M.split_uri(uri)
  return regex.split(uri, "/")
end

--- Tells whether `name` can be the name of a header.
---@param name string
---@return boolean ok
---@return string? err
function _M.validate_header_field(name)
  if type(name) ~= "string" or not find(name, "^[%w!#$%%&'*+%-.^_`|~]+$") then
    return false, "invalid header field: " .. tostring(name)
  end
  return true
end

--- Tells whether `value` can be the value of a header: a string or number without control characters.
---@param value string|number
---@return boolean ok
---@return string? err
function _M.validate_header_value(value)
  if type(value) == "number" then
    return true
  end
  if type(value) ~= "string" or find(value, "[%z\1-\8\10-\31\127]") then
    return false, "invalid header value"
  end
  return true
end

--- Writes the verdicts of several limiters into the `rate_limiting_info` variable of the access log.
---@param ctx moongate.Ctx
---@param info table
function _M.set_var_rate_limiting_info(ctx, info)
  ctx.var.rate_limiting_info = require("moongate.core.json").encode(info)
end

local function values_at(conf, path)
  local at = { conf }
  for name in path:gmatch("[^.]+") do
    local deeper = {}
    for _, item in ipairs(at) do
      if type(item) == "table" and item[name] ~= nil then
        deeper[#deeper + 1] = item[name]
      end
    end
    at = deeper
  end
  return at
end

--- Warns about addresses in `conf` that are not encrypted.
---@param paths string[]       dotted paths to URLs or to arrays of them
---@param conf table
---@param plugin_name string
function _M.check_https(paths, conf, plugin_name)
  for _, path in ipairs(paths) do
    for _, value in ipairs(values_at(conf, path)) do
      for _, url in pairs(type(value) == "table" and value or { value }) do
        if type(url) == "string" and find(url, "^http://") then
          log.warn("Using ", plugin_name, " ", path, " with no TLS is a security risk")
        end
      end
    end
  end
end

--- Warns about switches in `conf` that turn the verification of certificates off.
---@param paths string[]
---@param conf table
---@param plugin_name string
function _M.check_tls_bool(paths, conf, plugin_name)
  for _, path in ipairs(paths) do
    for _, value in ipairs(values_at(conf, path)) do
      if value == false then
        log.warn("Keeping ", path, " disabled in ", plugin_name, " configuration is a security risk")
      end
    end
  end
end

return _M
