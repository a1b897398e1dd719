-- SPDX-License-Identifier: Apache-2.0
--- gzip: has answers compressed for clients that take gzip. Which answers, and what becomes of their heads:
--- moongate.content_coding.

local core = require("apisix.core")
local content_coding = require("moongate.content_coding")

local _M = {
  version = 0.1,
  priority = 995,
  name = "gzip",
  schema = content_coding.schema({
    comp_level = { type = "integer", minimum = 1, maximum = 9, default = 1 },
    buffers = {
      type = "object",
      properties = {
        number = { type = "integer", minimum = 1, default = 32 },
        size = { type = "integer", minimum = 1, default = 4096 },
      },
      default = { number = 32, size = 4096 },
    },
  }),
}

function _M.check_schema(conf)
  return core.schema.check(_M.schema, conf)
end

--- Phases: header_filter. Does not yield.
---@param conf plugin.GzipConf
---@param ctx moongate.Ctx
function _M.header_filter(conf, ctx)
  ctx.gzip_matched = content_coding.offer("gzip", conf, ctx)
end

return _M
