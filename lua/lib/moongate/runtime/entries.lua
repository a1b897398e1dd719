-- SPDX-License-Identifier: Apache-2.0
--- The functions through which a worker enters Lua for a request: two for each phase, because one of them begins the request.
--
-- All are copies of one text. Compiled code belongs to a function: one that served every phase would be compiled as a
-- string of guesses at the phase, each wrong one with code of its own behind it.

local _M = {}

local source = [[
local slot_of, begin, enter, run = ...
return function(index, %s chunk, is_last)
  local slot = slot_of(index)
  %s
  enter(slot, %q)
  return run(slot, chunk, is_last)
end
]]

local first_parameters = "chain_handle, global_handle,"
local first_step = "begin(slot, chain_handle, global_handle)"

local function make(phase, is_first, runner)
  local text = source:format(is_first and first_parameters or "", is_first and first_step or "", phase)
  return assert(load(text, "=enter " .. phase))(runner.slot_of, runner.begin, runner.enter, runner.runs[phase])
end

--- Makes the functions of all phases that a worker enters; access is part of rewrite.
---@param phases string[]     in the order of exchange::Phase
---@param runner table        {slot_of, begin, enter, runs}
---@return table<integer, function> first    by phase: (index, chain_handle, global_handle, chunk, is_last)
---@return table<integer, function> later    by phase: (index, chunk, is_last)
function _M.make(phases, runner)
  local first, later = {}, {}
  for number, phase in ipairs(phases) do
    if runner.runs[phase] then
      first[number], later[number] = make(phase, true, runner), make(phase, false, runner)
    end
  end
  return first, later
end

return _M
