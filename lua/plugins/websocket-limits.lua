-- SPDX-License-Identifier: Apache-2.0
--- websocket-limits: bounds the messages that the client of a WebSocket sends: their size, over all frames, and their number
--- in a second. The runtime looks at the frames as they pass (proxy/websocket_guard.h); requests that do not become a
--- WebSocket are not concerned.

local core = require("apisix.core")
local native = require("moongate.native")

local C = native.C
local ceil = math.ceil

local schema = {
  type = "object",
  properties = {
    max_message_bytes = { type = "integer", minimum = 1, maximum = 9007199254740991 },
    messages_per_second = { type = "number", exclusiveMinimum = 0, maximum = 1000000 },
    burst = { type = "integer", minimum = 1, maximum = 1000000000 },
  },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 950,
  name = "websocket-limits",
  schema = schema,
}

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  if not conf.max_message_bytes and not conf.messages_per_second then
    return false, "max_message_bytes or messages_per_second is required"
  end
  if conf.burst and not conf.messages_per_second then
    return false, "burst has no meaning without messages_per_second"
  end
  return true
end

--- Sets the limits of the request's WebSocket, should it become one. Where several confs set them, the strictest hold.
--- Phases: access. Does not yield.
---@param conf plugin.WebSocketLimitsConf
---@param ctx moongate.Ctx
function _M.access(conf, ctx)
  local rate = conf.messages_per_second or 0
  C.mg_websocket_limit(ctx._ex, conf.max_message_bytes or 0, rate, conf.burst or ceil(rate))
end

return _M
