-- SPDX-License-Identifier: Apache-2.0
--- The `ctx` tables of requests. One belongs to a slot of the worker's exchange pool and serves one request after another.

local kept_keys = require("moongate.kept_keys")

local _M = {}

--- Gives a request its ctx: see kept_keys.lua.
---@type fun(ctx: moongate.Ctx?, shape: table?): moongate.Ctx, table
_M.recycle = kept_keys.make({
  "_ex", "var", "conf_type", "conf_id", "conf_version", "route_id", "matched_route",
  "consumer", "consumer_name", "consumer_group_id", "consumer_ver",
})

return _M
