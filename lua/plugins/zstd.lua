-- SPDX-License-Identifier: Apache-2.0
--- zstd: has answers compressed for clients that take zstd. Not in APISIX; made after its brotli. Which answers, and
--- what becomes of their heads: moongate.content_coding.

local core = require("apisix.core")
local content_coding = require("moongate.content_coding")

local _M = {
  version = 0.1,
  priority = 994,
  name = "zstd",
  schema = content_coding.schema({
    comp_level = { type = "integer", minimum = 1, maximum = 19, default = 3 },
    -- RFC 8878 lets clients refuse windows of more than 8 MB.
    lgwin = { type = "integer", minimum = 10, maximum = 23, default = 19 },
  }),
}

function _M.check_schema(conf)
  return core.schema.check(_M.schema, conf)
end

--- Phases: header_filter. Does not yield.
---@param conf plugin.ZstdConf
---@param ctx moongate.Ctx
function _M.header_filter(conf, ctx)
  content_coding.offer("zstd", conf, ctx)
end

return _M
