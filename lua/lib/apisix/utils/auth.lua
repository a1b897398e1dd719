-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.utils.auth")`.

local _M = {}

--- Tells whether the plugin is being tried by multi-auth, which makes the answer itself.
---@param ctx moongate.Ctx
---@return boolean
function _M.is_running_under_multi_auth(ctx)
  return ctx._plugin_name == "multi-auth"
end

return _M
