-- SPDX-License-Identifier: Apache-2.0
--- `core.id`: the name of this gateway instance, and fresh UUIDs.

local uuid = require("moongate.uuid")

local instance_id

local _M = { gen_uuid_v4 = uuid.v4 }

--- Returns the id of this instance: the configured one, or one made at start.
---@return string
function _M.get()
  if not instance_id then
    instance_id = uuid.v4()
  end
  return instance_id
end

--- Fixes the id. The runner calls it before plugins are loaded.
---@param id string
function _M.set(id)
  instance_id = id
end

return _M
