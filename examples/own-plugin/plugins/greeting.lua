-- SPDX-License-Identifier: Apache-2.0
--- A plugin in APISIX's form: refuses clients without a name, tells the upstream the name, and marks the answer.
local core = require("apisix.core")

local schema = {
  type = "object",
  properties = {
    header = { type = "string", minLength = 1, default = "X-Name" },
    refused_names = { type = "array", items = { type = "string" }, default = {} },
  },
  additionalProperties = false,
}

local _M = { version = 0.1, priority = 50, name = "greeting", schema = schema }

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

--- Takes the name from the client's header.
--- Phases: access. Yields: no.
function _M.access(conf, ctx)
  local name = core.request.header(ctx, conf.header)
  if not name then
    return 400, { message = "tell me your name in " .. conf.header }
  end
  for _, refused in ipairs(conf.refused_names) do
    if name == refused then
      return 403, { message = "not you, " .. name }
    end
  end
  core.request.set_header(ctx, "X-Greeted", name)
  ctx.greeted_name = name
end

--- Phases: header_filter.
function _M.header_filter(_, ctx)
  if ctx.greeted_name then
    core.response.set_header("X-Greeting", "Hello, " .. ctx.greeted_name)
  end
end

return _M
