-- SPDX-License-Identifier: Apache-2.0
--- request-size-limiting: refuses a request whose body is larger than allowed, as Kong's plugin of that name does: by its
--- Content-Length, or by reading it where there is none.

local core = require("apisix.core")

local floor = math.floor
local find = string.find
local lower = string.lower
local tonumber = tonumber

local factors = { megabytes = 1048576, kilobytes = 1024, bytes = 1 }

local schema = {
  type = "object",
  properties = {
    allowed_payload_size = { type = "integer", minimum = 0, default = 128 },
    size_unit = { type = "string", enum = { "megabytes", "kilobytes", "bytes" }, default = "megabytes" },
    require_content_length = { type = "boolean", default = false },
  },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 951,
  name = "request-size-limiting",
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

local too_large = { message = "Request size limit exceeded" }
local length_required = { message = "A valid Content-Length header is required" }

local function refuse(ctx)
  -- The client still waits to be told whether to send the body at all.
  local expect = core.request.header(ctx, "Expect")
  if expect and lower(expect) == "100-continue" then
    return 417, too_large
  end
  return 413, too_large
end

--- Refuses what is too large.
--- Phases: access. Yields for a body of unknown length.
---@param conf plugin.RequestSizeLimitingConf
---@param ctx moongate.Ctx
---@return integer? status
---@return table? body
function _M.access(conf, ctx)
  local allowed = floor(conf.allowed_payload_size * factors[conf.size_unit])
  local declared = tonumber(core.request.header(ctx, "Content-Length"))
  if declared then
    if declared > allowed then
      return refuse(ctx)
    end
    return nil
  end
  if conf.require_content_length then
    return 411, length_required
  end
  if not core.request.header(ctx, "Transfer-Encoding") then
    return nil
  end
  local _, err = core.request.get_body(allowed, ctx)
  if not err then
    return nil
  end
  if find(err, "greater than the maximum size", 1, true) then
    return refuse(ctx)
  end
  core.log.warn("request-size-limiting: the body cannot be read: ", err)
  return 400, { message = "Bad request" }
end

return _M
