-- SPDX-License-Identifier: Apache-2.0
--- sliding-window-rate-limit: at most `rate` + `burst` requests of a client in any `window_size` seconds, as the
--- sliding window counter estimates them. Written in Lua on a shared dictionary: see limit-count/sliding.lua.

local core = require("apisix.core")
local limit_key = require("apisix.plugins.limit-count.key")
local quota = require("apisix.plugins.limit-count.quota")
local sliding = require("apisix.plugins.limit-count.sliding")
local ffi = require("ffi")

local setmetatable = setmetatable

local plugin_name = "sliding-window-rate-limit"
local dict_name = "plugin-sliding-window"

local schema = {
  type = "object",
  properties = {
    rate = { type = "integer", exclusiveMinimum = 0 },
    burst = { type = "integer", minimum = 0, default = 0 },
    window_size = { type = "number", exclusiveMinimum = 0, default = 60 },
    key_type = { type = "string", enum = { "remote_addr", "consumer_name", "header" }, default = "remote_addr" },
    key = { type = "string", minLength = 1 },
    rejected_code = { type = "integer", minimum = 200, maximum = 599, default = 429 },
    rejected_msg = { type = "string", minLength = 1 },
    show_limit_quota_header = { type = "boolean", default = true },
    header_style = { type = "string", enum = { "x-ratelimit", "ietf", "both" }, default = "x-ratelimit" },
  },
  required = { "rate" },
}

local _M = {
  version = 0.1,
  priority = 1009,
  name = plugin_name,
  schema = schema,
}

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  if conf.key_type == "header" and not conf.key then
    return false, 'property "key" is required when "key_type" is "header"'
  end
  return true
end

local verdict = ffi.new("mg_verdict[1]")
local failure = { error_msg = "failed to limit rate" }
local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf, ctx)
  local limit = conf.rate + conf.burst
  return {
    slot = limit_key.new(plugin_name, conf, ctx),
    limit = limit,
    quota = quota.new(limit, conf.window_size, conf.header_style),
    refusal = { error_msg = conf.rejected_msg or "Rate limit exceeded" },
  }
end

local function take(conf, plan, ctx)
  local dict = ngx.shared[dict_name]
  if not dict then
    return nil, "there is no shared dictionary " .. dict_name
  end
  local value, is_fallback = limit_key.value(conf.key_type, conf.key, ctx)
  return sliding.take(dict, limit_key.text(plan.slot, value, is_fallback), plan.limit, conf.window_size, verdict[0])
end

--- Takes one request from the client's window.
--- Phases: access. Does not yield. No room for the counter: 500.
---@param conf plugin.SlidingWindowRateLimitConf
---@param ctx moongate.Ctx
---@return integer? status    `rejected_code` when the window is full
---@return table? body
function _M.access(conf, ctx)
  local plan = prepared[conf]
  if not plan then
    plan = prepare(conf, ctx)
    prepared[conf] = plan
  end
  local ok, err = take(conf, plan, ctx)
  if not ok then
    core.log.error("sliding-window-rate-limit: ", err)
    return 500, failure
  end
  if conf.show_limit_quota_header then
    quota.show(plan.quota, verdict[0])
  end
  if verdict[0].is_admitted ~= 1 then
    quota.show_retry(verdict[0])
    return conf.rejected_code, plan.refusal
  end
end

return _M
