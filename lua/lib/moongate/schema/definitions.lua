-- SPDX-License-Identifier: Apache-2.0
--- The schemas that resources and plugins share: `apisix.schema_def`, and what `core.schema.<name>` gives.

local parts = require("moongate.schema.parts")
local upstream = require("moongate.schema.upstream")
local resources = require("moongate.schema.resource_schemas")

local pairs = pairs

local _M = {}
for _, source in pairs({ parts, upstream, resources }) do
  for name, value in pairs(source) do
    _M[name] = value
  end
end

--- The `realm` property of authentication plugins.
---@param default string
---@return table
function _M.get_realm_schema(default)
  return { type = "string", default = default, pattern = '^[^"\\x00-\\x1f\\x7f]+$', minLength = 1, maxLength = 128 }
end

return _M
