-- SPDX-License-Identifier: Apache-2.0
--- security-headers: gives answers the headers by which browsers keep pages apart. What an answer says for itself stays,
--- unless `override` is set; runs behind the plugins that rewrite answers, so that theirs count as the answer's own.

local core = require("apisix.core")

local ipairs = ipairs
local setmetatable = setmetatable
local tostring = tostring

local text = { type = "string", minLength = 1, maxLength = 8192, pattern = "^[^\\x00-\\x1f\\x7f]+$" }

local schema = {
  type = "object",
  properties = {
    strict_transport_security = {
      type = "object",
      properties = {
        enabled = { type = "boolean", default = true },
        max_age = { type = "integer", minimum = 0, default = 31536000 },
        include_subdomains = { type = "boolean", default = false },
        preload = { type = "boolean", default = false },
      },
      additionalProperties = false,
      default = {},
    },
    content_type_options = { type = "boolean", default = true },
    frame_options = { type = "string", enum = { "DENY", "SAMEORIGIN", "off" }, default = "SAMEORIGIN" },
    referrer_policy = {
      type = "string",
      enum = {
        "no-referrer", "no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "same-origin", "strict-origin",
        "strict-origin-when-cross-origin", "unsafe-url", "off",
      },
      default = "strict-origin-when-cross-origin",
    },
    content_security_policy = text,
    permissions_policy = text,
    cross_origin_opener_policy = { type = "string", enum = { "unsafe-none", "same-origin-allow-popups", "same-origin" } },
    cross_origin_embedder_policy = { type = "string", enum = { "unsafe-none", "require-corp", "credentialless" } },
    cross_origin_resource_policy = { type = "string", enum = { "same-site", "same-origin", "cross-origin" } },
    remove = {
      type = "array",
      maxItems = 100,
      items = { type = "string", pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" },
      default = { "X-Powered-By" },
    },
    override = { type = "boolean", default = false },
  },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 790,
  name = "security-headers",
  schema = schema,
}

-- https://hstspreload.org takes names with these rules only, and being on that list is hard to undo.
local preload_age = 31536000

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  local transport = conf.strict_transport_security
  if transport.preload and (transport.max_age < preload_age or not transport.include_subdomains) then
    return false, "strict_transport_security: preload needs include_subdomains and a max_age of at least " .. preload_age
  end
  return true
end

local prepared = setmetatable({}, { __mode = "k" })

local function transport_value(transport)
  return "max-age=" .. tostring(transport.max_age) .. (transport.include_subdomains and "; includeSubDomains" or "")
    .. (transport.preload and "; preload" or "")
end

local function prepare(conf)
  local plan = {}
  local function add(name, value)
    if value and value ~= "off" then
      plan[#plan + 1] = { name = name, value = value }
    end
  end
  add("X-Content-Type-Options", conf.content_type_options and "nosniff")
  add("X-Frame-Options", conf.frame_options)
  add("Referrer-Policy", conf.referrer_policy)
  add("Content-Security-Policy", conf.content_security_policy)
  add("Permissions-Policy", conf.permissions_policy)
  add("Cross-Origin-Opener-Policy", conf.cross_origin_opener_policy)
  add("Cross-Origin-Embedder-Policy", conf.cross_origin_embedder_policy)
  add("Cross-Origin-Resource-Policy", conf.cross_origin_resource_policy)
  local transport = conf.strict_transport_security
  plan.transport = transport.enabled and transport_value(transport) or nil
  prepared[conf] = plan
  return plan
end

--- Sets and removes headers of the answer, whoever made it. Strict-Transport-Security only where the client has come by
--- TLS (RFC 6797 7.2), to us or to a proxy that is trusted to say so.
--- Phases: header_filter. Does not yield.
---@param conf plugin.SecurityHeadersConf
---@param ctx moongate.Ctx
function _M.header_filter(conf, ctx)
  local plan = prepared[conf] or prepare(conf)
  local set_header, header = core.response.set_header, ngx.header
  for _, name in ipairs(conf.remove) do
    set_header(name, nil)
  end
  for _, item in ipairs(plan) do
    if conf.override or header[item.name] == nil then
      set_header(item.name, item.value)
    end
  end
  local transport = plan.transport
  if transport and ctx.var.client_scheme == "https" and (conf.override or header["Strict-Transport-Security"] == nil) then
    set_header("Strict-Transport-Security", transport)
  end
end

return _M
