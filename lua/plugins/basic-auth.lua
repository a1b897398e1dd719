-- SPDX-License-Identifier: Apache-2.0
--- basic-auth: user name and password of RFC 7617, compared with those of a consumer.
--
-- White space inside user name and password does not count, and a password ends at a second colon: that is how the
-- credentials of existing consumers were always read, so it stays.

local anonymous = require("moongate.anonymous")
local core = require("apisix.core")
local auth = require("apisix.utils.auth")
local consumers = require("apisix.consumer")
local schema_def = require("apisix.schema_def")
local digest = require("moongate.ngx.digest")

local decode_base64 = ngx.decode_base64
local find = string.find
local gsub = string.gsub
local match = string.match
local sub = string.sub
local type = type

-- A longer header cannot be anybody's credentials; it is refused before it is decoded.
local header_size_max_bytes = 8192

local schema = {
  type = "object",
  properties = {
    hide_credentials = { type = "boolean", default = false },
    anonymous_consumer = schema_def.anonymous_consumer_schema,
    realm = schema_def.get_realm_schema("basic"),
  },
}

local consumer_schema = {
  type = "object",
  properties = {
    username = { type = "string" },
    password = { type = "string" },
  },
  encrypt_fields = { "password" },
  required = { "username", "password" },
}

local _M = {
  version = 0.1,
  priority = 2520,
  type = "auth",
  name = "basic-auth",
  schema = schema,
  consumer_schema = consumer_schema,
}

function _M.check_schema(conf, schema_type)
  if schema_type == core.schema.TYPE_CONSUMER then
    return core.schema.check(consumer_schema, conf)
  end
  return core.schema.check(schema, conf)
end

local function without_blanks(text)
  if find(text, "%s") then
    return (gsub(text, "%s+", ""))
  end
  return text
end

--- Splits "user:password". nil when there is no colon or nothing after it.
local function split_credentials(text)
  local colon = find(text, ":", 1, true)
  if not colon or colon == #text then
    return nil
  end
  local second = find(text, ":", colon + 1, true)
  local password = sub(text, colon + 1, (second or #text + 1) - 1)
  return without_blanks(sub(text, 1, colon - 1)), without_blanks(password)
end

--- Returns user name and password, or nil and why the header is none of ours.
local function parse_header(header)
  if #header > header_size_max_bytes then
    return nil, nil, "the header is too long"
  end
  local encoded = match(header, "^%s*[Bb][Aa][Ss][Ii][Cc]%s+(%S+)%s*$")
  local decoded = encoded and decode_base64(encoded)
  if not decoded then
    return nil, nil, "the header is no base64 after the word Basic"
  end
  local username, password = split_credentials(decoded)
  if not username then
    return nil, nil, "there is no colon between user name and password"
  end
  return username, password
end

local function is_same_secret(given, kept)
  return type(kept) == "string" and digest.is_equal(given, kept)
end

--- The generic text, or under multi-auth, which shows the texts of all its plugins, the reason too.
local function explain(ctx, text, reason)
  core.log.info("basic-auth: ", text, ": ", reason)
  return auth.is_running_under_multi_auth(ctx) and text .. ": " .. reason or text
end

local function find_consumer(ctx)
  local header = core.request.header(ctx, "Authorization")
  if not header then
    return nil, nil, "Missing authorization in request"
  end
  local username, password, err = parse_header(header)
  if not username then
    return nil, nil, explain(ctx, "Invalid authorization in request", err)
  end
  local consumer, consumer_conf, missing = consumers.find_consumer("basic-auth", "username", username)
  if not consumer then
    is_same_secret(password, password)
    return nil, nil, explain(ctx, "Invalid user authorization", missing or "unknown user")
  end
  local credentials = consumer.auth_conf or consumer_conf
  if not is_same_secret(password, credentials.password) then
    return nil, nil, explain(ctx, "Invalid user authorization", "wrong password")
  end
  return consumer, consumer_conf
end

local function refuse(conf, message)
  core.response.set_header("WWW-Authenticate", 'Basic realm="' .. conf.realm .. '"')
  return 401, { message = message }
end

--- Checks user name and password and attaches the consumer.
--- Phases: rewrite. Does not yield.
---@param conf plugin.BasicAuthConf
---@param ctx moongate.Ctx
---@return integer? status    401 when there is no consumer for the request
---@return table? body
function _M.rewrite(conf, ctx)
  local consumer, consumer_conf, err = find_consumer(ctx)
  if not consumer then
    consumer, consumer_conf, err = anonymous.stand_in("basic-auth", conf, err)
    if not consumer then
      return refuse(conf, err)
    end
  end
  if conf.hide_credentials then
    core.request.set_header(ctx, "Authorization", nil)
  end
  consumers.attach_consumer(ctx, consumer, consumer_conf)
end

return _M
