-- SPDX-License-Identifier: Apache-2.0
--- jwt-auth: a consumer is known by a claim of a signed token, which comes in a header, the query or a cookie.
--
-- What a token is and when it holds: token.lua. Here: where it is found, whose it is, and how a refusal is worded.

local anonymous = require("moongate.anonymous")
local core = require("apisix.core")
local auth = require("apisix.utils.auth")
local bounded_map = require("moongate.bounded_map")
local consumers = require("apisix.consumer")
local schema_def = require("apisix.schema_def")
local token = require("apisix.plugins.jwt-auth.token")
local native = require("moongate.native")

local concat = table.concat
local decode_base64 = ngx.decode_base64
local find = string.find
local gmatch = string.gmatch
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local type = type

local schema = {
  type = "object",
  properties = {
    header = { type = "string", default = "authorization" },
    query = { type = "string", default = "jwt" },
    cookie = { type = "string", default = "jwt" },
    hide_credentials = { type = "boolean", default = false },
    key_claim_name = { type = "string", minLength = 1, default = "key" },
    store_in_ctx = { type = "boolean", default = false },
    claims_to_verify = {
      type = "array",
      items = { type = "string", enum = { "exp", "nbf" } },
      uniqueItems = true,
    },
    anonymous_consumer = schema_def.anonymous_consumer_schema,
    realm = schema_def.get_realm_schema("jwt"),
  },
}

local algorithms = {
  "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA",
}

local consumer_schema = {
  type = "object",
  properties = {
    key = { type = "string", minLength = 1 },
    secret = { type = "string", minLength = 1 },
    algorithm = { type = "string", enum = algorithms, default = "HS256" },
    public_key = { type = "string", minLength = 1 },
    exp = { type = "integer", minimum = 1, default = 86400 },
    base64_secret = { type = "boolean", default = false },
    lifetime_grace_period = { type = "integer", minimum = 0, default = 0 },
  },
  encrypt_fields = { "secret" },
  required = { "key" },
}

local _M = {
  version = 0.1,
  priority = 2510,
  type = "auth",
  name = "jwt-auth",
  schema = schema,
  consumer_schema = consumer_schema,
}

local function looks_like_pem(text)
  return find(text, "-----BEGIN ", 1, true) ~= nil
end

--- A public key is no secret: who has it could sign for the consumer.
local function check_secret(conf)
  if not conf.secret then
    return false, 'property "secret" is required when using HS based algorithms'
  end
  local raw = conf.secret
  if conf.base64_secret and not core.string.has_prefix(raw, "$") then
    raw = decode_base64(raw)
    if not raw then
      return false, "base64_secret required but the secret is not in base64 format"
    end
  end
  if looks_like_pem(raw) then
    return false, 'property "secret" must not be a key in PEM format: HS based algorithms need a shared secret'
  end
  return true
end

function _M.check_schema(conf, schema_type)
  if schema_type ~= core.schema.TYPE_CONSUMER then
    return core.schema.check(schema, conf)
  end
  local ok, err = core.schema.check(consumer_schema, conf)
  if not ok then
    return false, err
  end
  if token.digest_of[conf.algorithm] then
    return check_secret(conf)
  end
  if not conf.public_key then
    return false, "missing valid public key"
  end
  if native.C.mg_signature_is_available(conf.algorithm) == 0 then
    return false,
      'property "algorithm" is "' .. conf.algorithm .. '", which is not in this build: use another or the build with OpenSSL'
  end
  return true
end

local function without_scheme(text)
  local scheme = sub(text, 1, 7)
  if scheme == "Bearer " or scheme == "bearer " then
    return sub(text, 8)
  end
  return text
end

--- Returns the token and where it was found. A header counts before an argument, an argument before a cookie.
local function read_token(conf, ctx)
  local text = core.request.header(ctx, conf.header)
  if text then
    return without_scheme(text), "header"
  end
  text = ctx.var["arg_" .. conf.query]
  if type(text) == "string" and text ~= "" then
    return text, "query"
  end
  text = ctx.var["cookie_" .. conf.cookie]
  if text and text ~= "" then
    return text, "cookie"
  end
end

