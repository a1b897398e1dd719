-- SPDX-License-Identifier: Apache-2.0
--- The counters of kong-rate-limiting in Redis: one script counts a request in all its windows, or refuses it in all.

local redis = require("moongate.redis")

local ipairs = ipairs
local setmetatable = setmetatable
local type = type

local _M = {}

-- KEYS the counters; ARGV the limit of each and the seconds until it ends, in turn. Returns the counts as they would be with
-- the request; one above its limit says that nothing was counted.
local source = [[
local counts, fits = {}, true
for i, key in ipairs(KEYS) do
  counts[i] = (tonumber(redis.call("GET", key)) or 0) + 1
  fits = fits and counts[i] <= tonumber(ARGV[2 * i - 1])
end
for i, key in ipairs(fits and KEYS or {}) do
  redis.call("INCR", key)
  redis.call("EXPIRE", key, ARGV[2 * i])
end
return counts
]]

local script
local servers = setmetatable({}, { __mode = "k" }) -- by the conf's `redis`

local function server_of(conf)
  local server = servers[conf]
  if server then
    return server
  end
  local err
  server, err = redis.server({
    places = { redis.place(conf.host, conf.port) },
    username = conf.username,
    password = conf.password,
    database = conf.database,
    timeout_ms = conf.timeout,
    is_tls = conf.ssl,
    is_verifying = conf.ssl_verify,
    server_name = conf.server_name,
  })
  servers[conf] = server
  return server, err
end

--- Says whether `conf` names a server.
---@param conf table?
---@return boolean
function _M.is_server(conf)
  return conf ~= nil and conf.host ~= nil and redis.check_places({ redis.place(conf.host, conf.port) })
end

--- Takes one request from each counter, or from none when one is full. Yields.
---@param conf table                 the conf's `redis`
---@param counters table[]           {key, left}: what to count, and for how many seconds from now
---@param limits table[]             {count}: of each counter
---@return integer[]? counts         with the request; above the limit where there was no room
---@return string? err
function _M.take(conf, counters, limits)
  local server, err = server_of(conf)
  if not server then
    return nil, err
  end
  script = script or redis.script(source)
  local keys, arguments = {}, {}
  for index, counter in ipairs(counters) do
    keys[index] = counter.key
    arguments[2 * index - 1], arguments[2 * index] = limits[index].count, counter.left
  end
  local counts
  counts, err = server:run(script, keys, arguments)
  if type(counts) ~= "table" then
    return nil, err or "an unexpected reply"
  end
  return counts
end

return _M
