-- SPDX-License-Identifier: Apache-2.0
--- brotli: has answers compressed for clients that take br. Which answers, and what becomes of their heads:
--- moongate.content_coding.

local core = require("apisix.core")
local content_coding = require("moongate.content_coding")

local _M = {
  version = 0.1,
  priority = 996,
  name = "brotli",
  schema = content_coding.schema({
    comp_level = { type = "integer", minimum = 0, maximum = 11, default = 6 },
    mode = { type = "integer", minimum = 0, maximum = 2, default = 0 },
    lgwin = { enum = { 0, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24 }, default = 19 },
    lgblock = { enum = { 0, 16, 17, 18, 19, 20, 21, 22, 23, 24 }, default = 0 },
  }),
}

function _M.check_schema(conf)
  return core.schema.check(_M.schema, conf)
end

--- Phases: header_filter. Does not yield.
---@param conf plugin.BrotliConf
---@param ctx moongate.Ctx
function _M.header_filter(conf, ctx)
  ctx.brotli_matched = content_coding.offer("br", conf, ctx)
end

return _M
