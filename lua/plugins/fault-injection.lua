-- SPDX-License-Identifier: Apache-2.0
--- fault-injection: makes some requests slow, and answers some itself, to see how clients bear it.

local core = require("apisix.core")
local expr = require("resty.expr.v1")
local native = require("moongate.native")

local C = native.C
local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

local percentage = { type = "integer", minimum = 0, maximum = 100 }
local vars = { type = "array", maxItems = 20, items = { type = "array" } }

local schema = {
  type = "object",
  properties = {
    abort = {
      type = "object",
      properties = {
        http_status = { type = "integer", minimum = 200 },
        body = { type = "string", minLength = 0 },
        headers = {
          type = "object",
          minProperties = 1,
          patternProperties = {
            ["^[^:]+$"] = { oneOf = { { type = "string" }, { type = "number" } } },
          },
        },
        percentage = percentage,
        vars = vars,
      },
      required = { "http_status" },
    },
    delay = {
      type = "object",
      properties = {
        duration = { type = "number", minimum = 0 },
        percentage = percentage,
        vars = vars,
      },
      required = { "duration" },
    },
  },
  minProperties = 1,
}

local _M = {
  version = 0.1,
  priority = 11000,
  name = "fault-injection",
  schema = schema,
}

local function compile(lists)
  if not lists then
    return nil
  end
  local compiled = {}
  for index, list in ipairs(lists) do
    local rule, err = expr.new(list)
    if not rule then
      return nil, err
    end
    compiled[index] = rule
  end
  return compiled
end

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  for _, fault in ipairs({ conf.abort or {}, conf.delay or {} }) do
    ok, err = compile(fault.vars)
    if not ok and err then
      return false, "failed to create vars expression: " .. tostring(err)
    end
  end
  return true
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = { headers = {} }
  plan.delay_rules = conf.delay and compile(conf.delay.vars)
  plan.abort_rules = conf.abort and compile(conf.abort.vars)
  for name, value in pairs(conf.abort and conf.abort.headers or {}) do
    plan.headers[#plan.headers + 1] = { name = name, value = value }
  end
  prepared[conf] = plan
  return plan
end

local function is_drawn(share)
  return share == nil or tonumber(C.mg_random() % 100) < share
end

--- No rules hold always; of several one is enough.
local function is_matched(rules, ctx)
  if not rules then
    return true
  end
  for index = 1, #rules do
    if rules[index]:eval(ctx.var) then
      return true
    end
  end
  return false
end

local function resolve(value, ctx)
  if type(value) ~= "string" then
    return value
  end
  return (core.utils.resolve_var(value, ctx.var))
end

--- Waits, then answers, as far as the request was drawn for either.
--- Phases: rewrite. Yields for a delay.
---@param conf plugin.FaultInjectionConf
---@param ctx moongate.Ctx
---@return integer? status
---@return string? body
function _M.rewrite(conf, ctx)
  local plan = prepared[conf] or prepare(conf)
  local delay, abort = conf.delay, conf.abort
  if delay and is_drawn(delay.percentage) and is_matched(plan.delay_rules, ctx) then
    core.sleep(delay.duration)
  end
  if abort and is_drawn(abort.percentage) and is_matched(plan.abort_rules, ctx) then
    for _, header in ipairs(plan.headers) do
      core.response.set_header(header.name, resolve(header.value, ctx))
    end
    return abort.http_status, resolve(abort.body, ctx)
  end
end

return _M
