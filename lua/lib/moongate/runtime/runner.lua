-- SPDX-License-Identifier: Apache-2.0
--- Runs the hooks of a request, phase by phase: rewrite and access in one go.
--
-- A worker comes in through entries.lua, in a recycled coroutine, and gets a verdict: 0 go on, 1 an answer stands; for body_filter the chunk
-- and whether the body ends. A hook that waits yields from somewhere within.

local chains = require("moongate.runtime.chains")
local consumers = require("moongate.consumers")
local contexts = require("moongate.runtime.contexts")
local current = require("moongate.current")
local make_entries = require("moongate.runtime.entries").make
local exit = require("moongate.exit")
local filters = require("moongate.runtime.filters")
local native = require("moongate.native")
local var = require("moongate.var")
local answer = require("moongate.runtime.answer")

local C = native.C
local ask_body = require("moongate.runtime.body_search").ask
local from_hook = answer.from_hook
local get_chain = chains.get
local merge_consumer = consumers.merge
local recycle_ctx = contexts.recycle
local new_var, recycle_var = var.new, var.recycle
local run_body, run_filters = filters.run_body, filters.run
local take_exit = exit.take
-- Where compiled code ends: a trace stops at a call of plain C. Without it rewrite and access would be one trace, which
-- has more live values than the compiler has registers for.
local seam = require("moongate.native_wait").seam

local _M = {}

-- Per slot of the worker's exchange pool: its tables, used again by one request after the other.
local slots = {}

local function make_slot(index)
  local slot = {
    ex = C.mg_exchange_at(index), ctx = nil, ctx_shape = nil, vars = nil, vars_shape = nil, arg = { false, false }, phase = "",
    chain = nil, global_chain = nil,
  }
  slots[index] = slot
  return slot
end

local function slot_of(index)
  return slots[index] or make_slot(index)
end

-- A slot's ctx is emptied when the next request in the slot begins: one entry into Lua less for each.
local function begin(slot, chain_handle, global_handle)
  local chain = get_chain(chain_handle)
  slot.chain, slot.global_chain = chain, get_chain(global_handle)
  local ex, ctx = slot.ex, slot.ctx
  if ctx then
    take_exit(ctx)
  end
  ctx, slot.ctx_shape = recycle_ctx(ctx, slot.ctx_shape)
  slot.vars, slot.vars_shape = recycle_var(slot.vars, slot.vars_shape, ex, ctx)
  slot.ctx = ctx
  ctx._ex, ctx.var = ex, slot.vars
  local arg = slot.arg -- a filter that was cut off left its chunk
  arg[1], arg[2] = nil, nil
  if chain then
    local fields = chain.fields
    ctx.conf_type, ctx.conf_id, ctx.conf_version = fields.conf_type, fields.conf_id, fields.conf_version
    ctx.route_id, ctx.matched_route = fields.route_id, fields.matched_route
    if fields.has_names then
      ctx.route_name, ctx.service_id, ctx.service_name = fields.route_name, fields.service_id, fields.service_name
    end
  end
end

local function enter_phase(slot, phase)
  current.phase = phase
  slot.phase = phase
end

local function enter(slot, phase)
  current.ctx = slot.ctx
  current.ex = slot.ex
  current.arg = slot.arg
  enter_phase(slot, phase)
end

local function end_with(slot, chain, phase, index, code, body)
  local ctx = slot.ctx
  local signal = take_exit(ctx)
  if signal then -- exit() was called behind a pcall: its answer stands already
    return answer.finish(slot.ex, ctx, signal.code)
  end
  return from_hook(slot.ex, ctx, chain.hooks[phase][index].entry, code, body)
end

-- 1 when a hook answered.
local function run_chain(slot, chain, phase)
  local run = chain and chain.run[phase]
  if not run then
    return 0
  end
  local index, code, body = run(chain.confs[phase], slot.ctx)
  if index then
    return end_with(slot, chain, phase, index, code, body)
  end
  return 0
end

