-- SPDX-License-Identifier: Apache-2.0
--- `resty.ipmatcher`: is an address in a list of addresses and networks? The list is checked when the matcher is made;
--- single addresses are found by a lookup, networks are asked one after the other.

local native = require("moongate.native")
local ipv6 = require("moongate.core.ipv6")

local C = native.C
local concat = table.concat
local find = string.find
local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local _M = { _VERSION = "0.6.1" }
local methods = {}
local matcher_mt = { __index = methods }

-- "127.0.0.1" and "::1" lie in every network of size 0 of their family; what does not parse gives -1.
local function parses(text)
  return C.mg_address_in_cidr("127.0.0.1", 9, text, #text) >= 0
end

-- One spelling for each address, so that a lookup finds it.
local function canonical(address)
  if find(address, ":", 1, true) then
    local groups = ipv6.parse(address)
    return groups and concat(groups, ":")
  end
  return address
end

--- Tells whether `text` is an address or a network.
---@param text any
---@return boolean
function _M.is_valid(text)
  return type(text) == "string" and parses(text)
end

--- Tells whether `text` is an IPv4 address; false otherwise.
function _M.parse_ipv4(text)
  return require("moongate.core.utils").parse_ipv4(text)
end

--- Returns the groups of an IPv6 address, or false.
function _M.parse_ipv6(text)
  return ipv6.parse(text)
end

local function add(matcher, text, value)
  if not _M.is_valid(text) then
    return nil, "invalid ip address: " .. tostring(text)
  end
  if find(text, "/", 1, true) then
    matcher.networks[#matcher.networks + 1] = { text = text, value = value }
  else
    matcher.addresses[canonical(text) or text] = value
  end
  return true
end

--- Makes a matcher for an array of addresses and networks.
---@param list string[]
---@return table? matcher
---@return string? err
function _M.new(list)
  if type(list) ~= "table" then
    return nil, "missing valid ip list"
  end
  local matcher = setmetatable({ addresses = {}, networks = {} }, matcher_mt)
  for _, text in ipairs(list) do
    local ok, err = add(matcher, text, true)
    if not ok then
      return nil, err
    end
  end
  return matcher
end

--- Makes a matcher that gives a value for each address: {["10.0.0.0/8"] = "inside"}.
---@param map table<string, any>
---@return table? matcher
---@return string? err
function _M.new_with_value(map)
  if type(map) ~= "table" then
    return nil, "missing valid ip list"
  end
  local matcher = setmetatable({ addresses = {}, networks = {} }, matcher_mt)
  for text, value in pairs(map) do
    local ok, err = add(matcher, text, value)
    if not ok then
      return nil, err
    end
  end
  return matcher
end

--- Returns true (or the value) when `address` is in the list.
---@param address string
---@return any found       false when not
---@return string? err     it is no address
function methods:match(address)
  if type(address) ~= "string" then
    return false, "invalid ip address, not string"
  end
  local value = self.addresses[address]
  if value == nil and find(address, ":", 1, true) then
    value = self.addresses[canonical(address) or address]
  end
  if value ~= nil then
    return value
  end
  local networks = self.networks
  for index = 1, #networks do
    local text = networks[index].text
    local verdict = C.mg_address_in_cidr(address, #address, text, #text)
    if verdict == 1 then
      return networks[index].value
    elseif verdict < 0 then
      return false, "invalid ip address: " .. address
    end
  end
  if #networks == 0 and not parses(address) then
    return false, "invalid ip address: " .. address
  end
  return false
end

return _M
