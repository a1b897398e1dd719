-- SPDX-License-Identifier: Apache-2.0
--- The configuration of limit-count and what a schema cannot say about it.

local core = require("apisix.core")
local redis_counters = require("apisix.plugins.limit-count.redis")
local native = require("moongate.native")

local collectgarbage = collectgarbage
local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable

local positive_or_template = {
  oneOf = {
    { type = "integer", exclusiveMinimum = 0 },
    { type = "string" },
  },
}

local function is_policy(name)
  return { properties = { policy = { enum = { name } } }, required = { "policy" } }
end

local _M = {}

_M.conf = {
  type = "object",
  properties = {
    count = positive_or_template,
    time_window = positive_or_template,
    window_type = { type = "string", enum = { "fixed", "sliding" }, default = "fixed" },
    rules = {
      type = "array",
      items = {
        type = "object",
        properties = {
          count = positive_or_template,
          time_window = positive_or_template,
          key = { type = "string" },
          header_prefix = { type = "string" },
        },
        required = { "count", "time_window", "key" },
      },
    },
    group = { type = "string" },
    key = { type = "string", default = "remote_addr" },
    key_type = { type = "string", enum = { "var", "var_combination", "constant" }, default = "var" },
    rejected_code = { type = "integer", minimum = 200, maximum = 599, default = 503 },
    rejected_msg = { type = "string", minLength = 1 },
    policy = {
      type = "string",
      enum = { "local", "redis", "redis-cluster", "redis-sentinel" },
      default = "local",
    },
    sync_interval = { type = "number", default = -1 },
    allow_degradation = { type = "boolean", default = false },
    show_limit_quota_header = { type = "boolean", default = true },
  },
  ["if"] = is_policy("redis"),
  ["then"] = redis_counters.schemas["redis"],
  ["else"] = { ["if"] = is_policy("redis-cluster"), ["then"] = redis_counters.schemas["redis-cluster"] },
  encrypt_fields = { "redis_password", "sentinel_password" },
}

_M.metadata = {
  type = "object",
  properties = {
    limit_header = { type = "string", default = "X-RateLimit-Limit" },
    remaining_header = { type = "string", default = "X-RateLimit-Remaining" },
    reset_header = { type = "string", default = "X-RateLimit-Reset" },
  },
}

-- What the members of a group share; the fields that other parts of the gateway add to a conf do not count.
local group_fields = {}
for _, schema in ipairs({ _M.conf, redis_counters.schemas["redis"], redis_counters.schemas["redis-cluster"] }) do
  for field in pairs(schema.properties) do
    group_fields[#group_fields + 1] = field
  end
end

local groups = setmetatable({}, { __mode = "v" })

local function is_same_group(a, b)
  for _, field in ipairs(group_fields) do
    if not core.table.deep_eq(a[field], b[field]) then
      return false
    end
  end
  return true
end

--- Compares a conf with the others of its group that are in use. Workers do not: they hold confs of the former and of
--- the coming configuration at the same time, and what they get was compared before it was sent to them.
local function check_group(conf)
  if native.C.mg_worker_id() >= 0 then
    return true
  end
  local other = groups[conf.group]
  if other and other ~= conf and not is_same_group(other, conf) then
    other = nil -- luacheck: ignore 311
    collectgarbage()
    if groups[conf.group] then
      return false, "group conf mismatched"
    end
  end
  groups[conf.group] = conf
  return true
end

local function check_rules(rules)
  local seen = {}
  for _, rule in ipairs(rules) do
    if seen[rule.key] then
      return false, "duplicate key '" .. rule.key .. "' in rules"
    end
    seen[rule.key] = true
  end
  return true
end

--- Tells which of count+time_window and rules is given; exactly one must be.
local function check_choice(conf)
  local has_pair = conf.count ~= nil or conf.time_window ~= nil
  if has_pair and conf.rules then
    return false, "count/time_window and rules cannot be specified at the same time"
  end
  if not conf.rules then
    if conf.count == nil then
      return false, 'property "count" is required'
    end
    if conf.time_window == nil then
      return false, 'property "time_window" is required'
    end
  end
  return true
end

local function check_sync_interval(conf)
  local interval = conf.sync_interval
  if conf.policy == "local" or interval == -1 then
    return true
  end
  if interval < 0.1 then
    return false, "sync_interval should not be smaller than 0.1"
  end
  if type(conf.time_window) == "number" and interval >= conf.time_window then
    return false, "sync_interval should be smaller than time_window"
  end
  return false, "sync_interval is not available in this build: each request is counted in Redis at once; leave it out"
end

local function check_policy(conf)
  if conf.policy == "local" then
    return true
  end
  if conf.policy == "redis-sentinel" then
    return false, 'policy "redis-sentinel" is not available in this build'
  end
  return redis_counters.check(conf)
end

--- Checks a conf and fills in the defaults.
---@param conf table
---@return boolean ok
---@return string? err
function _M.check(conf)
  local ok, err = true, nil
  local store = redis_counters.schemas[conf.policy]
  if store then
    -- First and by itself: of what is wrong in a `then`, a schema tells only that something is.
    ok, err = core.schema.check(store, conf)
  end
  if ok then
    ok, err = core.schema.check(_M.conf, conf)
  end
  for _, check in ipairs({ check_choice, check_sync_interval, check_policy }) do
    if not ok then
      return false, err
    end
    ok, err = check(conf)
  end
  if not ok then
    return false, err
  end
  if conf.rules then
    ok, err = check_rules(conf.rules)
    if not ok then
      return false, err
    end
  end
  if conf.group then
    return check_group(conf)
  end
  return true
end

return _M
