-- SPDX-License-Identifier: Apache-2.0
--- proxy-rewrite: gives the request another host, path, method or headers before it goes upstream.
--
-- The new path: template.lua. Headers: headers.lua. Whatever is configured, the upstream gets a canonical request;
-- `use_real_request_uri_unsafe` only lets `regex_uri` see the path as the client spelled it.

local core = require("apisix.core")
local headers = require("apisix.plugins.proxy-rewrite.headers")
local template = require("apisix.plugins.proxy-rewrite.template")
local native = require("moongate.native")
local phase = require("moongate.phase")

local C = native.C
local find = string.find
local re_sub = ngx.re.sub
local setmetatable = setmetatable
local sub = string.sub

local methods = {
  "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE", "PROPFIND", "LOCK", "UNLOCK", "PATCH",
  "TRACE",
}

local schema = {
  type = "object",
  properties = {
    uri = { type = "string", minLength = 1, maxLength = 4096, pattern = [[^\/.*]] },
    regex_uri = { type = "array", minItems = 2, items = { type = "string" } },
    host = { type = "string", pattern = [[^[0-9a-zA-Z-.]+(:\d{1,5})?$]] },
    method = { type = "string", enum = methods },
    headers = headers.schema,
    use_real_request_uri_unsafe = { type = "boolean", default = false },
  },
  minProperties = 1,
}

local _M = {
  version = 0.1,
  priority = 1008,
  name = "proxy-rewrite",
  schema = schema,
}

core.ctx.register_var("proxy_rewrite_regex_uri_captures", function(ctx)
  return ctx.proxy_rewrite_regex_uri_captures
end, { no_cacheable = true })

local function check_pairs(list)
  if #list % 2 ~= 0 then
    return false, "The length of regex_uri should be an even number"
  end
  for index = 1, #list, 2 do
    local _, _, err = re_sub("/fake_uri", list[index], list[index + 1], "jo")
    if err then
      return false, "invalid regex_uri(" .. list[index] .. ", " .. list[index + 1] .. "): " .. err
    end
  end
  return true
end

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  if conf.regex_uri then
    ok, err = check_pairs(conf.regex_uri)
    if not ok then
      return false, err
    end
  end
  return headers.check(conf.headers)
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = { headers = headers.prepare(conf.headers) }
  if conf.uri then
    plan.path, plan.query = template.split(conf.uri)
  end
  plan.has_path = conf.uri ~= nil or conf.regex_uri ~= nil
  prepared[conf] = plan
  return plan
end

--- Returns path and query by `regex_uri`; no path when no pattern matches.
local function match_path(conf, ctx)
  local is_raw = conf.use_real_request_uri_unsafe
  local subject = is_raw and template.raw_path(ctx) or ctx.var.uri
  local result, captures, err = template.substitute(conf.regex_uri, subject)
  if not result then
    return nil, nil, err
  end
  ctx.proxy_rewrite_regex_uri_captures = captures
  local query
  -- A `?` begins a query only when the replacement brought it, not when it was in the path, encoded.
  local at = not find(subject, "?", 1, true) and find(result, "?", 1, true)
  if at then
    result, query = sub(result, 1, at - 1), template.escape_query(sub(result, at + 1))
  end
  return is_raw and template.decode_path(result) or result, query
end

local function rewrite_path(conf, plan, ctx)
  local path, query, err
  if conf.uri then
    path, query = template.resolve(plan.path, plan.query, ctx.var)
    if not path then
      return 500, { error_msg = "failed to resolve the uri " .. conf.uri .. ": " .. query }
    end
  else
    path, query, err = match_path(conf, ctx)
    if err then
      core.log.error("proxy-rewrite: ", err)
      return 500, { error_msg = err }
    end
  end
  if not path then
    return nil
  end
  local ok
  ok, err = template.apply(ctx, path, query)
  if not ok then
    core.log.warn("proxy-rewrite: the new path is refused: ", err)
    return 400, { error_msg = "the rewritten URI is refused: " .. err }
  end
end

--- Rewrites the request: host, path, headers, method, in this order.
--- Phases: rewrite. Does not yield.
---@param conf plugin.ProxyRewriteConf
---@param ctx moongate.Ctx
---@return integer? status    400 when the new path cannot be canonical, 500 when it cannot be made
---@return table? body
function _M.rewrite(conf, ctx)
  local plan = prepared[conf] or prepare(conf)
  if conf.host then
    ctx.var.upstream_host = conf.host
  end
  if plan.has_path then
    local code, body = rewrite_path(conf, plan, ctx)
    if code then
      return code, body
    end
  end
  if plan.headers then
    headers.apply(plan.headers, ctx, ctx.proxy_rewrite_regex_uri_captures)
  end
  if conf.method then
    C.mg_request_method_set(phase.exchange(ctx), conf.method, #conf.method)
  end
end

return _M
