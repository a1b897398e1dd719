-- SPDX-License-Identifier: Apache-2.0
--- Runs the hooks that see the answer on its way out, and the log phase. They return nothing and cannot wait.

local current = require("moongate.current")
local runner = require("moongate.runtime.runner")

local seam = require("moongate.native_wait").seam

local concat = table.concat
local take_exit = require("moongate.exit").take
local jit = require("jit")
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
  seam()
  -- The results of these hooks are ignored, but a run stops at the first hook that returns any: the rest follows one by one.
  if index then
    local hooks = chain.hooks[phase]
    for i = index + 1, #hooks do
      hooks[i].fn(confs[i], ctx)
    end
    take_exit(ctx)
  end
end

local function run_both(slot, phase)
  runner.enter(slot, phase)
  run_chain(slot.global_chain, phase, slot.ctx)
  run_chain(slot.chain, phase, slot.ctx)
end

function _M.header_filter(index, is_first, chain_handle, global_handle)
  run_both(runner.slot(index, is_first, chain_handle, global_handle), "header_filter")
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
function _M.body_filter(index, is_first, chain_handle, global_handle, chunk, is_last)
  local slot = runner.slot(index, is_first, chain_handle, global_handle)
  local arg = current.arg
  arg[1], arg[2] = chunk, is_last
  run_both(slot, "body_filter")
  local result, is_ended = text_of(arg[1]), arg[2] and true or false
  arg[1], arg[2] = nil, nil
  return result, is_ended
end

jit.off(run_both) -- as in runner.lua

function _M.log(index, is_first, chain_handle, global_handle)
  run_both(runner.slot(index, is_first, chain_handle, global_handle), "log")
end

return _M
