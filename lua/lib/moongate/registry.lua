-- SPDX-License-Identifier: Apache-2.0
--- The plugins that are loaded, with their metadata and attributes. The runner fills it when a snapshot is compiled;
--- `apisix.plugin` and the checks of plugin confs read it.

local _M = {}

local plugins = {}
local metadata = {}
local attributes = {}

--- Returns the plugin's module, or nil when no plugin of that name is loaded.
---@param name string
---@return moongate.Plugin?
function _M.get(name)
  return plugins[name]
end

--- Registers a plugin's module; nil takes it out.
---@param name string
---@param object moongate.Plugin?
function _M.set(name, object)
  plugins[name] = object
end

--- Returns all plugins by name. Not to be changed.
---@return table<string, moongate.Plugin>
function _M.all()
  return plugins
end

--- Returns the plugin's metadata resource, {value=, modifiedIndex=}, or nil.
---@param name string
---@return table?
function _M.metadata(name)
  return metadata[name]
end

---@param name string
---@param item table?    {value=, modifiedIndex=}
function _M.set_metadata(name, item)
  metadata[name] = item
end

--- Returns `plugin_attr.<name>` of the process configuration, or nil.
---@param name string
---@return table?
function _M.attr(name)
  return attributes[name]
end

---@param name string
---@param attr table?
function _M.set_attr(name, attr)
  attributes[name] = attr
end

return _M
