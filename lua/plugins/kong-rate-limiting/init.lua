-- SPDX-License-Identifier: Apache-2.0
--- kong-rate-limiting: Kong's rate-limiting: so many requests a second, minute, ... year of the calendar, in several windows
--- at once, counted in this machine's memory (policy local) or in Redis. The windows: windows.lua.

local core = require("apisix.core")
local redis_counters = require("apisix.plugins.kong-rate-limiting.redis")
local windows = require("apisix.plugins.kong-rate-limiting.windows")

local ipairs = ipairs
local max = math.max
local setmetatable = setmetatable

local dict_name = "plugin-kong-rate-limiting"
local value_size_max_bytes = 512
local limit = { type = "number", exclusiveMinimum = 0 }

local schema = {
  type = "object",
  properties = {
    second = limit, minute = limit, hour = limit, day = limit, month = limit, year = limit,
    limit_by = {
      type = "string",
      enum = { "consumer", "credential", "ip", "service", "header", "path" },
      default = "consumer",
    },
    header_name = { type = "string", minLength = 1 },
    path = { type = "string", minLength = 1, pattern = "^/" },
    policy = { type = "string", enum = { "local", "redis" }, default = "local" },
    fault_tolerant = { type = "boolean", default = true },
    redis = {
      type = "object",
      properties = {
        host = { type = "string", minLength = 1 },
        port = { type = "integer", minimum = 1, maximum = 65535, default = 6379 },
        timeout = { type = "integer", minimum = 1, maximum = 600000, default = 2000 },
        username = { type = "string" },
        password = { type = "string" },
        database = { type = "integer", minimum = 0, default = 0 },
        ssl = { type = "boolean" },
        ssl_verify = { type = "boolean" },
        server_name = { type = "string" },
      },
      additionalProperties = false,
    },
    hide_client_headers = { type = "boolean", default = false },
    error_code = { type = "integer", minimum = 100, maximum = 599, default = 429 },
    error_message = { type = "string", default = "API rate limit exceeded" },
    sync_rate = { type = "number" },
    scope = { type = "string", minLength = 1 }, -- what the counters belong to: "service:web"
  },
  required = { "scope" },
  additionalProperties = false,
  encrypt_fields = { "redis.password" },
}

local _M = {
  version = 0.1,
  priority = 910,
  name = "kong-rate-limiting",
  schema = schema,
}

--- Limits must grow with their windows.
local function check_limits(conf)
  local shorter
  for _, name in ipairs(windows.names) do
    if conf[name] then
      if shorter and conf[name] < conf[shorter] then
        return false, "The limit for " .. name .. " cannot be lower than the limit for " .. shorter
      end
      shorter = name
    end
  end
  if not shorter then
    return false, "at least one of second, minute, hour, day, month, year is required"
  end
  return true
end

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  if conf.limit_by == "header" and not conf.header_name then
    return false, "limit_by header requires header_name"
  end
  if conf.limit_by == "path" and not conf.path then
    return false, "limit_by path requires path"
  end
  if conf.policy == "redis" and not redis_counters.is_server(conf.redis) then
    return false, "policy redis requires redis.host, a name or an address"
  end
  return check_limits(conf)
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = { limits = {}, refusal = { message = conf.error_message } }
  for _, name in ipairs(windows.names) do
    if conf[name] then
      local title = windows.titles[name]
      plan.limits[#plan.limits + 1] = {
        window = name,
        count = conf[name],
        limit_header = "X-RateLimit-Limit-" .. title,
        remaining_header = "X-RateLimit-Remaining-" .. title,
      }
    end
  end
  prepared[conf] = plan
  return plan
end

