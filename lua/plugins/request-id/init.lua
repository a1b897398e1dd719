-- SPDX-License-Identifier: Apache-2.0
--- request-id: gives every request a name that client, upstream and logs share. One that the client sent is kept.
--- How ids are made: generators.lua.

local core = require("apisix.core")
local current = require("moongate.current")
local generators = require("apisix.plugins.request-id.generators")

local mg_var_set = require("moongate.native").C.mg_var_set
local request_header = core.request.header
local set_request_header = core.request.set_header
local set_response_header = core.response.set_header
local response_get = require("moongate.fields").response_get

local default_char_set = "abcdefghijklmnopqrstuvwxyzABCDEFGHIGKLMNOPQRSTUVWXYZ0123456789"

local schema = {
  type = "object",
  properties = {
    header_name = { type = "string", default = "X-Request-Id" },
    include_in_response = { type = "boolean", default = true },
    algorithm = {
      type = "string",
      enum = { "uuid", "nanoid", "range_id", "ksuid", "uuidv7" },
      default = "uuid",
    },
    range_id = {
      type = "object",
      properties = {
        length = { type = "integer", minimum = 6, maximum = 1024, default = 16 },
        char_set = { type = "string", minLength = 6, maxLength = 4096, default = default_char_set },
      },
      default = { length = 16, char_set = default_char_set },
    },
  },
}

local _M = {
  version = 0.1,
  priority = 12015,
  name = "request-id",
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

-- Where in ctx the id for a header is kept: a global rule and a route may name the request under different headers.
local fields = {}

local function field_of(header_name)
  local field = fields[header_name]
  if not field then
    field = "request-id-" .. header_name
    fields[header_name] = field
  end
  return field
end

--- Names the request, unless the client has.
--- Phases: rewrite. Does not yield.
---@param conf plugin.RequestIdConf
---@param ctx moongate.Ctx
function _M.rewrite(conf, ctx)
  local id = request_header(ctx, conf.header_name)
  if id == nil or id == "" then
    id = generators[conf.algorithm](conf.range_id)
    set_request_header(ctx, conf.header_name, id)
  end
  if conf.include_in_response then
    ctx[field_of(conf.header_name)] = id
  end
  mg_var_set(current.ex, "apisix_request_id", 17, id, #id) -- what `ctx.var.apisix_request_id = id` comes to
end

--- Names the answer, unless the upstream has.
--- Phases: header_filter.
---@param conf plugin.RequestIdConf
---@param ctx moongate.Ctx
function _M.header_filter(conf, ctx)
  if not conf.include_in_response then
    return
  end
  local id = ctx[field_of(conf.header_name)]
  if id and response_get(current.ex, conf.header_name) == nil then
    set_response_header(conf.header_name, id)
  end
end

return _M
