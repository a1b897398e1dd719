-- SPDX-License-Identifier: Apache-2.0
--- key-auth: a consumer is known by a key that the client sends in a header or in a query argument.
--
-- Keys are looked up in the index that `apisix.consumer` keeps; this file only finds the key in the request, hides it
-- from the upstream when asked, and words the refusals.

local anonymous = require("moongate.anonymous")
local core = require("apisix.core")
local auth = require("apisix.utils.auth")
local consumers = require("apisix.consumer")
local schema_def = require("apisix.schema_def")

local attach_consumer = consumers.attach_consumer
local find_consumer_in_header = consumers.find_consumer_in_header
local find_consumer_of = consumers.find_consumer
local request_header = core.request.header
local type = type

local schema = {
  type = "object",
  properties = {
    header = { type = "string", default = "apikey" },
    query = { type = "string", default = "apikey" },
    hide_credentials = { type = "boolean", default = false },
    anonymous_consumer = schema_def.anonymous_consumer_schema,
    realm = schema_def.get_realm_schema("key"),
  },
}

local consumer_schema = {
  type = "object",
  properties = { key = { type = "string" } },
  encrypt_fields = { "key" },
  required = { "key" },
}

local _M = {
  version = 0.1,
  priority = 2500,
  type = "auth",
  name = "key-auth",
  schema = schema,
  consumer_schema = consumer_schema,
}

function _M.check_schema(conf, schema_type)
  if schema_type == core.schema.TYPE_CONSUMER then
    return core.schema.check(consumer_schema, conf)
  end
  return core.schema.check(schema, conf)
end

--- Returns the key and whether it came from the query. A header counts before an argument.
local function read_key(conf, ctx)
  local key = request_header(ctx, conf.header)
  if key then
    return key, false
  end
  key = ctx.var["arg_" .. conf.query]
  if type(key) == "string" then
    return key, true
  end
end

local function hide_key(conf, ctx, is_in_query)
  if not is_in_query then
    core.request.set_header(ctx, conf.header, nil)
    return
  end
  local args = core.request.get_uri_args(ctx)
  args[conf.query] = nil
  core.request.set_uri_args(ctx, args)
end

local function find_consumer(conf, ctx)
  -- Nearly every request is served here; what is below finds out why another is not.
  local known, known_conf = find_consumer_in_header("key-auth", "key", ctx, conf.header)
  if known then
    if conf.hide_credentials then
      hide_key(conf, ctx, false)
    end
    return known, known_conf
  end
  local key, is_in_query = read_key(conf, ctx)
  if not key then
    return nil, nil, "Missing API key in request"
  end
  if conf.hide_credentials then
    hide_key(conf, ctx, is_in_query)
  end
  local consumer, consumer_conf, err = find_consumer_of("key-auth", "key", key)
  if consumer then
    return consumer, consumer_conf
  end
  core.log.info("no consumer has the API key of this request: ", err)
  if auth.is_running_under_multi_auth(ctx) then
    return nil, nil, "Invalid API key in request: " .. (err or "unknown key")
  end
  return nil, nil, "Invalid API key in request"
end

local function refuse(conf, message)
  core.response.set_header("WWW-Authenticate", 'apikey realm="' .. conf.realm .. '"')
  return 401, { message = message }
end

--- Finds and attaches the consumer.
--- Phases: rewrite. Does not yield.
---@param conf plugin.KeyAuthConf
---@param ctx moongate.Ctx
---@return integer? status    401 when there is no consumer for the request
---@return table? body
function _M.rewrite(conf, ctx)
  local consumer, consumer_conf, err = find_consumer(conf, ctx)
  if not consumer then
    consumer, consumer_conf, err = anonymous.stand_in("key-auth", conf, err)
    if not consumer then
      return refuse(conf, err)
    end
  end
  attach_consumer(ctx, consumer, consumer_conf)
end

return _M
