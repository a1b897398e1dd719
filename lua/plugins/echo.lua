-- SPDX-License-Identifier: Apache-2.0
--- echo: puts text before, after or in place of the body of every answer, and sets headers. For trying things out.

local core = require("apisix.core")

local pairs = pairs

local schema = {
  type = "object",
  properties = {
    before_body = { type = "string" },
    body = { type = "string" },
    after_body = { type = "string" },
    headers = { type = "object", minProperties = 1 },
  },
  anyOf = {
    { required = { "before_body" } },
    { required = { "body" } },
    { required = { "after_body" } },
  },
}

local _M = {
  version = 0.1,
  priority = 412,
  name = "echo",
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

--- Sets the headers and takes off those that told of the former body.
--- Phases: header_filter.
function _M.header_filter(conf)
  core.response.clear_header_as_body_modified()
  if conf.headers then
    for name, value in pairs(conf.headers) do
      core.response.set_header(name, value)
    end
  end
end

--- Adds the texts around the body; with `body`, the upstream's is dropped.
--- Phases: body_filter.
function _M.body_filter(conf, ctx)
  local arg = ngx.arg
  local progress = ctx[conf]
  if progress == "done" then
    arg[1] = nil
    return
  end
  if conf.body then
    arg[1] = conf.body
    arg[2] = true
  end
  if conf.before_body and not progress then
    arg[1] = conf.before_body .. (arg[1] or "")
  end
  ctx[conf] = "begun"
  if arg[2] then
    ctx[conf] = "done"
    if conf.after_body then
      arg[1] = (arg[1] or "") .. conf.after_body
    end
  end
end

return _M
