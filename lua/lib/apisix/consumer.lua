-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.consumer")`: who is the client? The index of consumers is native (`moongate.consumers`); this gives it
--- APISIX's names.

local consumers = require("moongate.consumers")
local current = require("moongate.current")
local ffi = require("ffi")
local fields = require("moongate.fields")
local native = require("moongate.native")
local set_header = require("moongate.core.request").set_header

local changed = fields.changed
local conf_of = consumers.conf
local exchange_of = require("moongate.phase").exchange
local find = consumers.find
local find_in_header = consumers.find_in_header
local forget = require("moongate.kept_keys").forget
local mg_credential_attach = native.C.mg_credential_attach
local mg_var_set = native.C.mg_var_set
local name_of = fields.name_of
local type = type

local identity = ffi.new("mg_identity[1]")

local _M = {}

--- Finds the consumer whose credential for `plugin_name` has `attribute` equal to `value`.
---@param plugin_name string
---@param attribute string
---@param value string
---@return table? consumer    `auth_conf` is the credential
---@return table|string? conf_or_err    as `plugin` returns it, its `nodes` made when they are read
---@return string? err
function _M.find_consumer(plugin_name, attribute, value)
  local consumer = find(plugin_name, attribute, value)
  if consumer then
    return consumer, conf_of(plugin_name)
  end
  return nil, nil, "Missing related consumer"
end

--- As `find_consumer` for the value of a request header; cheaper, and silent about why there is none.
---@param plugin_name string
---@param attribute string
---@param ctx moongate.Ctx
---@param header string
---@return table? consumer
---@return table? conf
function _M.find_consumer_in_header(plugin_name, attribute, ctx, header)
  local consumer = find_in_header(plugin_name, attribute, exchange_of(ctx), name_of(header))
  if consumer then
    return consumer, conf_of(plugin_name)
  end
end

local function put(text, value)
  if type(value) == "string" then
    text.data, text.size = value, #value
  else
    text.size = 0
  end
end

-- The credential and all three headers in one call. False when one of the headers could not be set.
local function attach(ex, consumer, print)
  local known = identity[0]
  put(known.username, consumer.username)
  put(known.credential, consumer.credential_id)
  put(known.custom_id, consumer.custom_id)
  known.print = print
  return mg_credential_attach(ex, known) == changed
end

--- Makes `consumer` the one of this request and tells the upstream.
---@param ctx moongate.Ctx
---@param consumer table
---@param conf table?        what `plugin` returned
function _M.attach_consumer(ctx, consumer, conf)
  ctx.consumer = consumer
  ctx.consumer_name = consumer.consumer_name
  ctx.consumer_group_id = consumer.group_id
  ctx.consumer_ver = conf and conf.conf_version or consumer.conf_version
  local print, ex, name = consumer._print, ctx._ex, consumer.consumer_name
  if print and ex then
    if attach(ex, consumer, print) and ex == current.ex then
      forget(ctx, "headers")
      return
    end
  elseif ex and name then -- of no credential: logs and metrics know the name all the same
    mg_var_set(ex, "consumer_name", 13, name, #name)
  end
  set_header(ctx, "X-Consumer-Username", consumer.username)
  set_header(ctx, "X-Credential-Identifier", consumer.credential_id)
  set_header(ctx, "X-Consumer-Custom-ID", consumer.custom_id)
end

--- Returns the consumers with a credential for `plugin_name`: {nodes, len, conf_version}; nil when there are none.
---@param plugin_name string
---@return table?
function _M.plugin(plugin_name)
  local nodes = consumers.all(plugin_name)
  if not nodes or #nodes == 0 then
    return nil
  end
  local conf = nodes._conf
  if not conf then
    conf = { nodes = nodes, len = #nodes, conf_version = nodes[1].conf_version }
    nodes._conf = conf
  end
  return conf
end

local maps = setmetatable({}, { __mode = "k" })

--- Returns a map from the credentials' `attribute` to the consumers.
---@param plugin_name string
---@param conf table?       what `plugin` returned
---@param attribute string
---@return table<string, table>
function _M.consumers_kv(plugin_name, conf, attribute)
  conf = conf or _M.plugin(plugin_name)
  if not conf then
    return {}
  end
  local by_attribute = maps[conf.nodes]
  if not by_attribute then
    by_attribute = {}
    maps[conf.nodes] = by_attribute
  end
  local map = by_attribute[attribute]
  if not map then
    map = {}
    for _, consumer in ipairs(conf.nodes) do
      local value = consumer.auth_conf and consumer.auth_conf[attribute]
      if value ~= nil then
        map[value] = consumer
      end
    end
    by_attribute[attribute] = map
  end
  return map
end

_M.consumers_conf = _M.plugin

--- Returns the consumer that stands for clients without credentials.
---@param username string
---@return table? consumer
---@return table|string? conf_or_err
---@return string? err
function _M.get_anonymous_consumer(username)
  local consumer = consumers.get(username)
  if not consumer then
    return nil, nil, "failed to get anonymous consumer " .. tostring(username)
  end
  return consumer, { conf_version = consumer.conf_version }
end

return _M
