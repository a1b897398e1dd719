-- SPDX-License-Identifier: Apache-2.0
--- Lists the hooks of a request's chains in the order in which runner.lua and filters.lua would run them, for
--- `moongate explain`.

local chains = require("moongate.runtime.chains")
local consumers = require("moongate.consumers")

local ipairs = ipairs

local _M = {}

local function add(list, chain, phase)
  for _, hook in ipairs(chain and chain.hooks[phase] or {}) do
    local entry = hook.entry
    list[#list + 1] = { phase = phase, plugin = entry.name, priority = entry.priority, source = entry.conf._meta.parent.resource_key }
  end
end

--- Lists hooks.
---@param chain_handle integer      0: the route has no plugins
---@param global_handle integer     0: there are no global rules
---@param consumer_name string      "": nobody is recognised
---@return {phase: string, plugin: string, priority: number, source: string}[]? list
---@return string? err
function _M.list(chain_handle, global_handle, consumer_name)
  local global_chain, chain = chains.get(global_handle), chains.get(chain_handle)
  local merged, fresh = chain, nil
  if consumer_name ~= "" and chain then
    local consumer = consumers.get(consumer_name)
    if not consumer then
      return nil, "there is no consumer " .. consumer_name
    end
    merged, fresh = consumers.merge(chain, consumer)
    if not merged and fresh then
      return nil, fresh
    end
    merged = merged or chain
  end
  local list = {}
  for _, phase in ipairs(chains.phases) do
    add(list, global_chain, phase)
    -- The consumer is known when the route's rewrite is over: what only it has gets its turn then.
    add(list, phase == "rewrite" and chain or merged, phase)
    if phase == "rewrite" then
      add(list, fresh, phase)
    end
  end
  return list
end

return _M
