-- SPDX-License-Identifier: Apache-2.0
--- Runs the hooks that see the answer on its way out, and the log phase. What they return is ignored; they may wait.

local chains = require("moongate.runtime.chains")

local concat = table.concat
local take_exit = require("moongate.exit").take
local calls = chains.calls
local running_plugin = chains.running_plugin
local tostring = tostring
local type = type

local _M = {}

local function run_chain(chain, phase, ctx)
  local run = chain and chain.run[phase]
  if not run then
    return
  end
  local confs = chain.confs[phase]
  local index = run(confs, ctx)
  -- A run stops at the first hook that returns anything: the rest follows one by one.
  if index then
    local hooks = chain.hooks[phase]
    for i = index + 1, #hooks do
      local hook = hooks[i]
      running_plugin[0] = hook.number
      calls[hook.count_index] = calls[hook.count_index] + 1
      hook.fn(confs[i], ctx)
    end
    running_plugin[0] = 0
    take_exit(ctx)
  end
end

--- Runs the hooks of a phase, those of the global rules first. The runner has entered the slot.
function _M.run(slot, phase)
  run_chain(slot.global_chain, phase, slot.ctx)
  run_chain(slot.chain, phase, slot.ctx)
end

local function text_of(chunk)
  if type(chunk) == "table" then
    local parts = {}
    for i = 1, #chunk do
      parts[i] = text_of(chunk[i])
    end
    return concat(parts)
  end
  return chunk == nil and "" or tostring(chunk)
end

--- Lets every body_filter see one chunk in turn.
---@return string chunk
---@return boolean is_ended    true on the last chunk, or when a plugin made it the last
function _M.run_body(slot, chunk, is_last)
  local arg = slot.arg
  arg[1], arg[2] = chunk, is_last
  _M.run(slot, "body_filter")
  local result, is_ended = text_of(arg[1]), arg[2] and true or false
  arg[1], arg[2] = nil, nil
  return result, is_ended
end

return _M
