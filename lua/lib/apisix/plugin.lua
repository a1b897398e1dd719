-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.plugin")`: what plugins ask about plugins.

local encoding = require("moongate.encoding")
local json = require("moongate.core.json")
local registry = require("moongate.registry")

local rawset = rawset
local tostring = tostring

local _M = {
  --- Returns a loaded plugin's module, or nil.
  get = registry.get,
  --- Returns {value=, modifiedIndex=} of a plugin's metadata, or nil.
  plugin_metadata = registry.metadata,
  --- Returns `plugin_attr.<name>` of the process configuration, or nil.
  plugin_attr = registry.attr,
}

--- Returns a version of a conf that changes with its content. Kept in `conf._version`.
---@param conf table
---@return string
function _M.conf_version(conf)
  if not conf._version then
    rawset(conf, "_version", tostring(encoding.crc32(json.stably_encode(conf))))
  end
  return conf._version
end

--- Leaves the plugin `name` out for the rest of the request.
---@param ctx moongate.Ctx
---@param name string
function _M.skip_plugin(ctx, name)
  ctx._skip_plugins = ctx._skip_plugins or {}
  ctx._skip_plugins[name] = true
end

--- Tells whether confs are stored encrypted.
---@return boolean
function _M.enable_gde()
  return false
end

return _M
