-- SPDX-License-Identifier: Apache-2.0
--- consumer-restriction: lets in, or keeps out, by the name or group of the consumer, or by service or route.
--
-- A value on the blacklist is refused whatever else is configured. One that a whitelist does not hold is refused as well.
-- `allowed_by_methods` limits the methods of the users it lists, unless the whitelist names them.

local core = require("apisix.core")

local ipairs = ipairs
local setmetatable = setmetatable

local values = { type = "array", minItems = 1, items = { type = "string" } }

local schema = {
  type = "object",
  properties = {
    type = {
      type = "string",
      enum = { "consumer_name", "service_id", "route_id", "consumer_group_id" },
      default = "consumer_name",
    },
    blacklist = values,
    whitelist = values,
    allowed_by_methods = {
      type = "array",
      items = {
        type = "object",
        properties = {
          user = { type = "string" },
          methods = {
            type = "array",
            minItems = 1,
            items = {
              type = "string",
              enum = {
                "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE",
              },
            },
          },
        },
      },
    },
    rejected_code = { type = "integer", minimum = 200, default = 403 },
    rejected_msg = { type = "string" },
  },
  anyOf = {
    { required = { "blacklist" } },
    { required = { "whitelist" } },
    { required = { "allowed_by_methods" } },
  },
}

local _M = {
  version = 0.1,
  priority = 2400,
  name = "consumer-restriction",
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do
    set[item] = true
  end
  return set
end

--- The lists of a conf as sets, so that a long list costs a request no more than a short one.
local function prepare(conf)
  local rules = {
    blacklist = conf.blacklist and set_of(conf.blacklist),
    whitelist = conf.whitelist and set_of(conf.whitelist),
    missing = { message = "The request is rejected, please check the " .. conf.type .. " for this request" },
    refusal = { message = conf.rejected_msg or "The " .. conf.type .. " is forbidden." },
  }
  if conf.allowed_by_methods and #conf.allowed_by_methods > 0 then
    rules.methods_of = {}
    for _, rule in ipairs(conf.allowed_by_methods) do
      if rule.user and not rules.methods_of[rule.user] then
        rules.methods_of[rule.user] = set_of(rule.methods or {})
      end
    end
  end
  return rules
end

local prepared = setmetatable({}, { __mode = "k" })

local function is_refused(rules, value)
  if rules.blacklist and rules.blacklist[value] then
    return true
  end
  local is_whitelisted = rules.whitelist ~= nil and rules.whitelist[value] == true
  if rules.whitelist and not is_whitelisted then
    return true
  end
  local methods = rules.methods_of and rules.methods_of[value]
  return methods ~= nil and not is_whitelisted and not methods[core.request.get_method()]
end

--- Refuses whom the lists do not let in.
--- Phases: access. Does not yield.
---@param conf plugin.ConsumerRestrictionConf
---@param ctx moongate.Ctx
---@return integer? status    401 when there is nothing to compare, `rejected_code` when refused
---@return table? body
function _M.access(conf, ctx)
  local rules = prepared[conf]
  if not rules then
    rules = prepare(conf)
    prepared[conf] = rules
  end
  local value = ctx[conf.type]
  if value == nil then
    return 401, rules.missing
  end
  if is_refused(rules, value) then
    return conf.rejected_code, rules.refusal
  end
end

return _M
