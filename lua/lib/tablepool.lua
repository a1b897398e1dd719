-- SPDX-License-Identifier: Apache-2.0
--- Pools of tables by tag, for code that makes and drops many of one shape. A pool holds at most 200 tables.

local clear = require("table.clear")
local new = require("table.new")

local error = error
local pools_max = 200

local _M = {}
local pools = {}

--- Returns an empty table from the pool `tag`, or a new one with room for the given counts.
---@param tag string
---@param narr integer
---@param nrec integer
---@return table
function _M.fetch(tag, narr, nrec)
  local pool = pools[tag]
  local count = pool and pool.count or 0
  if count > 0 then
    local item = pool[count]
    pool[count] = false
    pool.count = count - 1
    return item
  end
  return new(narr or 0, nrec or 0)
end

--- Gives a table back; it is emptied unless `is_kept` is set. The caller must not use it any more.
---@param tag string
---@param item table
---@param is_kept boolean?
function _M.release(tag, item, is_kept)
  if not item then
    error("object empty", 2)
  end
  local pool = pools[tag]
  if not pool then
    pool = { count = 0 }
    pools[tag] = pool
  end
  if pool.count >= pools_max then
    return
  end
  if not is_kept then
    setmetatable(item, nil)
    clear(item)
  end
  pool.count = pool.count + 1
  pool[pool.count] = item
end

return _M
