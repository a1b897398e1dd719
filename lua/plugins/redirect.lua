-- SPDX-License-Identifier: Apache-2.0
--- redirect: sends the client elsewhere: to HTTPS, to a URI made from a template, or to one made from a pattern.

local core = require("apisix.core")
local plugin = require("apisix.plugin")
local native = require("moongate.native")

local C = native.C
local concat = table.concat
local find = string.find
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local re_sub = ngx.re.sub
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local schema = {
  type = "object",
  properties = {
    ret_code = { type = "integer", minimum = 200, default = 302 },
    uri = {
      type = "string",
      minLength = 2,
      pattern = [[(\\\$[0-9a-zA-Z_]+)|\$\{([0-9a-zA-Z_]+)\}|\$([0-9a-zA-Z_]+)|(\$|[^$\\]+)]],
    },
    regex_uri = { type = "array", minItems = 2, maxItems = 2, items = { type = "string" } },
    http_to_https = { type = "boolean" },
    encode_uri = { type = "boolean", default = false },
    append_query_string = { type = "boolean", default = false },
  },
  oneOf = {
    { required = { "uri" } },
    { required = { "regex_uri" } },
    { required = { "http_to_https" } },
  },
}

local _M = {
  version = 0.1,
  priority = 900,
  name = "redirect",
  schema = schema,
}

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  if conf.regex_uri then
    local _, _, problem = re_sub("/fake_uri", conf.regex_uri[1], conf.regex_uri[2], "jo")
    if problem then
      return false, "invalid regex_uri(" .. conf.regex_uri[1] .. ", " .. conf.regex_uri[2] .. "): " .. problem
    end
  end
  if conf.http_to_https and conf.append_query_string then
    return false, "only one of `http_to_https` and `append_query_string` can be configured."
  end
  return true
end

--- Takes a template apart: strings are literal, {name=} is a variable. `\$name` is the literal `$name`.
local function parse(template)
  local parts = {}
  local at = 1
  while at <= #template do
    local literal = match(template, "^\\(%$[%w_]+)", at)
    local braced = match(template, "^%${([%w_]+)}", at)
    local bare = match(template, "^%$([%w_]+)", at)
    if literal then
      parts[#parts + 1] = literal
      at = at + #literal + 1
    elseif braced or bare then
      parts[#parts + 1] = { name = braced or bare }
      at = at + (braced and #braced + 3 or #bare + 1)
    else
      local text = match(template, "^[^$\\]+", at) or sub(template, at, at)
      parts[#parts + 1] = text
      at = at + #text
    end
  end
  return parts
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = {}
  if conf.uri then
    plan.parts = parse(conf.uri)
    plan.may_leave_host = sub(conf.uri, 1, 2) == "//"
  end
  prepared[conf] = plan
  return plan
end

local function fill(parts, ctx)
  local texts = {}
  for index, part in ipairs(parts) do
    texts[index] = type(part) == "string" and part or tostring(ctx.var[part.name] or "")
  end
  return concat(texts)
end

--- The port of our HTTPS listener as clients reach it: a whole number, or nil for the usual one.
local function https_port()
  local attr = plugin.plugin_attr("redirect")
  local port = attr and tonumber(attr.https_port)
  if not port then
    local config = core.config.local_conf()
    local listen = core.table.try_read_attr(config, "apisix", "ssl", "listen")
    local one = type(listen) == "table" and #listen > 0 and listen[tonumber(C.mg_random() % #listen) + 1]
    port = type(one) == "table" and tonumber(one.port) or tonumber(one)
  end
  if not port or port == 443 or port <= 0 or port > 65535 then
    return nil
  end
  return port
end

local function to_https(ctx)
  local scheme = core.request.header(ctx, "X-Forwarded-Proto") or ctx.var.scheme
  if scheme ~= "http" then
    return nil
  end
  local port = https_port()
  local target = "https://" .. (ctx.var.host or "") .. (port and ":" .. port or "") .. ctx.var.request_uri
  local method = core.request.get_method()
  local code = (method == "GET" or method == "HEAD") and 301 or 308
  core.response.set_header("Location", target)
  return code
end

--- A path that begins with two slashes would name another host: `//evil.example`. Only the author's own text may.
local function stay_on_host(uri)
  return (gsub(uri, "^[/\\][/\\]+", "/"))
end

local function encode_path(uri)
  local at = find(uri, "?", 1, true)
  if at then
    return core.utils.uri_safe_encode(sub(uri, 1, at - 1)) .. sub(uri, at)
  end
  return core.utils.uri_safe_encode(uri)
end

local function append_query(uri, ctx)
  local args = ctx.var.args
  if not args or args == "" then
    return uri
  end
  return uri .. (find(uri, "?", 1, true) and "&" or "?") .. args
end

--- Returns where to go; nil when the pattern does not match.
local function make_uri(conf, ctx)
  if conf.uri then
    local plan = prepared[conf] or prepare(conf)
    local uri = fill(plan.parts, ctx)
    return plan.may_leave_host and uri or stay_on_host(uri)
  end
  local uri, count, err = re_sub(ctx.var.uri, conf.regex_uri[1], conf.regex_uri[2], "jo")
  if not uri then
    return nil, "failed to substitute the uri " .. ctx.var.uri .. " (" .. conf.regex_uri[1] .. ") with "
      .. conf.regex_uri[2] .. " : " .. (err or "unknown error")
  end
  if count == 0 then
    return nil
  end
  return sub(conf.regex_uri[2], 1, 2) == "//" and uri or stay_on_host(uri)
end

--- Answers with a redirection.
--- Phases: rewrite. Does not yield.
---@param conf plugin.RedirectConf
---@param ctx moongate.Ctx
---@return integer? status    nil when the conf does not concern this request
---@return table? body
function _M.rewrite(conf, ctx)
  if conf.http_to_https ~= nil then
    return conf.http_to_https and to_https(ctx) or nil
  end
  local uri, err = make_uri(conf, ctx)
  if err then
    core.log.error("redirect: ", err)
    return 500, { error_msg = err }
  end
  if not uri then
    return nil
  end
  if conf.encode_uri then
    uri = encode_path(uri)
  end
  if conf.append_query_string then
    uri = append_query(uri, ctx)
  end
  core.response.set_header("Location", uri)
  return conf.ret_code
end

return _M
