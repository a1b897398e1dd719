-- SPDX-License-Identifier: Apache-2.0
--- ip-restriction: lets in, or keeps out, by the address of the client, as trusted proxies tell it.

local core = require("apisix.core")

local ipairs = ipairs
local setmetatable = setmetatable
local tostring = tostring

local addresses = { type = "array", minItems = 1, items = { type = "string" } }

local schema = {
  type = "object",
  properties = {
    message = { type = "string", minLength = 1, maxLength = 1024, default = "Your IP address is not allowed" },
    response_code = { type = "integer", minimum = 403, maximum = 404, default = 403 },
    whitelist = addresses,
    blacklist = addresses,
  },
  oneOf = {
    { required = { "whitelist" } },
    { required = { "blacklist" } },
  },
}

local _M = {
  version = 0.1,
  priority = 3000,
  name = "ip-restriction",
  schema = schema,
}

local function check_list(list)
  for _, address in ipairs(list or {}) do
    if not core.ip.validate_cidr_or_ip(address) then
      return false, "invalid ip address: " .. tostring(address)
    end
  end
  return true
end

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  ok, err = check_list(conf.whitelist)
  if not ok then
    return false, err
  end
  return check_list(conf.blacklist)
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local matcher, err = core.ip.create_ip_matcher(conf.whitelist or conf.blacklist)
  if not matcher then
    return nil, err
  end
  return { matcher = matcher, is_whitelist = conf.whitelist ~= nil, refusal = { message = conf.message } }
end

--- Refuses clients by their address. One that cannot be told is refused too.
--- Phases: access. Does not yield.
---@param conf plugin.IpRestrictionConf
---@param ctx moongate.Ctx
---@return integer? status
---@return table? body
function _M.access(conf, ctx)
  local rules = prepared[conf]
  if not rules then
    local err
    rules, err = prepare(conf)
    if not rules then
      core.log.error("ip-restriction: the list of addresses cannot be used: ", err)
      return 500, { error_msg = "failed to check the client address" }
    end
    prepared[conf] = rules
  end
  local address = ctx.var.remote_addr
  local is_listed = address ~= nil and rules.matcher:match(address) == true
  if address == nil or is_listed ~= rules.is_whitelist then
    return conf.response_code, rules.refusal
  end
end

return _M