-- A consumer's plugin in quarantine closes the route for that consumer. True when it did.
local function is_closed_by_quarantine(slot, chain)
  local entries = chain.entries
  for i = 1, #entries do
    if C.mg_plugin_is_quarantined(entries[i].number) ~= 0 then
      local reason = "plugin " .. entries[i].name .. " is in quarantine"
      C.mg_fail(slot.ex, 503, reason, #reason)
      return true
    end
  end
  return false
end

-- Asks for the secrets that a chain's confs refer to. Without them the chain does not run, in no phase of the request.
local function lacks_secrets(slot, chain)
  local err = chain and chain.has_secrets and chains.resolve(chain)
  if not err then
    return false
  end
  slot.chain, slot.global_chain = nil, nil
  answer.failure(slot.ex, 503, err)
  return true
end

-- After authentication: the consumer's plugins join the route's. Those that are new still get their rewrite.
local function join_consumer(slot)
  local ctx = slot.ctx
  local merged, fresh = merge_consumer(slot.chain, ctx.consumer, ctx.consumer_group_id)
  if not merged then
    return fresh and answer.failure(slot.ex, 503, fresh) or 0
  end
  if is_closed_by_quarantine(slot, merged) or lacks_secrets(slot, merged) or lacks_secrets(slot, fresh) then
    return 1
  end
  slot.chain = merged
  local fields = merged.fields
  ctx.conf_type, ctx.conf_id, ctx.conf_version = fields.conf_type, fields.conf_id, fields.conf_version
  local phases = merged.phases
  local global_chain = slot.global_chain
  C.mg_phases_set(slot.ex, require("bit").bor(phases, global_chain and global_chain.phases or 0))
  C.mg_traffic_count(slot.ex, merged.traffic)
  return run_chain(slot, fresh, "rewrite")
end

local function run_request(slot)
  local global_chain = slot.global_chain
  if lacks_secrets(slot, global_chain) or lacks_secrets(slot, slot.chain) then
    return 1
  end
  if global_chain and run_chain(slot, global_chain, "rewrite") == 1 then
    return 1
  end
  if run_chain(slot, slot.chain, "rewrite") == 1 then
    return 1
  end
  if slot.ctx.consumer and slot.chain and join_consumer(slot) == 1 then
    return 1
  end
  seam()
  enter_phase(slot, "access")
  if global_chain and run_chain(slot, global_chain, "access") == 1 then
    return 1
  end
  return run_chain(slot, slot.chain, "access")
end

local function run_before_proxy(slot)
  if run_chain(slot, slot.global_chain, "before_proxy") == 1 then
    return 1
  end
  return run_chain(slot, slot.chain, "before_proxy")
end

local function run_filter_phase(slot)
  run_filters(slot, slot.phase)
  return 0
end

--- What a worker calls, by phase; rewrite stands for access too.
_M.first_entries, _M.later_entries = make_entries(chains.phases, {
  slot_of = slot_of,
  begin = begin,
  enter = enter,
  runs = {
    rewrite = run_request,
    before_proxy = run_before_proxy,
    header_filter = run_filter_phase,
    body_filter = run_body,
    log = run_filter_phase,
  },
})

--- Before a coroutine that waited goes on: makes `current` its own again. nil: a timer's.
function _M.restore(index)
  local slot = index and slots[index]
  if slot then
    return enter(slot, slot.phase)
  end
  current.ctx, current.ex, current.phase = nil, nil, "timer"
end

--- After an exit() reached C++ as an error: turns it into the exchange's answer. Verdict as from `serve`.
function _M.take_exit(index)
  local slot = slots[index]
  local signal = slot and slot.ctx and take_exit(slot.ctx)
  if not signal then
    return 0
  end
  return answer.finish(slot.ex, slot.ctx, signal.code)
end

--- Finds a variable of a request's body while its route is looked for (see body_search.lua).
---@param index integer
---@param name string
---@param element string?
---@return string|boolean|nil value
---@return integer? status
---@return string? reason
function _M.ask_body(index, name, element)
  return ask_body(slot_of(index).ex, name, element)
end

-- Calls `fn` outside of any hook, and raises its error: "the request" is that of `ctx` for it, not that of the hook that ran last.
local function call_beside(ctx, phase, fn, ...)
  local ctx_before, ex_before, phase_before = current.ctx, current.ex, current.phase
  current.ctx, current.ex, current.phase = ctx, ctx and ctx._ex, phase
  local ok, result, err = pcall(fn, ...)
  current.ctx, current.ex, current.phase = ctx_before, ex_before, phase_before
  if not ok then
    error(result, 0)
  end
  return result, err
end

--- Asks a route's filter_func, whose errors are the caller's.
---@param fn function
---@param index integer
---@return any verdict
function _M.call_filter(fn, index)
  local ctx = { _ex = slot_of(index).ex }
  ctx.var = new_var(ctx._ex, ctx)
  return (call_beside(ctx, "filter_func", fn, ctx.var, { var = ctx.var }))
end

--- Compiles a route's filter_func.
---@param text string
---@param name string
---@return function? fn
---@return string? err
function _M.compile_filter(text, name)
  return call_beside(nil, "init", chains.compile_filter, text, name)
end

return _M
