-- SPDX-License-Identifier: Apache-2.0
--- The `ctx` tables of requests. One belongs to a slot of the worker's exchange pool and serves one request after another.
--
-- To store a value under a new key is the dearest thing a compiled plugin does to a table: some 200 instructions, where
-- a key that has its place takes ten. So a ctx is born with the keys that the library and the shipped plugins use, always in the same
-- places, and between two requests it loses the values and keeps the keys. What else a plugin has put in is found by looking
-- whether anything is left; such a ctx is given up for a new one, so that a request never sees another's.

local concat = table.concat
local getmetatable = getmetatable
local ipairs = ipairs
local next = next

local _M = {}

-- Together with what plugins add they should stay below 32: more, and the table grows in the middle of a request.
local keys = {
  "_ex", "var", "_exit", "_is_answered", "_resp_source", "_cookies", "_request_body_table", "ngx_ctx",
  "conf_type", "conf_id", "conf_version", "route_id", "route_name", "service_id", "service_name", "matched_route",
  "headers", "req_uri_args",
  "consumer", "consumer_name", "consumer_group_id", "consumer_ver",
  "request-id-X-Request-Id", "jwt_auth_payload", "rate_limit_key", "rate_limit_count", "rate_limit_remaining",
  "rate_limit_reset",
}

local function write_source()
  local made, wiped = {}, {}
  for i, key in ipairs(keys) do
    made[i] = ("[%q] = true"):format(key)
    wiped[i] = ("ctx[%q] = nil"):format(key)
  end
  return "return function() return { " .. concat(made, ", ") .. " } end, function(ctx) " .. concat(wiped, " ") .. " end"
end

-- A table that is copied from a constructor has its keys where the constructor has them: compiled code relies on it.
local copy_born, wipe = load(write_source(), "=ctx")()

--- Makes a ctx without a value.
---@return moongate.Ctx
function _M.new()
  local ctx = copy_born()
  wipe(ctx)
  return ctx
end

--- Takes a ctx from one request to the next.
---@param ctx moongate.Ctx
---@return moongate.Ctx     without a value; another one when this could not be emptied so
function _M.recycle(ctx)
  wipe(ctx)
  if next(ctx) == nil and getmetatable(ctx) == nil then
    return ctx
  end
  return _M.new()
end

return _M
