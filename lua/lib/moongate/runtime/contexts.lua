-- SPDX-License-Identifier: Apache-2.0
--- The `ctx` tables of requests. One belongs to a slot of the worker's exchange pool and serves one request after another.

local kept_keys = require("moongate.kept_keys")

local _M = {}

-- What the library and the shipped plugins use. Together with what plugins add they should stay below 32: more, and the
-- table grows in the middle of a request.
local new, empty = kept_keys.make({
  "_ex", "var", "_exit", "_is_answered", "_resp_source", "_cookies", "_request_body_table", "ngx_ctx",
  "conf_type", "conf_id", "conf_version", "route_id", "route_name", "service_id", "service_name", "matched_route",
  "headers", "req_uri_args",
  "consumer", "consumer_name", "consumer_group_id", "consumer_ver",
  "request-id-X-Request-Id", "jwt_auth_payload", "rate_limit_key", "rate_limit_count", "rate_limit_remaining",
  "rate_limit_reset",
})

--- Makes a ctx without a value.
---@type fun(): moongate.Ctx
_M.new = new

--- Takes a ctx from one request to the next.
---@param ctx moongate.Ctx
---@return moongate.Ctx     without a value; another one when this could not be emptied so
function _M.recycle(ctx)
  if empty(ctx) then
    return ctx
  end
  return new()
end

return _M
