-- SPDX-License-Identifier: Apache-2.0
--- Consumers as plugins see them. The index lives in C++; a consumer becomes a Lua table when somebody is
--- recognised as it, and stays one until the configuration changes.

local cjson = require("cjson.safe")
local clone = require("table.clone")
local ffi = require("ffi")
local log = require("moongate.core.log")
local native = require("moongate.native")
local registry = require("moongate.registry")
local schema = require("moongate.core.schema")
local secrets = require("moongate.secrets")

local C = native.C
local ffi_string = ffi.string
local ipairs = ipairs
local mg_credential_find = C.mg_credential_find
local mg_credential_find_in_header = C.mg_credential_find_in_header
local mg_has_managed_credentials = C.mg_has_managed_credentials
local mg_snapshot_number = C.mg_snapshot_number
local min = math.min
local rawget = rawget
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring

local _M = {}

local asked_at_once = 32 -- secrets of credentials
local find_limit_s = 10 -- for looking through all of them

local out = ffi.new("mg_text[1]")

-- Tables of the consumers of the snapshot that serves, by credential number, by name, ...; nil when none is known.
local cache

--- Forgets all consumers: another snapshot serves. Takes no memory, of which there may be none left: who stays would be
--- taken for whoever has their number now.
function _M.forget()
  cache = nil
end

local function known_consumers()
  if not cache then
    cache = { snapshot = mg_snapshot_number(), by_credential = {}, by_name = {}, all = {}, confs = {} }
  end
  return cache
end

local function text_at(index, kind)
  if C.mg_consumer_text(index, kind, out) == 0 then
    return nil
  end
  return ffi_string(out[0].data, out[0].size)
end

-- kinds of mg_consumer_text
local resource, version, credential_id, credential_conf, credential_consumer = 0, 1, 2, 3, 4

local function decode_consumer(index)
  local body = cjson.decode(text_at(index, resource))
  local labels = body.labels
  body.consumer_name = body.username
  body.custom_id = labels and labels.custom_id
  body.modifiedIndex = text_at(index, version)
  body.conf_version = body.modifiedIndex
  body._index = index
  return body
end

