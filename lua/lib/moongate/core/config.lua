-- SPDX-License-Identifier: Apache-2.0
--- `core.config` and `core.config_local`: the process configuration in the shape of APISIX's config.yaml. The runner
--- fills it; plugins read it and leave it as it is.

local _M = { type = "moongate" }

local conf = { apisix = {}, nginx_config = { http = {} }, deployment = {}, plugin_attr = {}, plugins = {} }

--- Returns the configuration.
---@return table
function _M.local_conf()
  return conf
end

--- Sets the configuration. For the runner.
---@param value table
function _M.set_local_conf(value)
  conf = value
end

return _M
