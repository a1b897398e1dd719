-- SPDX-License-Identifier: Apache-2.0
--- tcp-log: sends a JSON line about each request to a TCP server, as Kong's plugin of that name does. Connections are kept.
--- A request whose line cannot be sent is served all the same; the error log says so.

local core = require("apisix.core")

local floor = math.floor
local tonumber = tonumber
local tostring = tostring

local schema = {
  type = "object",
  properties = {
    host = { type = "string", minLength = 1 },
    port = { type = "integer", minimum = 1, maximum = 65535 },
    timeout = { type = "integer", minimum = 1, maximum = 600000, default = 10000 },
    keepalive = { type = "integer", minimum = 0, maximum = 86400000, default = 60000 },
    tls = { type = "boolean", enum = { false }, default = false },
    tls_sni = { type = "string" },
    custom_fields_by_lua = { type = "object", maxProperties = 0 },
  },
  required = { "host", "port" },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 7,
  name = "tcp-log",
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

-- Credentials do not belong into logs.
local secret_headers = { authorization = true, ["proxy-authorization"] = true, cookie = true, apikey = true }

local function readable_headers(ctx)
  local headers = {}
  for name, value in pairs(core.request.headers(ctx)) do
    headers[name] = secret_headers[name] and "REDACTED" or value
  end
  return headers
end

local function milliseconds(seconds)
  local number = tonumber(seconds)
  return number and floor(number * 1000 + 0.5)
end

--- What Kong's serializer tells, as far as it is known here.
local function entry_of(ctx)
  local var = ctx.var
  local whole, upstream = milliseconds(var.request_time) or 0, milliseconds(var.upstream_response_time)
  local consumer = ctx.consumer
  return {
    request = {
      method = core.request.get_method(),
      uri = var.request_uri,
      url = tostring(var.scheme) .. "://" .. tostring(var.http_host or var.host) .. tostring(var.request_uri),
      size = tonumber(var.request_length),
      querystring = core.request.get_uri_args(ctx),
      headers = readable_headers(ctx),
      id = var.request_id,
    },
    response = { status = tonumber(var.status), size = tonumber(var.bytes_sent) },
    upstream_uri = var.upstream_uri,
    upstream_status = var.upstream_status,
    latencies = { request = whole, proxy = upstream or -1, kong = upstream and whole - upstream or whole },
    tries = var.upstream_addr and { { addr = var.upstream_addr } } or nil,
    client_ip = var.remote_addr,
    started_at = floor(ngx.now() * 1000) - whole,
    route = ctx.route_id and { id = ctx.route_id, name = ctx.route_name } or nil,
    service = ctx.service_id and { id = ctx.service_id, name = ctx.service_name } or nil,
    consumer = consumer and { username = consumer.username, custom_id = consumer.custom_id } or nil,
  }
end

local function send(conf, line)
  local sock = ngx.socket.tcp()
  sock:settimeout(conf.timeout)
  local ok, err = sock:connect(conf.host, conf.port)
  if not ok then
    return nil, err
  end
  ok, err = sock:send(line)
  if not ok then
    sock:close()
    return nil, err
  end
  if conf.keepalive > 0 then
    sock:setkeepalive(conf.keepalive)
  else
    sock:close()
  end
  return true
end

--- Sends the line.
--- Phases: log. Yields.
---@param conf plugin.TcpLogConf
---@param ctx moongate.Ctx
function _M.log(conf, ctx)
  local line, err = core.json.encode(entry_of(ctx))
  local ok
  if line then
    ok, err = send(conf, line .. "\n")
  end
  if not ok then
    core.log.error("tcp-log: failed to send to ", conf.host, ":", conf.port, ": ", err)
  end
end

return _M