--- Returns the consumer of that name, or nil.
---@param username string
---@return table?
function _M.get(username)
  local known = known_consumers().by_name
  local consumer = known[username]
  if consumer == nil then
    local index = C.mg_consumer_by_name(username, #username)
    consumer = index >= 0 and decode_consumer(tonumber(index)) or false
    if consumer then -- strangers are not remembered: clients choose their names
      known[username] = consumer
    end
  end
  return consumer or nil
end

-- The conf was checked before it came here; this only writes the defaults of the plugin's schema into it, without what
-- else the plugin's check may do for each of thousands.
local function fill_in_defaults(plugin_name, conf)
  local plugin = registry.get(plugin_name)
  local plugin_schema = plugin and (plugin.consumer_schema or plugin.schema)
  if plugin_schema then
    schema.check(plugin_schema, conf)
  end
end

local function by_credential(plugin_name, number)
  local known = known_consumers().by_credential
  local consumer = known[number]
  if not consumer then
    local base = _M.get(text_at(number, credential_consumer))
    local id = text_at(number, credential_id)
    consumer = clone(base)
    consumer.auth_conf = cjson.decode(text_at(number, credential_conf))
    fill_in_defaults(plugin_name, consumer.auth_conf)
    consumer._references = secrets.references_in(consumer.auth_conf)
    consumer.credential_id = id ~= "" and id or nil
    consumer._base = base
    consumer._print = C.mg_credential_print(number)
    known[number] = consumer
  end
  return consumer
end

-- The consumer with what its credential's references stand for; nil when that cannot be had. May wait.
local function with_secrets(consumer)
  local references = consumer._references
  if not references then
    return consumer
  end
  local values, err = secrets.get_all(references)
  if not values then
    log.error("consumer ", consumer.username, " is not recognised: ", err)
    return nil
  end
  local copy = clone(consumer)
  copy.auth_conf = secrets.replaced(consumer.auth_conf, values)
  return copy
end

-- As they are written.
local function list_all(plugin_name)
  local known = known_consumers().all
  local list = known[plugin_name]
  if not list then
    list = {}
    local position = 0
    while true do
      local number = tonumber(C.mg_credential_at(plugin_name, #plugin_name, position))
      if number < 0 then
        break
      end
      list[#list + 1] = by_credential(plugin_name, number)
      position = position + 1
    end
    known[plugin_name] = list
  end
  return list
end

--- All consumers with a credential of `plugin_name`; without those whose secrets cannot be had. May wait for secrets.
---@return table[] list
---@return boolean is_lasting    the list holds as long as the configuration
function _M.all(plugin_name)
  local list = list_all(plugin_name)
  if mg_has_managed_credentials() == 0 then
    return list, true
  end
  local resolved = {}
  for _, consumer in ipairs(list) do
    resolved[#resolved + 1] = with_secrets(consumer)
  end
  return resolved, false
end

-- The native index has no values of secrets: those credentials are looked through, some at a time are asked for, and
-- a manager that is slow does not keep a stranger waiting for each of them.
local function find_by_secret(plugin_name, attribute, value)
  local managed = {}
  for _, consumer in ipairs(list_all(plugin_name)) do
    if consumer._references and secrets.is_reference(consumer.auth_conf[attribute]) then
      managed[#managed + 1] = consumer
    end
  end
  local deadline = C.mg_steady() + find_limit_s
  for i, consumer in ipairs(managed) do
    if i % asked_at_once == 1 then
      if C.mg_steady() > deadline then
        return nil
      end
      for ahead = i, min(i + asked_at_once - 1, #managed) do
        secrets.prefetch(managed[ahead]._references)
      end
    end
    local resolved = with_secrets(consumer)
    if resolved and resolved.auth_conf[attribute] == value then
      return resolved
    end
  end
end

--- Finds who shows `value` as `attribute` of `plugin_name` ("key-auth", "key", "abc").
---@return table? consumer    with `auth_conf`, the credential's conf
function _M.find(plugin_name, attribute, value)
  local number = tonumber(mg_credential_find(plugin_name, #plugin_name, attribute, #attribute, value, #value))
  if number >= 0 then
    return with_secrets(by_credential(plugin_name, number))
  end
  if mg_has_managed_credentials() == 0 then
    return nil
  end
  return find_by_secret(plugin_name, attribute, value)
end

--- The same for the value of a request header, of which no Lua string is made. nil for values of secrets: ask `find`.
---@param ex ffi.cdata*
---@param header moongate.HeaderName
---@return table? consumer
function _M.find_in_header(plugin_name, attribute, ex, header)
  local number = tonumber(
    mg_credential_find_in_header(ex, plugin_name, #plugin_name, attribute, #attribute, header.number)
  )
  return number >= 0 and with_secrets(by_credential(plugin_name, number)) or nil
end

-- {conf_version, nodes, len} as APISIX has it; the nodes, one table for each consumer, only when somebody looks.
local lazy_nodes = {
  __index = function(conf, key)
    if key == "nodes" or key == "len" then
      local nodes, is_lasting = _M.all(conf.plugin_name)
      if not is_lasting then
        return key == "nodes" and nodes or #nodes
      end
      conf.nodes = nodes
      conf.len = #nodes
      return rawget(conf, key)
    end
  end,
}

--- What stands for all consumers of `plugin_name`, at no cost before its nodes are read.
---@return table
function _M.conf(plugin_name)
  local known = known_consumers()
  local conf = known.confs[plugin_name]
  if not conf then
    conf = setmetatable({ plugin_name = plugin_name, conf_version = known.snapshot }, lazy_nodes)
    known.confs[plugin_name] = conf
  end
  return conf
end

-- The plugins of a consumer and its group that are no credentials, checked and ready; false when there are none.
local function own_entries(consumer, set)
  local chains = require("moongate.runtime.chains")
  local meta = require("moongate.runtime.meta")
  local specs = {}
  local index, position = consumer._index, 0
  while C.mg_consumer_plugin(index, position, native.scratch) == 1 do
    specs[#specs + 1] = cjson.decode(native.text(native.scratch[0]))
    position = position + 1
  end
  local entries = {}
  for _, spec in ipairs(specs) do
    local module = require("moongate.runtime.loader").find(set, spec.name)
    if not module or module.object.type ~= "auth" then
      local entry, err = chains.make_entry(set, spec)
      if not entry then
        return nil, err
      end
      if not meta.is_disabled(entry.conf) then
        entries[#entries + 1] = entry
      end
    end
  end
  return #entries > 0 and entries
end

local function merge_entries(chain, entries)
  local chains = require("moongate.runtime.chains")
  local taken, list, fresh = {}, {}, {}
  for _, entry in ipairs(entries) do
    taken[entry.name] = entry
  end
  local present = {}
  for _, entry in ipairs(chain.entries) do
    present[entry.name] = true
    list[#list + 1] = taken[entry.name] or entry
  end
  for _, entry in ipairs(entries) do
    if not present[entry.name] then
      list[#list + 1] = entry
      fresh[#fresh + 1] = entry
    end
  end
  return list, chains.assemble(fresh, chain.fields)
end

--- Joins a consumer's plugins (and its group's) to a route's chain.
---@return table? merged    nil when nothing changes, or when it fails
---@return table|string? fresh   a chain of what the route lacked; the reason when it fails
function _M.merge(chain, consumer)
  local base = consumer._base or consumer
  if not base._index then -- made by a plugin, not configured: it has nothing to join
    return nil
  end
  local by_chain = base._merged
  if not by_chain then
    by_chain = setmetatable({}, { __mode = "k" })
    base._merged = by_chain
  end
  local known = by_chain[chain]
  if known == nil then
    local entries, err = own_entries(base, require("moongate.runtime.loader").serving)
    if err then
      return nil, err
    end
    known = false
    if entries then
      local chains = require("moongate.runtime.chains")
      local list, fresh = merge_entries(chain, entries)
      local fields = setmetatable({
        conf_type = chain.fields.conf_type .. "&consumer",
        conf_id = chain.fields.conf_id .. "&" .. base.username,
        conf_version = chain.fields.conf_version .. "&" .. tostring(base.conf_version),
      }, { __index = chain.fields })
      local merged = chains.assemble(list, fields)
      known = { merged = merged, fresh = fresh }
    end
    by_chain[chain] = known
  end
  if not known then
    return nil
  end
  return known.merged, known.fresh
end

return _M
