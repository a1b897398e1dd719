-- SPDX-License-Identifier: Apache-2.0
-- A plugin chain for ngx_lua the way APISIX runs one: plugins are tables with
-- phase functions taking (conf, ctx), sorted by priority, and each phase walks
-- a flat list of plugin, conf, plugin, conf.  The plugins: request-id,
-- key-auth over 1000 consumers, limit-count with a fixed window in a shared
-- dictionary, proxy-rewrite of a request header, response-rewrite.
local ngx = ngx
local concat = table.concat
local random = math.random
local fmt = string.format

local _M = {}

local consumers = {}

-- the request's headers are parsed once for all plugins
local function header(ctx, name)
  local headers = ctx.headers
  if not headers then
    headers = ngx.req.get_headers()
    ctx.headers = headers
  end
  return headers[name]
end

local request_id = { name = "request-id", priority = 12015 }
local bits = {}

local function uuid()
  bits[1] = fmt("%08x", random(0, 0xffffffff))
  bits[2] = fmt("%04x", random(0, 0xffff))
  bits[3] = fmt("4%03x", random(0, 0xfff))
  bits[4] = fmt("%04x", random(0x8000, 0xbfff))
  bits[5] = fmt("%06x%06x", random(0, 0xffffff), random(0, 0xffffff))
  return concat(bits, "-")
end

function request_id.rewrite(conf, ctx)
  local id = header(ctx, conf.header_name)
  if not id then
    id = uuid()
    ngx.req.set_header(conf.header_name, id)
  end
  ctx.request_id = id
end

function request_id.header_filter(conf, ctx)
  if not ngx.header[conf.header_name] then
    ngx.header[conf.header_name] = ctx.request_id
  end
end

local key_auth = { name = "key-auth", priority = 2500 }

function key_auth.rewrite(conf, ctx)
  local key = header(ctx, conf.header)
  if not key then
    return 401, "Missing API key found in request"
  end
  local consumer = consumers[key]
  if not consumer then
    return 401, "Invalid API key in request"
  end
  ctx.consumer = consumer
  ctx.consumer_name = consumer.username
  ngx.req.set_header("X-Consumer-Username", consumer.username)
end

local limit_count = { name = "limit-count", priority = 1002 }

function limit_count.access(conf, ctx)
  local dict = ngx.shared.limit_count
  local key = conf.prefix .. ctx.consumer_name
  local remaining, err, forcible = dict:incr(key, -1, conf.count, conf.time_window)
  if not remaining then
    return 500, err
  end
  local reset = dict:ttl(key) or conf.time_window
  ngx.header["X-RateLimit-Limit"] = conf.count
  ngx.header["X-RateLimit-Remaining"] = remaining > 0 and remaining or 0
  ngx.header["X-RateLimit-Reset"] = reset
  if remaining < 0 then
    return 429
  end
end

local proxy_rewrite = { name = "proxy-rewrite", priority = 1008 }

function proxy_rewrite.rewrite(conf, ctx)
  for name, value in pairs(conf.headers) do
    ngx.req.set_header(name, value)
  end
end

local response_rewrite = { name = "response-rewrite", priority = 899 }

function response_rewrite.header_filter(conf, ctx)
  for i = 1, #conf.set, 2 do
    ngx.header[conf.set[i]] = conf.set[i + 1]
  end
  for i = 1, #conf.remove do
    ngx.header[conf.remove[i]] = nil
  end
end

local chain = {}

function _M.init()
  for i = 0, 999 do
    consumers[fmt("key-%05d", i)] = { username = "user-" .. i, auth_conf = { id = i } }
  end
  local list = {
    { request_id, { header_name = "X-Request-Id" } },
    { key_auth, { header = "apikey" } },
    { proxy_rewrite, { headers = { ["X-Gateway"] = "bench" } } },
    { limit_count, { count = 1000000000, time_window = 60, prefix = "route1#limit-count:" } },
    { response_rewrite, { set = { "X-Served-By", "gateway", "X-Frame-Options", "DENY" },
                          remove = { "X-Powered-By" } } },
  }
  table.sort(list, function(a, b) return a[1].priority > b[1].priority end)
  for _, pc in ipairs(list) do
    chain[#chain + 1] = pc[1]
    chain[#chain + 1] = pc[2]
  end
end

local function run(phase, ctx)
  for i = 1, #chain, 2 do
    local f = chain[i][phase]
    if f then
      local code, body = f(chain[i + 1], ctx)
      if code then
        ngx.status = code
        ngx.print(body or "")
        return ngx.exit(code)
      end
    end
  end
end

function _M.access()
  local ctx = { start = ngx.now() }
  ngx.ctx.api_ctx = ctx
  run("rewrite", ctx)
  run("access", ctx)
end

local function run_late(phase)
  local ctx = ngx.ctx.api_ctx
  if not ctx then return end
  for i = 1, #chain, 2 do
    local f = chain[i][phase]
    if f then f(chain[i + 1], ctx) end
  end
end

function _M.header_filter() run_late("header_filter") end
function _M.log() run_late("log") end

return _M
