-- SPDX-License-Identifier: Apache-2.0
--- The configuration of response-rewrite and what a schema cannot say about it.

local core = require("apisix.core")
local expr = require("resty.expr.v1")

local decode_base64 = ngx.decode_base64
local ipairs = ipairs
local pairs = pairs
local re_match = ngx.re.match
local tostring = tostring
local type = type

local _M = {}

local map = {
  type = "object",
  minProperties = 1,
  additionalProperties = false,
  patternProperties = { ["^[^:]+$"] = { oneOf = { { type = "string" }, { type = "number" } } } },
}

_M.conf = {
  type = "object",
  properties = {
    headers = {
      anyOf = {
        {
          type = "object",
          minProperties = 1,
          additionalProperties = false,
          properties = {
            add = {
              type = "array",
              minItems = 1,
              items = { type = "string", pattern = "^[^:]+:[^:]*[^/]$" },
            },
            set = map,
            remove = {
              type = "array",
              minItems = 1,
              items = { type = "string", pattern = "^[^:]+$" },
            },
          },
        },
        map,
      },
    },
    body = { type = "string" },
    body_base64 = { type = "boolean", default = false },
    status_code = { type = "integer", minimum = 200, maximum = 598 },
    vars = { type = "array" },
    max_resp_body_size = { type = "integer", minimum = 1, default = 67108864 },
    filters = {
      type = "array",
      minItems = 1,
      items = {
        type = "object",
        properties = {
          regex = { type = "string", minLength = 1 },
          scope = { type = "string", enum = { "once", "global" }, default = "once" },
          replace = { type = "string" },
          options = { type = "string", default = "jo" },
        },
        required = { "regex", "replace" },
      },
    },
  },
  dependencies = {
    body = { ["not"] = { required = { "filters" } } },
    filters = { ["not"] = { required = { "body" } } },
  },
}

--- The older form is a map of headers to set.
---@param headers table
---@return boolean
function _M.is_map(headers)
  return type(headers.add) ~= "table" and type(headers.set) ~= "table" and type(headers.remove) ~= "table"
end

local function check_headers(headers)
  if not headers then
    return true
  end
  for name, value in pairs(_M.is_map(headers) and headers or headers.set or {}) do
    if not core.utils.validate_header_field(name) then
      return false, "invalid field character in header"
    end
    if not core.utils.validate_header_value(tostring(value)) then
      return false, "invalid value character in header"
    end
  end
  return true
end

local function check_filters(filters)
  for _, filter in ipairs(filters or {}) do
    local _, err = re_match("", filter.regex, filter.options)
    if err then
      return false, "regex \"" .. filter.regex .. "\" validation failed: " .. err
    end
  end
  return true
end

local function check_body(conf)
  if not conf.body_base64 then
    return true
  end
  if not conf.body or conf.body == "" then
    return false, "invalid base64 content"
  end
  if not core.string.has_prefix(conf.body, "$") and not decode_base64(conf.body) then
    return false, "invalid base64 content"
  end
  return true
end

local function check_vars(vars)
  if not vars then
    return true
  end
  local rule, err = expr.new(vars)
  if not rule then
    return false, "failed to validate the 'vars' expression: " .. tostring(err)
  end
  return true
end

--- Checks a conf and fills in the defaults.
---@param conf table
---@return boolean ok
---@return string? err
function _M.check(conf)
  local ok, err = core.schema.check(_M.conf, conf)
  if ok then
    ok, err = check_headers(conf.headers)
  end
  if ok then
    ok, err = check_body(conf)
  end
  if ok then
    ok, err = check_vars(conf.vars)
  end
  if ok then
    ok, err = check_filters(conf.filters)
  end
  return ok, err
end

return _M
