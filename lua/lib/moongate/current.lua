-- SPDX-License-Identifier: Apache-2.0
--- What is running now: the runner fills these fields before it enters a plugin and after every resume, and
--- everything that has no `ctx` parameter (`ngx.*`, `core.response.set_header`, ...) reads them.
--
-- It is a plain table, so that a read is one table lookup in a trace. Only the runner writes to it.

---@class moongate.Current
---@field ctx moongate.Ctx?     the api_ctx of the request that runs; nil in timers and at start
---@field ex ffi.cdata*?        its `mg_exchange *`; nil when there is none
---@field phase string          "init", "rewrite", "access", "before_proxy", "header_filter", "body_filter", "log", ...
---@field arg table             what `ngx.arg` shows: [1] the chunk of body, [2] true on the last one
local _M = { ctx = nil, ex = nil, phase = "init", arg = {} }

return _M