-- A client writes what is trimmed: no pattern may try a place once more from each of the others.
local function trim(text)
  return match(sub(text, find(text, "%S") or #text + 1), "^.*%S") or ""
end

--- Takes one cookie out of the Cookie header and leaves the others as they are.
local function hide_cookie(name, ctx)
  local header = core.request.headers(ctx)["cookie"]
  if type(header) == "table" then
    header = concat(header, "; ")
  end
  local kept = {}
  for pair in gmatch(header or "", "[^;]+") do
    local pair_name = match(pair, "^([^=]*)=")
    if not pair_name or trim(pair_name) ~= name then
      kept[#kept + 1] = trim(pair)
    end
  end
  core.request.set_header(ctx, "Cookie", #kept > 0 and concat(kept, "; ") or nil)
end

local function hide_token(conf, ctx, place)
  if place == "header" then
    core.request.set_header(ctx, conf.header, nil)
  elseif place == "query" then
    local args = core.request.get_uri_args(ctx)
    args[conf.query] = nil
    core.request.set_uri_args(ctx, args)
  else
    hide_cookie(conf.cookie, ctx)
  end
end

-- The keys of a consumer as `token:verify` wants them, per conf of the consumer.
local keys_of = setmetatable({}, { __mode = "k" })

local function prepare_keys(conf)
  local keys = { algorithm = conf.algorithm or "HS256", leeway = conf.lifetime_grace_period or 0 }
  if token.digest_of[keys.algorithm] then
    local secret = conf.secret
    if secret and conf.base64_secret then
      secret = decode_base64(secret)
    end
    if secret and not looks_like_pem(secret) then
      keys.secret = secret
    end
  else
    keys.public_key = conf.public_key
  end
  keys_of[conf] = keys
  return keys
end

--- The generic text, or under multi-auth, which shows the texts of all its plugins, the reason too.
local function explain(ctx, text, reason)
  core.log.info("jwt-auth: ", text, ": ", reason)
  return auth.is_running_under_multi_auth(ctx) and text .. ": " .. reason or text
end

-- Tokens whose signature has been checked, with the keys it was checked with. A client shows the same token again and
-- again, and the same bytes under the same keys verify the same; times are looked at every time. Only tokens that hold get
-- in, and none that could fill the memory.
local verified = bounded_map.new(1000)
local kept_size_max_bytes = 4096

--- Returns the token taken apart, and the keys with which its signature is known to hold.
local function parse(conf, text)
  local known = not conf.store_in_ctx and verified:get(text) -- who gets the payload may write into it
  if known then
    return known.jwt, known.keys
  end
  local jwt, err = token.parse(text)
  return jwt, nil, err
end

local function verify_signature(conf, jwt, keys, keys_known)
  if keys_known == keys then
    return true
  end
  local ok, err = jwt:verify(keys)
  local text = jwt.text
  if ok and #text <= kept_size_max_bytes and not conf.store_in_ctx then
    verified:set(text, { jwt = jwt, keys = keys })
  end
  return ok, err
end

local function find_consumer(conf, ctx)
  local text, place = read_token(conf, ctx)
  if not text then
    return nil, nil, "Missing JWT token in request"
  end
  if conf.hide_credentials then
    hide_token(conf, ctx, place)
  end
  local jwt, keys_known, err = parse(conf, text)
  if not jwt then
    return nil, nil, explain(ctx, "JWT token invalid", err)
  end
  local user_key = jwt.payload[conf.key_claim_name]
  if type(user_key) ~= "string" or user_key == "" then
    return nil, nil, "missing user key in JWT token"
  end
  local consumer, consumer_conf, missing = consumers.find_consumer("jwt-auth", "key", user_key)
  if not consumer then
    return nil, nil, explain(ctx, "Invalid user key in JWT token", missing or "unknown key")
  end
  local keys = keys_of[consumer.auth_conf] or prepare_keys(consumer.auth_conf)
  local ok
  ok, err = verify_signature(conf, jwt, keys, keys_known)
  if ok then
    ok, err = jwt:verify_times(conf.claims_to_verify, native.C.mg_now(), keys.leeway)
  end
  if not ok then
    return nil, nil, explain(ctx, "failed to verify jwt", err)
  end
  if conf.store_in_ctx then
    ctx.jwt_auth_payload = jwt.payload
  end
  return consumer, consumer_conf
end

local function refuse(conf, message)
  core.response.set_header("WWW-Authenticate", 'Bearer realm="' .. conf.realm .. '"')
  return 401, { message = message }
end

--- Checks the token and attaches the consumer.
--- Phases: rewrite. Does not yield.
---@param conf plugin.JwtAuthConf
---@param ctx moongate.Ctx
---@return integer? status    401 when there is no consumer for the request
---@return table? body
function _M.rewrite(conf, ctx)
  local consumer, consumer_conf, err = find_consumer(conf, ctx)
  if not consumer then
    consumer, consumer_conf, err = anonymous.stand_in("jwt-auth", conf, err)
    if not consumer then
      return refuse(conf, err)
    end
  end
  consumers.attach_consumer(ctx, consumer, consumer_conf)
end

return _M
