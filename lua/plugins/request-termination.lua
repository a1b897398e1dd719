-- SPDX-License-Identifier: Apache-2.0
--- request-termination: answers in place of the upstream, as Kong's plugin of that name does: with a message, or with a
--- body as it is written. With a `trigger`, only requests that carry that header or argument.

local core = require("apisix.core")

local schema = {
  type = "object",
  properties = {
    status_code = { type = "integer", minimum = 100, maximum = 599, default = 503 },
    message = { type = "string", minLength = 1 },
    body = { type = "string" },
    content_type = { type = "string", minLength = 1 },
    trigger = { type = "string", minLength = 1, pattern = "^[A-Za-z0-9_-]+$" },
    echo = { type = "boolean", enum = { false } },
  },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 2,
  name = "request-termination",
  schema = schema,
}

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  if conf.message and (conf.body or conf.content_type) then
    return false, "message cannot be used with content_type or body"
  end
  if conf.content_type and not conf.body then
    return false, "content_type requires a body"
  end
  return true
end

local messages = {
  [400] = "Bad request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not found",
  [405] = "Method not allowed", [413] = "Payload too large", [429] = "Too many requests",
  [500] = "An unexpected error occurred", [502] = "An invalid response was received from the upstream server",
  [503] = "Service unavailable", [504] = "The upstream server is timing out",
}

local function is_triggered(conf, ctx)
  local name = conf.trigger
  return not name or core.request.header(ctx, name) ~= nil or core.request.get_uri_args(ctx)[name] ~= nil
end

--- Ends the request.
--- Phases: access. Does not yield.
---@param conf plugin.RequestTerminationConf
---@param ctx moongate.Ctx
---@return integer? status
---@return string|table? body
function _M.access(conf, ctx)
  if not is_triggered(conf, ctx) then
    return nil
  end
  if conf.body then
    core.response.set_header("Content-Type", conf.content_type or "application/json; charset=utf-8")
    return conf.status_code, conf.body
  end
  local message = conf.message or messages[conf.status_code]
  return conf.status_code, message and { message = message } or ""
end

return _M
