-- SPDX-License-Identifier: Apache-2.0
--- limit-count: a number of requests in a window of time, fixed or sliding, for each value of a key.
--
-- With policy local, fixed windows are counted by the runtime in a table that all workers share, sliding ones in a shared
-- dictionary (sliding.lua); with the others, both in Redis (redis.lua). Under which key: key.lua. What a conf may hold: schema.lua.

local core = require("apisix.core")
local limit_key = require("apisix.plugins.limit-count.key")
local limit_schema = require("apisix.plugins.limit-count.schema")
local plugin = require("apisix.plugin")
local redis_counters = require("apisix.plugins.limit-count.redis")
local sliding = require("apisix.plugins.limit-count.sliding")
local current = require("moongate.current")
local ffi = require("ffi")
local fields = require("moongate.fields")
local native = require("moongate.native")

local C = native.C
local floor = math.floor
local gsub = string.gsub
local ipairs = ipairs
local key_bytes = limit_key.bytes
local key_value = limit_key.value
local mg_limit_take_window = C.mg_limit_take_window
local set_quota = fields.response_set_quota
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

local plugin_name = "limit-count"
local integer_max = 9007199254740991 -- above it numbers are not whole any more

local _M = {
  version = 0.5,
  priority = 1002,
  name = plugin_name,
  schema = limit_schema.conf,
  metadata_schema = limit_schema.metadata,
}

local default_metadata = {
  limit_header = "X-RateLimit-Limit",
  remaining_header = "X-RateLimit-Remaining",
  reset_header = "X-RateLimit-Reset",
}

local verdict = ffi.new("mg_verdict[1]")

-- `$rate_limiting_info` is put together when somebody reads it.
core.ctx.register_var("rate_limiting_info", function(ctx)
  if ctx.rate_limit_key == nil then
    return nil
  end
  return "key=" .. ctx.rate_limit_key .. ", limit=" .. ctx.rate_limit_count
    .. ", remaining=" .. ctx.rate_limit_remaining .. ", reset=" .. ctx.rate_limit_reset
end, { no_cacheable = true })

function _M.check_schema(conf, schema_type)
  if schema_type == core.schema.TYPE_METADATA then
    return core.schema.check(limit_schema.metadata, conf)
  end
  return limit_schema.check(conf)
end

---@class plugin.LimitRule
---@field key string
---@field kind string           where the value is; "rule": `key` is a template that must resolve
---@field count number|string
---@field window number|string
---@field prefix string?        part of the header names
---@field slot plugin.LimitSlot
---@field headers moongate.QuotaHeaders    made from `metadata`
---@field metadata table?

local function make_rule(conf, ctx, item, index)
  local kind, key = "rule", item.key
  if not index then
    kind, key = limit_key.source(conf.key_type, conf.key)
  end
  return {
    key = key,
    kind = kind,
    count = item.count,
    window = item.time_window,
    prefix = index and (item.header_prefix or tostring(index)),
    slot = limit_key.new(plugin_name, conf, ctx, index and tostring(index)),
  }
end

local function prepare(conf, ctx)
  local plan = {
    rules = {},
    is_sliding = conf.window_type == "sliding",
    refusal = conf.rejected_msg and { error_msg = conf.rejected_msg } or nil,
  }
  if conf.policy ~= "local" then
    plan.store, plan.store_fault = redis_counters.new(conf)
  end
  if conf.rules then
    for index, item in ipairs(conf.rules) do
      plan.rules[index] = make_rule(conf, ctx, item, index)
    end
  else
    plan.rules[1] = make_rule(conf, ctx, conf)
  end
  plan.count = #plan.rules
  return plan
end

local prepared = setmetatable({}, { __mode = "k" })

local function with_prefix(name, prefix)
  if not prefix then
    return name
  end
  return (gsub(name, "RateLimit%-", (gsub(prefix, "%%", "%%%%")) .. "-RateLimit-", 1))
end

--- The quota headers, made anew when the plugin's metadata has changed.
local function quota_headers(rule)
  local item = plugin.plugin_metadata(plugin_name)
  local metadata = item and item.value or default_metadata
  if rule.metadata ~= metadata then
    rule.metadata = metadata
    rule.headers = fields.quota_headers(
      with_prefix(metadata.limit_header or default_metadata.limit_header, rule.prefix),
      with_prefix(metadata.remaining_header or default_metadata.remaining_header, rule.prefix),
      with_prefix(metadata.reset_header or default_metadata.reset_header, rule.prefix)
    )
  end
  return rule.headers