--- Who is counted. What cannot be told is counted by address, marked so that no client can choose another's name.
local function identify(conf, ctx)
  local by, value = conf.limit_by, nil
  if by == "consumer" then
    value = ctx.consumer_name
  elseif by == "credential" then
    local consumer = ctx.consumer
    value = consumer and (consumer.consumer_name .. "/" .. (consumer.credential_id or ""))
  elseif by == "service" then
    value = ctx.service_id
  elseif by == "header" then
    value = core.request.header(ctx, conf.header_name)
  elseif by == "path" then
    value = ctx.var.uri == conf.path and conf.path or nil
  end
  if value == nil then
    return "ip=" .. (ctx.var.remote_addr or "unknown")
  end
  if #value > value_size_max_bytes then
    value = "sha1:" .. ngx.encode_base64(ngx.sha1_bin(value))
  end
  return by .. "=" .. value
end

local function add_local(counters, step)
  local dict = ngx.shared[dict_name]
  local counts = {}
  for index, counter in ipairs(counters) do
    local count, err = dict:incr(counter.key, step, 0, counter.left)
    if not count then
      return nil, err
    end
    counts[index] = count
  end
  return counts
end

--- How long until every window that is full has ended; nil when none is.
local function wait_of(plan, counters, counts)
  local wait
  for index, item in ipairs(plan.limits) do
    if counts[index] > item.count then
      wait = max(wait or 0, counters[index].left)
    end
  end
  return wait
end

local function lower(counts)
  for index, count in ipairs(counts) do
    counts[index] = count - 1
  end
  return counts
end

--- Takes one request from each window, or from none. The second result is how long a refused one has to wait.
local function take_local(_, counters, plan)
  local counts, err = add_local(counters, 1)
  if not counts then
    return nil, nil, err
  end
  local wait = wait_of(plan, counters, counts)
  if wait then
    local given, reason = add_local(counters, -1)
    if not given then
      core.log.warn("kong-rate-limiting: a refused request stays counted: ", reason)
    end
    counts = given or counts
  end
  return counts, wait
end

local function take_redis(conf, counters, plan)
  local counts, err = redis_counters.take(conf.redis, counters, plan.limits)
  if not counts then
    return nil, nil, err
  end
  local wait = wait_of(plan, counters, counts)
  return wait and lower(counts) or counts, wait
end

--- Says what is left, for each window and, in the standard's words, for the one that has least.
local function show(plan, counters, counts)
  local set_header = core.response.set_header
  local least
  for index, item in ipairs(plan.limits) do
    local remaining = max(0, item.count - counts[index])
    set_header(item.limit_header, item.count, item.remaining_header, remaining)
    if not least or remaining < least.remaining then
      least = { remaining = remaining, limit = item.count, left = counters[index].left }
    end
  end
  set_header("RateLimit-Limit", least.limit, "RateLimit-Remaining", least.remaining, "RateLimit-Reset", least.left)
end

local function make_counters(conf, plan, ctx)
  local prefix = "kong-rate-limiting|" .. conf.scope .. "|" .. identify(conf, ctx) .. "|"
  local now = ngx.time()
  local counters = {}
  for index, item in ipairs(plan.limits) do
    local name, left = windows.at(item.window, now)
    counters[index] = { key = prefix .. name, left = left }
  end
  return counters
end

--- Counts the request in every window, or refuses it and counts it nowhere.
--- Phases: access. Yields with policy redis. Counters out of reach: lets through with `fault_tolerant`, else 500.
---@param conf plugin.KongRateLimitingConf
---@param ctx moongate.Ctx
---@return integer? status
---@return table? body
function _M.access(conf, ctx)
  local plan = prepared[conf] or prepare(conf)
  local counters = make_counters(conf, plan, ctx)
  local take = conf.policy == "redis" and take_redis or take_local
  local counts, wait, err = take(conf, counters, plan)
  if not counts then
    core.log.error("kong-rate-limiting: failed to get usage: ", err)
    if conf.fault_tolerant then
      return nil
    end
    return 500, { message = "An unexpected error occurred" }
  end
  if not conf.hide_client_headers then
    show(plan, counters, counts)
    if wait then
      core.response.set_header("Retry-After", wait)
    end
  end
  if wait then
    return conf.error_code, plan.refusal
  end
end

return _M
