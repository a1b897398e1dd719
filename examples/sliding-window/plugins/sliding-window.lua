-- SPDX-License-Identifier: Apache-2.0
--- A sliding window counter: the last window's count, weighted by how much of it still reaches into the present, plus
--- this window's. Against a fixed window it has no edge at which twice the limit passes within a moment.
--
-- Counts live in a shared dictionary, so all workers share them.
local core = require("apisix.core")

local DICT = "sliding-window"

local schema = {
  type = "object",
  properties = {
    count = { type = "integer", minimum = 1 },
    window_s = { type = "integer", minimum = 1 },
    key = { type = "string", minLength = 1, default = "remote_addr" },
    rejected_code = { type = "integer", minimum = 200, maximum = 599, default = 429 },
  },
  required = { "count", "window_s" },
  additionalProperties = false,
}

local _M = { version = 0.1, priority = 90, name = "sliding-window", schema = schema }

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

--- Phases: access. Yields: no. No dictionary: 500, since a limit that does not count is none.
function _M.access(conf, ctx)
  local dict = ngx.shared[DICT]
  if not dict then
    core.log.error("declare the shared dictionary ", DICT)
    return 500, { message = "the limit is not available" }
  end
  local now = ngx.now()
  local window = math.floor(now / conf.window_s)
  local share = 1 - (now / conf.window_s - window)
  local key = conf.key .. ":" .. tostring(ctx.var[conf.key])
  local before = dict:get(key .. ":" .. (window - 1)) or 0
  local this_key = key .. ":" .. window
  local current = dict:incr(this_key, 1, 0, conf.window_s * 2)
  if before * share + (current or math.huge) > conf.count then
    dict:incr(this_key, -1) -- what is refused does not count
    core.response.set_header("Retry-After", math.max(1, math.ceil(conf.window_s * share / 2)))
    return conf.rejected_code, { message = "too many requests" }
  end
  core.response.set_header("X-RateLimit-Remaining", math.floor(conf.count - before * share - current))
end

return _M
