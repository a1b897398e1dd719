-- SPDX-License-Identifier: Apache-2.0
--- mocking: answers in place of an upstream that is not there yet: with an example, or with what fits a schema
--- (generator.lua).

local core = require("apisix.core")
local generator = require("apisix.plugins.mocking.generator")

local find = string.find
local ipairs = ipairs
local lower = string.lower
local match = string.match
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring

local schema = {
  type = "object",
  properties = {
    delay = { type = "integer", default = 0 },
    response_status = { type = "integer", minimum = 100, default = 200 },
    content_type = { type = "string", default = "application/json;charset=utf8" },
    response_example = { type = "string" },
    response_schema = { type = "object" },
    with_mock_header = { type = "boolean", default = true },
    response_headers = {
      type = "object",
      minProperties = 1,
      patternProperties = { ["^[^:]+$"] = { oneOf = { { type = "string" }, { type = "number" } } } },
    },
  },
  anyOf = {
    { required = { "response_example" } },
    { required = { "response_schema" } },
  },
}

local is_supported = {
  ["application/xml"] = true,
  ["application/json"] = true,
  ["text/plain"] = true,
  ["text/html"] = true,
  ["text/xml"] = true,
}

local _M = {
  version = 0.1,
  priority = 10900,
  name = "mocking",
  schema = schema,
}

local function media_type_of(content_type)
  return lower(match(content_type, "^%s*([^;]-)%s*$") or match(content_type, "^%s*([^;]-)%s*;") or "")
end

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  if not is_supported[media_type_of(conf.content_type)] then
    return false, "unsupported content type!"
  end
  if conf.response_schema then
    return generator.check(conf.response_schema)
  end
  return true
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = { media_type = media_type_of(conf.content_type), headers = {} }
  for name, value in pairs(conf.response_headers or {}) do
    plan.headers[#plan.headers + 1] = { name = name, value = tostring(value) }
  end
  prepared[conf] = plan
  return plan
end

local function make_body(conf, plan, ctx)
  if not conf.response_example then
    return generator.generate(conf.response_schema, plan.media_type)
  end
  if not find(conf.response_example, "$", 1, true) then
    return conf.response_example
  end
  return (core.utils.resolve_var(conf.response_example, ctx.var))
end

--- Answers with the mock.
--- Phases: access. Yields for a delay.
---@param conf plugin.MockingConf
---@param ctx moongate.Ctx
---@return integer status
---@return string|table|nil body
function _M.access(conf, ctx)
  local plan = prepared[conf] or prepare(conf)
  local body, err = make_body(conf, plan, ctx)
  if not body then
    core.log.error("mocking: no body can be made: ", err)
    return 500, { error_msg = "failed to make the mock response" }
  end
  core.response.set_header("Content-Type", conf.content_type)
  if conf.with_mock_header then
    core.response.set_header("x-mock-by", "APISIX/" .. core.version.VERSION)
  end
  for _, header in ipairs(plan.headers) do
    core.response.set_header(header.name, (core.utils.resolve_var(header.value, ctx.var)))
  end
  if conf.delay > 0 then
    core.sleep(conf.delay)
  end
  return conf.response_status, body
end

return _M
