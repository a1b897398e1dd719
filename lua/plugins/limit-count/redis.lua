-- SPDX-License-Identifier: Apache-2.0
--- The counters of limit-count in Redis, shared by all gateways that use the same server or cluster: one script for a
--- decision, which counts a request or refuses it as a whole. A refused request counts nothing. Redis 5 or newer.

local native = require("moongate.native")
local redis = require("moongate.redis")

local C = native.C
local min = math.min
local pairs = pairs
local type = type

local window_max_ms = 1e12 -- 31 years: what Redis can add to its clock

local _M = {}

local text = { type = "string" }
local shared = {
  redis_password = text,
  redis_timeout = { type = "integer", minimum = 1, maximum = 600000, default = 1000 },
  redis_keepalive_timeout = { type = "integer", minimum = 1000, default = 10000 },
  redis_keepalive_pool = { type = "integer", minimum = 1, default = 100 },
}

local function with_shared(properties, required)
  for name, property in pairs(shared) do
    properties[name] = property
  end
  return { type = "object", properties = properties, required = required }
end

--- What a conf must hold, by its policy.
_M.schemas = {
  redis = with_shared({
    redis_host = { type = "string", minLength = 2 },
    redis_port = { type = "integer", minimum = 1, maximum = 65535, default = 6379 },
    redis_username = text,
    redis_database = { type = "integer", minimum = 0, maximum = 2147483647, default = 0 },
    redis_ssl = { type = "boolean", default = false },
    redis_ssl_verify = { type = "boolean", default = false },
  }, { "redis_host" }),
  ["redis-cluster"] = with_shared({
    redis_cluster_nodes = {
      type = "array",
      items = { type = "string", minLength = 2, maxLength = 100 },
      minItems = 1,
      maxItems = 1000,
    },
    redis_cluster_name = text,
    redis_cluster_ssl = { type = "boolean", default = false },
    redis_cluster_ssl_verify = { type = "boolean", default = false },
  }, { "redis_cluster_nodes", "redis_cluster_name" }),
}

local function places_of(conf)
  if conf.policy == "redis" then
    return { redis.place(conf.redis_host, conf.redis_port) }
  end
  return conf.redis_cluster_nodes
end

--- Checks what the schemas cannot say.
---@param conf table
---@return boolean ok
---@return string? err
function _M.check(conf)
  local ok, err = redis.check_places(places_of(conf))
  if not ok then
    return false, (conf.policy == "redis" and "redis_host: " or "redis_cluster_nodes: ") .. err
  end
  return true
end

-- Both scripts: KEYS[1] the counter, ARGV the limit and the window in milliseconds; they return whether the request is
-- admitted, how many more would be, and the milliseconds until the whole allowance is back.

-- The window runs from its first request on; it ends when the key expires.
local fixed = [[
local limit, left = tonumber(ARGV[1]), redis.call("PTTL", KEYS[1])
if left < 0 then
  redis.call("SET", KEYS[1], 1, "PX", ARGV[2])
  return {1, limit - 1, tonumber(ARGV[2])}
end
local used = tonumber(redis.call("GET", KEYS[1])) or 0
if used >= limit then
  return {0, 0, left}
end
return {1, limit - redis.call("INCR", KEYS[1]), left}
]]

-- See sliding.lua. i: the number of the current window, c: requests in it, f: in the former one. A clock that was set
-- back finds the window of later and takes its beginning for now.
local sliding = [[
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call("TIME")
local now = (time[1] * 1000 + time[2] / 1000) / window
local index = math.floor(now)
local elapsed = now - index
local kept = redis.call("HMGET", KEYS[1], "i", "c", "f")
local at, current, former = tonumber(kept[1]), 0, 0
if at and at >= index then
  if at > index then
    index, elapsed = at, 0
  end
  current, former = tonumber(kept[2]), tonumber(kept[3])
elseif at == index - 1 then
  former = tonumber(kept[2])
end
local used = former * (1 - elapsed) + current + 1
local admitted = used <= limit + 1e-9
if admitted then
  current = current + 1
  redis.call("HSET", KEYS[1], "i", string.format("%.0f", index), "c", current, "f", former)
  redis.call("PEXPIRE", KEYS[1], string.format("%.0f", window * 2 + 1000))
end
local reset = 0
if current > 0 then
  reset = (2 - elapsed) * window
elseif former > 0 then
  reset = (1 - elapsed) * window
end
return {admitted and 1 or 0, admitted and math.floor(limit - used + 1e-9) or 0, math.ceil(reset)}
]]

local scripts = {}

---@class plugin.RedisStore
---@field server moongate.RedisServer
---@field script userdata

--- Makes what counts for a conf. Connects nothing yet.
---@param conf table
---@return plugin.RedisStore? store
---@return string? err
function _M.new(conf)
  local is_single = conf.policy == "redis"
  local prefix = is_single and "redis_" or "redis_cluster_"
  local server, err = redis.server({
    places = places_of(conf),
    is_cluster = not is_single,
    username = is_single and conf.redis_username or nil,
    password = conf.redis_password,
    database = is_single and conf.redis_database or 0,
    timeout_ms = conf.redis_timeout,
    is_tls = conf[prefix .. "ssl"],
    is_verifying = conf[prefix .. "ssl_verify"],
  })
  if not server then
    return nil, err
  end
  local source = conf.window_type == "sliding" and sliding or fixed
  scripts[source] = scripts[source] or redis.script(source)
  -- A window of another kind or length does not go on with what this one has counted.
  local mark = source == sliding and "|s" or "|f"
  return { server = server, script = scripts[source], mark = mark }
end

--- Takes one request from the allowance of `key`. Yields.
---@param store plugin.RedisStore
---@param key string
---@param limit number        requests in a window
---@param window number       seconds
---@param verdict ffi.cdata*  an `mg_verdict`, filled in; others use it too, so read it at once
---@return boolean? ok
---@return string? err
function _M.take(store, key, limit, window, verdict)
  local reply, err = store.server:run(store.script, { key .. store.mark .. window }, { limit, min(window * 1000, window_max_ms) })
  if type(reply) ~= "table" then
    C.mg_limit_count_redis(2)
    return nil, err or "an unexpected reply"
  end
  C.mg_limit_count_redis(reply[1] == 1 and 0 or 1)
  verdict.is_admitted = reply[1]
  verdict.remaining = reply[2]
  verdict.reset_s = reply[3] / 1000
  verdict.retry_after_s = 0
  return true
end

return _M
