-- SPDX-License-Identifier: Apache-2.0
--- Collecting a response body over the calls of a body filter, for plugins that need all of it at once.

local current = require("moongate.current")

local concat = table.concat
local sub = string.sub

local _M = {}

--- Keeps the chunk that is passing; returns the whole body with the last one. Until then the client gets nothing,
--- unless `is_copy` is set. Phases: body_filter.
---@param ctx moongate.Ctx
---@param is_copy boolean?       let the chunks through and collect a copy
---@param max_bytes integer?     return what there is as soon as it is this much, once
---@param key string?            who collects; the running plugin when left out
---@return string?
function _M.hold_body_chunk(ctx, is_copy, max_bytes, key)
  local arg = current.arg
  local chunk, is_last = arg[1], arg[2]
  local holds = ctx._held_bodies
  if not holds then
    holds = {}
    ctx._held_bodies = holds
  end
  key = key or ctx._plugin_name or ""
  local hold = holds[key]
  if not hold then
    hold = { count = 0, size = 0, is_done = false }
    holds[key] = hold
  end
  if hold.is_done then
    if not is_copy then
      arg[1] = nil
    end
    return nil
  end
  if chunk and chunk ~= "" then
    hold.count = hold.count + 1
    hold[hold.count] = chunk
    hold.size = hold.size + #chunk
  end
  local is_full = max_bytes and hold.size >= max_bytes
  if is_last or is_full then
    local body = concat(hold, "", 1, hold.count)
    holds[key] = { count = 0, size = 0, is_done = true }
    return is_full and sub(body, 1, max_bytes) or body
  end
  if not is_copy then
    arg[1] = nil
  end
  return nil
end

return _M
