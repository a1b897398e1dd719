-- SPDX-License-Identifier: Apache-2.0
--- cors: tells browsers which other origins may use this route (Fetch standard, CORS protocol).
--
-- Preflights are answered here. Every other answer gets the headers if its origin is allowed: by `allow_origins` or, when
-- there are patterns, by them alone; else by origins that the plugin's metadata names.

local core = require("apisix.core")
local plugin = require("apisix.plugin")

local concat = table.concat
local gmatch = string.gmatch
local ipairs = ipairs
local re_find = ngx.re.find
local re_match = ngx.re.match
local setmetatable = setmetatable

local origins_pattern = [[^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$]]
local all_methods = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE"

local patterns = {
  type = "array",
  items = { type = "string", minLength = 1, maxLength = 4096 },
  minItems = 1,
  uniqueItems = true,
}

local schema = {
  type = "object",
  properties = {
    allow_origins = { type = "string", pattern = origins_pattern, default = "*" },
    allow_methods = { type = "string", default = "*" },
    allow_headers = { type = "string", default = "*" },
    expose_headers = { type = "string" },
    max_age = { type = "integer", default = 5 },
    allow_credential = { type = "boolean", default = false },
    allow_origins_by_regex = patterns,
    allow_origins_by_metadata = patterns,
    timing_allow_origins = { type = "string", pattern = origins_pattern },
    timing_allow_origins_by_regex = patterns,
  },
}

local metadata_schema = {
  type = "object",
  properties = {
    allow_origins = {
      type = "object",
      additionalProperties = { type = "string", pattern = origins_pattern },
    },
  },
}

local _M = {
  version = 0.1,
  priority = 4000,
  name = "cors",
  schema = schema,
  metadata_schema = metadata_schema,
}

local function check_patterns(list)
  for _, pattern in ipairs(list or {}) do
    local _, err = re_match("", pattern, "j")
    if err then
      return false, err
    end
  end
  return true
end

function _M.check_schema(conf, schema_type)
  if schema_type == core.schema.TYPE_METADATA then
    return core.schema.check(metadata_schema, conf)
  end
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  if conf.allow_credential and (conf.allow_origins == "*" or conf.allow_headers == "*" or conf.allow_methods == "*"
    or conf.expose_headers == "*" or conf.timing_allow_origins == "*") then
    return false, "you can not set '*' for other option when 'allow_credential' is true"
  end
  ok, err = check_patterns(conf.allow_origins_by_regex)
  if not ok then
    return false, err
  end
  return check_patterns(conf.timing_allow_origins_by_regex)
end

local function set_of(list)
  local set = {}
  for item in gmatch(list, "[^,]+") do
    set[item] = true
  end
  return set
end

--- One pattern that matches what any of `list` does.
local function any_of(list)
  return list and "(?:" .. concat(list, ")|(?:") .. ")" or nil
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = {
    origins = set_of(conf.allow_origins),
    pattern = any_of(conf.allow_origins_by_regex),
    methods = conf.allow_methods == "**" and all_methods or conf.allow_methods,
    timing = conf.timing_allow_origins and set_of(conf.timing_allow_origins),
    timing_pattern = any_of(conf.timing_allow_origins_by_regex),
    exposed = conf.expose_headers ~= "" and conf.expose_headers or nil,
    -- Whether two origins may get different answers, which caches must know.
    varies = conf.allow_origins ~= "*" or conf.allow_origins_by_regex ~= nil
      or conf.allow_origins_by_metadata ~= nil,
  }
  prepared[conf] = plan
  return plan
end

--- Returns what `setting` says to `origin`: the value of the header, or nil.
local function allowed_by(setting, set, origin)
  if setting == "*" then
    return "*"
  end
  if setting == "**" then
    return origin or "*"
  end
  return origin and set[origin] and origin or nil
end

local function allowed_by_pattern(pattern, origin)
  return origin and re_find(origin, pattern, "jo") and origin or nil
end

local function allowed_by_metadata(names, origin)
  local item = names and plugin.plugin_metadata("cors")
  local lists = item and item.value and item.value.allow_origins
  if not lists then
    return nil
  end
  for _, name in ipairs(names) do
    local setting = lists[name]
    local allowed = setting and allowed_by(setting, set_of(setting), origin)
    if allowed then
      return allowed
    end
  end
end

local function find_allowed(conf, plan, origin)
  local allowed
  if plan.pattern then
    allowed = allowed_by_pattern(plan.pattern, origin)
  else
    allowed = allowed_by(conf.allow_origins, plan.origins, origin)
  end
  return allowed or allowed_by_metadata(conf.allow_origins_by_metadata, origin)
end

local function find_timing_allowed(conf, plan, origin)
  if plan.timing_pattern then
    return allowed_by_pattern(plan.timing_pattern, origin)
  end
  return plan.timing and allowed_by(conf.timing_allow_origins, plan.timing, origin)
end

local function set_headers(conf, plan, allowed, ctx)
  local set_header = core.response.set_header
  set_header("Access-Control-Allow-Origin", allowed)
  set_header("Access-Control-Allow-Methods", plan.methods)
  set_header("Access-Control-Max-Age", conf.max_age)
  if plan.exposed then
    set_header("Access-Control-Expose-Headers", plan.exposed)
  end
  local headers = conf.allow_headers
  if headers == "**" then
    headers = core.request.header(ctx, "Access-Control-Request-Headers")
  end
  if headers then
    set_header("Access-Control-Allow-Headers", headers)
  end
  if conf.allow_credential then
    set_header("Access-Control-Allow-Credentials", "true")
  end
end

--- Remembers the origin, which later plugins may change, and answers preflights.
--- Phases: rewrite. Does not yield.
---@param ctx moongate.Ctx
---@return integer? status
function _M.rewrite(_, ctx)
  local origin = core.request.header(ctx, "Origin")
  if origin then
    ctx.original_request_origin = origin
  end
  if core.request.get_method() == "OPTIONS" then
    return 200
  end
end

--- Adds the headers to the answer, whoever made it.
--- Phases: header_filter. Does not yield.
---@param conf plugin.CorsConf
---@param ctx moongate.Ctx
function _M.header_filter(conf, ctx)
  local plan = prepared[conf] or prepare(conf)
  local origin = ctx.original_request_origin
  if plan.varies then
    core.response.add_header("Vary", "Origin")
  end
  local allowed = find_allowed(conf, plan, origin)
  if allowed then
    set_headers(conf, plan, allowed, ctx)
  end
  local timing = find_timing_allowed(conf, plan, origin)
  if timing then
    core.response.set_header("Timing-Allow-Origin", timing)
  end
end

return _M
