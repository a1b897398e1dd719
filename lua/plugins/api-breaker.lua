-- SPDX-License-Identifier: Apache-2.0
--- api-breaker: a circuit breaker for each host and path. Every `failures` bad answers open it, for 2, 4, 8 ... seconds;
--- while it is open the upstream is not asked. `successes` good answers close it and forget the past.
--
--              failures-th bad answer               time is over
--     closed ---------------------------> open ----------------------> trying
--       ^                                  ^                             |  |
--       |        successes good answers    |   failures-th bad answer    |  |
--       +----------------------------------|-----------------------------+  |
--                                          +--------------------------------+
--
-- The state is three entries of the shared dictionary, so all workers see one breaker: how many bad answers there were,
-- how many good ones since, and when the breaker was opened last.

local core = require("apisix.core")

local ceil = math.ceil
local ipairs = ipairs
local min = math.min
local setmetatable = setmetatable

local dict_name = "plugin-api-breaker"
local key_size_max_bytes = 512

local schema = {
  type = "object",
  properties = {
    break_response_code = { type = "integer", minimum = 200, maximum = 599 },
    break_response_body = { type = "string" },
    break_response_headers = {
      type = "array",
      items = {
        type = "object",
        properties = {
          key = { type = "string", minLength = 1 },
          value = { type = "string", minLength = 1 },
        },
        required = { "key", "value" },
      },
    },
    max_breaker_sec = { type = "integer", minimum = 3, default = 300 },
    unhealthy = {
      type = "object",
      properties = {
        http_statuses = {
          type = "array",
          minItems = 1,
          items = { type = "integer", minimum = 500, maximum = 599 },
          uniqueItems = true,
          default = { 500 },
        },
        failures = { type = "integer", minimum = 1, default = 3 },
      },
      default = { http_statuses = { 500 }, failures = 3 },
    },
    healthy = {
      type = "object",
      properties = {
        http_statuses = {
          type = "array",
          minItems = 1,
          items = { type = "integer", minimum = 200, maximum = 499 },
          uniqueItems = true,
          default = { 200 },
        },
        successes = { type = "integer", minimum = 1, default = 3 },
      },
      default = { http_statuses = { 200 }, successes = 3 },
    },
  },
  required = { "break_response_code" },
}

local _M = {
  version = 0.1,
  priority = 1005,
  name = "api-breaker",
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = { is_bad = {}, is_good = {} }
  for _, status in ipairs(conf.unhealthy.http_statuses) do
    plan.is_bad[status] = true
  end
  for _, status in ipairs(conf.healthy.http_statuses) do
    plan.is_good[status] = true
  end
  prepared[conf] = plan
  return plan
end

--- The breaker a request belongs to. Clients choose paths, so a long one is kept by its digest.
local function breaker_of(ctx)
  local key = ctx.api_breaker_key
  if not key then
    key = (core.request.get_host(ctx) or "") .. (ctx.var.uri or "")
    if #key > key_size_max_bytes then
      key = "sha1:" .. ngx.encode_base64(ngx.sha1_bin(key))
    end
    ctx.api_breaker_key = key
  end
  return key
end

local function break_off(conf, ctx)
  if not conf.break_response_body then
    return conf.break_response_code
  end
  for _, header in ipairs(conf.break_response_headers or {}) do
    core.response.add_header(header.key, (core.utils.resolve_var(header.value, ctx.var)))
  end
  return conf.break_response_code, conf.break_response_body
end

--- Answers in place of the upstream while the breaker is open.
--- Phases: access. Does not yield.
---@param conf plugin.ApiBreakerConf
---@param ctx moongate.Ctx
---@return integer? status
---@return string? body
function _M.access(conf, ctx)
  local dict = ngx.shared[dict_name]
  local key = breaker_of(ctx)
  local failures = dict:get("unhealthy-" .. key)
  if not failures then
    return nil
  end
  local opened_at = dict:get("unhealthy-lasttime" .. key)
  if not opened_at then
    return nil
  end
  local times = ceil(failures / conf.unhealthy.failures)
  local open_for = min(2 ^ (times < 1 and 1 or times), conf.max_breaker_sec)
  if opened_at + open_for >= ngx.time() then
    return break_off(conf, ctx)
  end
end

local function count_failure(conf, dict, key)
  local failures, err = dict:incr("unhealthy-" .. key, 1, 0)
  if not failures then
    core.log.error("api-breaker: cannot count a failure: ", err)
    return
  end
  dict:delete("healthy-" .. key)
  if failures % conf.unhealthy.failures == 0 then
    dict:set("unhealthy-lasttime" .. key, ngx.time(), conf.max_breaker_sec)
    core.log.warn("api-breaker: opened for ", key, " after ", failures, " failures")
  end
end

local function count_success(conf, dict, key)
  if not dict:get("unhealthy-" .. key) then
    return
  end
  local successes, err = dict:incr("healthy-" .. key, 1, 0)
  if not successes then
    core.log.error("api-breaker: cannot count a success: ", err)
    return
  end
  if successes >= conf.healthy.successes then
    dict:delete("unhealthy-lasttime" .. key)
    dict:delete("unhealthy-" .. key)
    dict:delete("healthy-" .. key)
  end
end

--- Counts what the upstream answered. An answer of our own counts for nothing.
--- Phases: log.
---@param conf plugin.ApiBreakerConf
---@param ctx moongate.Ctx
function _M.log(conf, ctx)
  local status = core.response.get_upstream_status(ctx)
  if not status then
    return
  end
  local plan = prepared[conf] or prepare(conf)
  local dict = ngx.shared[dict_name]
  if plan.is_bad[status] then
    count_failure(conf, dict, breaker_of(ctx))
  elseif plan.is_good[status] then
    count_success(conf, dict, breaker_of(ctx))
  end
end

return _M
