-- SPDX-License-Identifier: Apache-2.0
--- What rate-limiting and sliding-window-rate-limit tell the client about its allowance. Two styles of headers:
--
--   x-ratelimit   X-RateLimit-Limit: 50   X-RateLimit-Remaining: 49   X-RateLimit-Reset: 1
--   ietf          RateLimit-Policy: "default";q=50;w=1   RateLimit: "default";r=49;t=1
--
-- Both count in whole requests and whole seconds, rounded up.

local core = require("apisix.core")
local current = require("moongate.current")
local fields = require("moongate.fields")

local ceil = math.ceil
local floor = math.floor

local set_quota = fields.response_set_quota
local x_headers = fields.quota_headers("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")

local _M = {}

---@class plugin.Quota
---@field limit integer      requests
---@field policy string      the value of RateLimit-Policy
---@field has_x boolean
---@field has_ietf boolean

--- Makes what stays the same for all requests of a conf.
---@param limit number      requests at once, or in a window
---@param window number     seconds in which they come back
---@param style string      "x-ratelimit", "ietf" or "both"
---@return plugin.Quota
function _M.new(limit, window, style)
  limit = floor(limit)
  return {
    limit = limit,
    policy = '"default";q=' .. limit .. ";w=" .. ceil(window),
    has_x = style ~= "ietf",
    has_ietf = style ~= "x-ratelimit",
  }
end

--- Sets the headers of the answer.
--- Phases: access. Does not yield.
---@param quota plugin.Quota
---@param verdict ffi.cdata*    an `mg_verdict`
function _M.show(quota, verdict)
  local set_header = core.response.set_header
  local remaining = floor(verdict.remaining)
  local reset = ceil(verdict.reset_s)
  if quota.has_x then
    set_quota(current.ex, x_headers, quota.limit, remaining, reset)
  end
  if quota.has_ietf then
    set_header("RateLimit-Policy", quota.policy)
    set_header("RateLimit", '"default";r=' .. remaining .. ";t=" .. reset)
  end
end

--- Tells a refused client when to come back: in whole seconds, one at least.
---@param verdict ffi.cdata*
function _M.show_retry(verdict)
  local seconds = ceil(verdict.retry_after_s)
  core.response.set_header("Retry-After", seconds < 1 and 1 or seconds)
end

return _M
