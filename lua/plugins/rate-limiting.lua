-- SPDX-License-Identifier: Apache-2.0
--- rate-limiting: a token bucket for each value of a key. The bucket holds `burst` tokens, a request takes one, and
--- `rate` tokens a second come back. The runtime decides, in a table that all workers of the machine share.
--
-- A `burst` of 0 is a bucket of one token: requests at `rate`, evenly spaced. Without `burst` the bucket holds what one
-- second brings.

local core = require("apisix.core")
local limit_key = require("apisix.plugins.limit-count.key")
local quota = require("apisix.plugins.limit-count.quota")
local ffi = require("ffi")
local native = require("moongate.native")

local C = native.C
local ceil = math.ceil
local max = math.max
local setmetatable = setmetatable

local plugin_name = "rate-limiting"

local schema = {
  type = "object",
  properties = {
    rate = { type = "number", exclusiveMinimum = 0 },
    burst = { type = "number", minimum = 0 },
    key_type = {
      type = "string",
      enum = { "var", "var_combination", "constant", "remote_addr", "consumer_name", "header", "cookie" },
      default = "var",
    },
    key = { type = "string", minLength = 1, default = "remote_addr" },
    rejected_code = { type = "integer", minimum = 200, maximum = 599, default = 429 },
    rejected_msg = { type = "string", minLength = 1 },
    show_limit_quota_header = { type = "boolean", default = true },
    header_style = { type = "string", enum = { "x-ratelimit", "ietf", "both" }, default = "x-ratelimit" },
    dry_run = { type = "boolean", default = false },
    allow_degradation = { type = "boolean", default = false },
  },
  required = { "rate" },
}

local _M = {
  version = 0.1,
  priority = 1010,
  name = plugin_name,
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

local verdict = ffi.new("mg_verdict[1]")
local failure = { error_msg = "failed to limit rate" }

--- How many requests an untouched bucket admits at once.
local function bucket_size(conf)
  return max(1, conf.burst or ceil(conf.rate))
end

local function prepare(conf, ctx)
  local size = bucket_size(conf)
  local kind, key = limit_key.source(conf.key_type, conf.key)
  return {
    slot = limit_key.new(plugin_name, conf, ctx),
    kind = kind,
    key = key,
    size = size,
    quota = quota.new(size, size / conf.rate, conf.header_style),
    refusal = { error_msg = conf.rejected_msg or "Rate limit exceeded" },
  }
end

local prepared = setmetatable({}, { __mode = "k" })

--- Takes one token from the bucket of the request's key.
--- Phases: access. Does not yield. No room for the bucket: 500, or admits with `allow_degradation`.
---@param conf plugin.RateLimitingConf
---@param ctx moongate.Ctx
---@return integer? status    `rejected_code` when the bucket is empty; nil lets the request go on
---@return table? body
function _M.access(conf, ctx)
  local plan = prepared[conf]
  if not plan then
    plan = prepare(conf, ctx)
    prepared[conf] = plan
  end
  local value, is_fallback = limit_key.value(plan.kind, plan.key, ctx)
  local data, data_size = limit_key.bytes(plan.slot, value, is_fallback)
  if C.mg_limit_take_token(data, data_size, conf.rate, plan.size, 1, verdict) ~= 0 then
    core.log.error("rate-limiting: the table of buckets is full")
    if conf.allow_degradation or conf.dry_run then
      return nil
    end
    return 500, failure
  end
  local is_admitted = verdict[0].is_admitted == 1
  if conf.dry_run then
    if not is_admitted then
      core.log.warn("rate-limiting: dry run, would refuse a request of ", value)
    end
    return nil
  end
  if conf.show_limit_quota_header then
    quota.show(plan.quota, verdict[0])
  end
  if not is_admitted then
    quota.show_retry(verdict[0])
    return conf.rejected_code, plan.refusal
  end
end

return _M
