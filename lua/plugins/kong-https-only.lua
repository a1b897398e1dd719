-- SPDX-License-Identifier: Apache-2.0
--- kong-https-only: what Kong does for a route whose `protocols` are https alone: a request that came in clear text is
--- answered 426, or sent to the same place under https.

local core = require("apisix.core")

local schema = {
  type = "object",
  properties = {
    status_code = { type = "integer", enum = { 426, 301, 302, 307, 308 }, default = 426 },
  },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 25000,
  name = "kong-https-only",
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

local refusal = { message = "Please use HTTPS protocol" }

--- Lets only requests through that came by TLS, as far as we or a trusted proxy know.
--- Phases: rewrite. Does not yield.
---@param conf plugin.KongHttpsOnlyConf
---@param ctx moongate.Ctx
---@return integer? status
---@return table? body
function _M.rewrite(conf, ctx)
  if ctx.var.client_scheme == "https" then
    return nil
  end
  if conf.status_code == 426 then
    core.response.set_header("Upgrade", "TLS/1.2, HTTP/1.1")
    return 426, refusal
  end
  core.response.set_header("Location", "https://" .. (ctx.var.host or "") .. ctx.var.request_uri)
  return conf.status_code
end

return _M
