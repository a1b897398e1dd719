-- SPDX-License-Identifier: Apache-2.0
--- The consumer that stands for clients who are nobody else, as the authentication plugins share it.

local get_anonymous_consumer = require("apisix.consumer").get_anonymous_consumer
local log = require("moongate.core.log")

local _M = {}

--- Takes the anonymous consumer of a plugin's conf for a client that was not recognised.
---@param plugin_name string     for the log
---@param conf { anonymous_consumer: string? }
---@param refusal string?        why it was not recognised, as the client is told
---@return table? consumer       nil: the client is refused
---@return table|string? conf_or_err
---@return string? refusal       what the client is told then
function _M.stand_in(plugin_name, conf, refusal)
  if not conf.anonymous_consumer then
    return nil, nil, refusal
  end
  local consumer, consumer_conf, err = get_anonymous_consumer(conf.anonymous_consumer)
  if not consumer then
    log.error(plugin_name, ": the anonymous consumer cannot be used: ", err)
    return nil, nil, "Invalid user authorization"
  end
  return consumer, consumer_conf
end

return _M
