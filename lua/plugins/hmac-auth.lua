-- SPDX-License-Identifier: Apache-2.0
--- hmac-auth: a consumer is known by a signature of the request, made with a secret that is never sent.
--
--   Authorization: Signature keyId="ID",algorithm="hmac-sha256",headers="@request-target date",signature="BASE64"
--
-- What is signed: the id; for each name in `headers` a line "name: value", or "METHOD URI" for @request-target; and a
-- line feed after each. A name that the request has no header of is left out by both sides. A header that comes twice
-- cannot be signed: nobody knows which of the values the upstream believes.

local anonymous = require("moongate.anonymous")
local core = require("apisix.core")
local auth = require("apisix.utils.auth")
local consumers = require("apisix.consumer")
local schema_def = require("apisix.schema_def")
local digest = require("moongate.ngx.digest")

local abs = math.abs
local concat = table.concat
local decode_base64 = ngx.decode_base64
local encode_base64 = ngx.encode_base64
local gmatch = string.gmatch
local ipairs = ipairs
local lower = string.lower
local match = string.match
local type = type

-- A longer header is no signature; it is refused before it is looked into.
local header_size_max_bytes = 8192
local headers_signed_max = 64
local body_max_bytes = 64 * 1024 * 1024

local digest_of = { ["hmac-sha1"] = "sha1", ["hmac-sha256"] = "sha256", ["hmac-sha512"] = "sha512" }

local schema = {
  type = "object",
  properties = {
    allowed_algorithms = {
      type = "array", minItems = 1, items = { type = "string", enum = { "hmac-sha1", "hmac-sha256", "hmac-sha512" } },
      default = { "hmac-sha1", "hmac-sha256", "hmac-sha512" },
    },
    clock_skew = { type = "integer", minimum = 1, default = 300 },
    signed_headers = { type = "array", items = { type = "string", minLength = 1, maxLength = 50 }, default = { "date" } },
    validate_request_body = { type = "boolean", default = false },
    max_req_body_size = { type = "integer", minimum = 1, default = body_max_bytes },
    hide_credentials = { type = "boolean", default = false },
    anonymous_consumer = schema_def.anonymous_consumer_schema,
    realm = schema_def.get_realm_schema("hmac"),
  },
}

local text = { type = "string", minLength = 1, maxLength = 256 }
local consumer_schema = {
  type = "object",
  properties = { key_id = text, secret_key = text },
  encrypt_fields = { "secret_key" },
  required = { "key_id", "secret_key" },
}

local _M = {
  version = 0.1,
  priority = 2530,
  type = "auth",
  name = "hmac-auth",
  schema = schema,
  consumer_schema = consumer_schema,
}

function _M.check_schema(conf, schema_type)
  if schema_type == core.schema.TYPE_CONSUMER then
    return core.schema.check(consumer_schema, conf)
  end
  return core.schema.check(schema, conf)
end