end

--- A count or window as a number. Templates are resolved; what is no positive whole number is an error.
local function number_of(setting, ctx)
  if type(setting) == "number" then
    return setting
  end
  local text, err = core.utils.resolve_var(setting, ctx.var)
  if err then
    return nil, "could not resolve var for value: " .. setting .. ", err: " .. err
  end
  local number = tonumber(text)
  if not number then
    return nil, "resolved value is not a number"
  end
  if number <= 0 or number ~= floor(number) or number > integer_max then
    return nil, "resolved value must be a positive whole number, got: " .. text
  end
  return number
end

--- The value a rule counts by; nil when the rule does not apply to this request.
local function value_of(rule, ctx)
  if rule.kind ~= "rule" then
    return key_value(rule.kind, rule.key, ctx)
  end
  local value, err, count = core.utils.resolve_var(rule.key, ctx.var)
  if err or count == 0 then
    return nil
  end
  return value, false
end

local function take(plan, rule, value, is_fallback, count, window)
  if plan.store_fault then
    return nil, plan.store_fault
  end
  if plan.store then
    return redis_counters.take(plan.store, limit_key.text(rule.slot, value, is_fallback), count, window, verdict[0])
  end
  if plan.is_sliding then
    local dict = ngx.shared["plugin-limit-count"]
    if not dict then
      return nil, "there is no shared dictionary plugin-limit-count"
    end
    return sliding.take(dict, limit_key.text(rule.slot, value, is_fallback), count, window, verdict[0])
  end
  local data, size = key_bytes(rule.slot, value, is_fallback)
  if mg_limit_take_window(data, size, count, window, 1, verdict) ~= 0 then
    return nil, "the table of counters is full"
  end
  return true
end

--- Keeps what `$rate_limiting_info` and the headers tell.
local function publish(conf, rule, ctx, value, count)
  local remaining = verdict[0].remaining
  local reset = floor(verdict[0].reset_s * 100) / 100
  ctx.rate_limit_key = value
  ctx.rate_limit_count = count
  ctx.rate_limit_remaining = remaining
  ctx.rate_limit_reset = reset
  if conf.show_limit_quota_header then
    set_quota(current.ex, quota_headers(rule), count, remaining, reset)
  end
end

local function fail(conf, err, body)
  core.log.error("limit-count: failed to limit count: ", err)
  if not conf.allow_degradation then
    return 500, body
  end
end

--- Applies one rule. Third result: whether it concerned the request at all.
local function apply(conf, plan, rule, ctx)
  local value, is_fallback = value_of(rule, ctx)
  if not value then
    return nil, nil, false
  end
  local count, window, ok, err
  count, err = number_of(rule.count, ctx)
  if count then
    window, err = number_of(rule.window, ctx)
  end
  if not window then
    local code = fail(conf, err)
    return code, nil, true
  end
  ok, err = take(plan, rule, value, is_fallback, count, window)
  if not ok then
    local code, body = fail(conf, err, { error_msg = "failed to limit count" })
    return code, body, true
  end
  local is_admitted = verdict[0].is_admitted == 1
  publish(conf, rule, ctx, value, count)
  if not is_admitted then
    return conf.rejected_code, plan.refusal, true
  end
  return nil, nil, true
end

--- Takes one request from the allowance of the request's key, in every rule that applies.
--- Phases: access. Yields only with Redis. It cannot count: 500, or admits with `allow_degradation`.
---@param conf plugin.LimitCountConf
---@param ctx moongate.Ctx
---@return integer? status    `rejected_code` when the allowance is spent
---@return table? body
function _M.access(conf, ctx)
  local plan = prepared[conf]
  if not plan then
    plan = prepare(conf, ctx)
    prepared[conf] = plan
  end
  local rules = plan.rules
  local has_applied = false
  for index = 1, plan.count do
    local code, body, is_concerned = apply(conf, plan, rules[index], ctx)
    if code then
      return code, body
    end
    has_applied = has_applied or is_concerned
  end
  if not has_applied then
    return fail(conf, "no rule applies to this request")
  end
end

return _M