--- Returns what the header says: key_id, algorithm, signature as bytes, names of headers as signed and as a set.
local function read_header(header)
  if not header then
    return nil, "missing Authorization header", true
  end
  local rest = #header <= header_size_max_bytes and match(header, "^Signature%s+(.*)$")
  if not rest then
    return nil, "Authorization header does not start with 'Signature'", true
  end
  local given = {}
  for name, value in gmatch(rest, '(%a+)="([^"]*)"') do
    if given[name] then
      return nil, name .. " is there twice"
    end
    given[name] = value
  end
  local signature = given.signature and decode_base64(given.signature)
  if not given.keyId or not given.algorithm or not signature then
    return nil, "keyId, algorithm or signature is missing"
  end
  local names, is_signed = {}, {}
  for name in gmatch(given.headers or "", "%S+") do
    names[#names + 1] = name
    is_signed[lower(name)] = true
  end
  if #names > headers_signed_max then
    return nil, "too many headers are signed"
  end
  return { key_id = given.keyId, algorithm = given.algorithm, signature = signature, names = names, is_signed = is_signed }
end

--- Tells why the request may not count although its signature may be right; nil when it may.
local function find_fault(conf, ctx, given)
  if core.table.array_find(conf.allowed_algorithms, given.algorithm) == nil then
    return "the algorithm is not allowed"
  end
  for _, name in ipairs(conf.signed_headers) do
    if not given.is_signed[lower(name)] then
      return "header " .. name .. " is not signed"
    end
  end
  local date = core.request.header(ctx, "Date")
  local seconds = date and ngx.parse_http_time(date)
  if not seconds then
    return "there is no Date in GMT"
  end
  if abs(ngx.time() - seconds) > conf.clock_skew then
    return "the clocks are too far apart"
  end
end

local function make_signed_text(ctx, given)
  local headers = core.request.headers(ctx)
  local lines = { given.key_id }
  for _, name in ipairs(given.names) do
    local key = lower(name) -- as is_signed has it, or a name would count as signed and not be in the text
    local value = headers[key]
    if type(value) == "table" then
      return nil, "header " .. name .. " is there twice"
    end
    if key == "@request-target" then
      lines[#lines + 1] = core.request.get_method(ctx) .. " " .. ctx.var.request_uri
    elseif value then
      lines[#lines + 1] = name .. ": " .. value
    end
  end
  return concat(lines, "\n") .. "\n"
end

--- Returns why the body is not the one that Digest tells of, and a status where that is not 401.
local function find_body_fault(conf, ctx)
  local told = core.request.header(ctx, "Digest")
  if not told then
    return "there is no Digest"
  end
  local body, err = core.request.get_body(conf.max_req_body_size, ctx)
  if err then
    return err, 413
  end
  if not digest.is_equal(told, "SHA-256=" .. encode_base64(digest.digest("sha256", body or ""))) then
    return "the Digest is that of another body"
  end
end

--- Returns the consumer and its conf, or nil, nil, why, whether the client may know that, and a status for 401.
local function find_consumer(conf, ctx)
  local given, reason, is_told = read_header(core.request.header(ctx, "Authorization"))
  if not given then
    return nil, nil, reason, is_told
  end
  local consumer, consumer_conf, missing = consumers.find_consumer("hmac-auth", "key_id", given.key_id)
  if not consumer then
    return nil, nil, missing or "unknown key"
  end
  local fault = find_fault(conf, ctx, given)
  local signed_text = nil
  if not fault then
    signed_text, fault = make_signed_text(ctx, given)
  end
  local secret = (consumer.auth_conf or consumer_conf).secret_key
  if fault or type(secret) ~= "string" then
    return nil, nil, fault or "the consumer has no secret"
  end
  if not digest.is_equal(digest.hmac(digest_of[given.algorithm], secret, signed_text), given.signature) then
    return nil, nil, "signature mismatch"
  end
  if conf.validate_request_body then
    local body_fault, status = find_body_fault(conf, ctx)
    if body_fault then
      return nil, nil, body_fault, status ~= nil, status
    end
  end
  return consumer, consumer_conf
end

local function refuse(conf, message)
  core.response.set_header("WWW-Authenticate", 'hmac realm="' .. conf.realm .. '"')
  return 401, { message = message }
end

--- Checks the signature and attaches the consumer.
--- Phases: rewrite. Yields only to read the body, with `validate_request_body`.
---@param conf plugin.HmacAuthConf
---@param ctx moongate.Ctx
---@return integer? status    401 when there is no consumer for the request, 413 for a body too long to be checked
---@return table? body
function _M.rewrite(conf, ctx)
  local consumer, consumer_conf, reason, is_told, status = find_consumer(conf, ctx)
  if status then
    return status, { message = reason }
  end
  if not consumer then
    core.log.info("hmac-auth: ", reason)
    local is_open = is_told or auth.is_running_under_multi_auth(ctx)
    reason = "client request can't be validated" .. (is_open and ": " .. reason or "")
    consumer, consumer_conf, reason = anonymous.stand_in("hmac-auth", conf, reason)
    if not consumer then
      return refuse(conf, reason)
    end
  end
  if conf.hide_credentials then
    core.request.set_header(ctx, "Authorization", nil)
  end
  consumers.attach_consumer(ctx, consumer, consumer_conf)
end

return _M
