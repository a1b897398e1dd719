-- SPDX-License-Identifier: Apache-2.0
--- response-rewrite: gives the answer another status, other headers, another body, or edits the body by patterns.
--
-- A conf with `vars` is applied only to answers that match them. The configuration: schema.lua.

local core = require("apisix.core")
local decoders = require("apisix.utils.content-decode")
local conf_schema = require("apisix.plugins.response-rewrite.schema")
local expr = require("resty.expr.v1")

local decode_base64 = ngx.decode_base64
local error = error
local find = string.find
local ipairs = ipairs
local match = string.match
local next = next
local pairs = pairs
local re_gsub = ngx.re.gsub
local re_sub = ngx.re.sub
local set_header = core.response.set_header
local setmetatable = setmetatable
local tostring = tostring

local _M = {
  version = 0.1,
  priority = 899,
  name = "response-rewrite",
  schema = conf_schema.conf,
}

function _M.check_schema(conf)
  return conf_schema.check(conf)
end

--- Leaves the body alone, with its length, where a conf does not touch it.
---@param conf plugin.ResponseRewriteConf
---@param phase string
---@return boolean
function _M.wants(conf, phase)
  return phase ~= "body_filter" or conf.body ~= nil or conf.filters ~= nil
end

local function operation(name, value)
  local text = tostring(value)
  return { name = name, value = text, has_variable = find(text, "$", 1, true) ~= nil }
end

-- nil when there is nothing to do.
local function flatten(map)
  if not map or next(map) == nil then
    return nil
  end
  local list = {}
  for name, value in pairs(map) do
    list[#list + 1] = operation(name, value)
  end
  list.count = #list
  return list
end

local function prepare_headers(headers)
  if not headers then
    return nil
  end
  if conf_schema.is_map(headers) then
    return { set = flatten(headers) }
  end
  local add = headers.add and {}
  for index, line in ipairs(headers.add or {}) do
    local name, value = match(line, "^%s*([^:]-)%s*:%s*(.-)%s*$")
    add[index] = operation(name, value)
  end
  return { add = add, set = flatten(headers.set), remove = headers.remove }
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = {
    headers = prepare_headers(conf.headers),
    changes_body = conf.body ~= nil or conf.filters ~= nil,
    body = conf.body,
    hold_key = tostring(conf),
  }
  if conf.body and conf.body_base64 then
    plan.body = decode_base64(conf.body) or ""
  end
  if conf.vars and #conf.vars > 0 then
    plan.rule = expr.new(conf.vars)
  end
  prepared[conf] = plan
  return plan
end

local function is_matched(plan, ctx)
  return plan.rule == nil or plan.rule:eval(ctx.var) == true
end

local function value_of(item, ctx)
  if item.has_variable then
    return (core.utils.resolve_var(item.value, ctx.var))
  end
  return item.value
end

local function apply_headers(operations, ctx)
  local list = operations.add
  if list then
    for index = 1, #list do
      core.response.add_header(list[index].name, value_of(list[index], ctx))
    end
  end
  list = operations.set
  if list then
    for index = 1, list.count do
      set_header(list[index].name, value_of(list[index], ctx))
    end
  end
  list = operations.remove
  if list then
    for index = 1, #list do
      set_header(list[index], nil)
    end
  end
end

--- Looks for what undoes the coding of the body, before its header is taken off. Patterns need plain text.
local function find_decoder(state)
  local coding = ngx.header["Content-Encoding"]
  if not coding or coding == "identity" then
    return
  end
  state.decode = decoders.dispatch_decoder(coding)
  if not state.decode then
    state.is_opaque = true
    core.log.error("response-rewrite: filters cannot read a body with Content-Encoding ", coding)
  end
end

-- What body_filter must know is kept in ctx under the plan: a global rule and a route may both rewrite one answer.
local function prepare_body(conf, plan, ctx)
  local state = { is_opaque = false, is_done = false, size = 0 }
  ctx[plan] = state
  if conf.filters then
    find_decoder(state)
  end
  if not state.is_opaque then
    core.response.clear_header_as_body_modified()
  end
end

--- Decides whether the answer is rewritten, and rewrites its head.
--- Phases: header_filter. Does not yield.
---@param conf plugin.ResponseRewriteConf
---@param ctx moongate.Ctx
function _M.header_filter(conf, ctx)
  local plan = prepared[conf] or prepare(conf)
  if not is_matched(plan, ctx) then
    return
  end
  if conf.status_code then
    ngx.status = conf.status_code
  end
  if plan.changes_body then
    prepare_body(conf, plan, ctx)
  end
  if plan.headers then
    apply_headers(plan.headers, ctx)
  end
end

local function run_filters(filters, body)
  for _, filter in ipairs(filters) do
    local substitute = filter.scope == "global" and re_gsub or re_sub
    local result, _, err = substitute(body, filter.regex, filter.replace, filter.options)
    if result then
      body = result
    else
      core.log.error("response-rewrite: pattern ", filter.regex, " failed: ", err)
    end
  end
  return body
end

-- An answer that is too long is broken off: what is collected of it must not pass for the whole.
local function filter_body(conf, plan, state, ctx)
  local piece = ngx.arg[1]
  state.size = state.size + (piece and #piece or 0)
  if state.size > conf.max_resp_body_size then
    error("the upstream's answer is longer than max_resp_body_size, " .. conf.max_resp_body_size .. " bytes", 0)
  end
  local body = core.response.hold_body_chunk(ctx, false, nil, plan.hold_key)
  if not body then
    return
  end
  if state.decode then
    local plain, err = state.decode(body)
    if not plain then -- its Content-Encoding is gone: sent as it is, it would pass for plain text
      error("the upstream's answer cannot be decoded: " .. err, 0)
    end
    body = plain
  end
  ngx.arg[1] = run_filters(conf.filters, body)
end

--- Puts the new body in place of the upstream's, or edits it once it is whole.
--- Phases: body_filter. Does not yield.
---@param conf plugin.ResponseRewriteConf
---@param ctx moongate.Ctx
function _M.body_filter(conf, ctx)
  local plan = prepared[conf]
  local state = plan and ctx[plan]
  if not state or state.is_opaque then
    return
  end
  if conf.filters then
    filter_body(conf, plan, state, ctx)
    return
  end
  local arg = ngx.arg
  if state.is_done then
    arg[1] = nil
  else
    arg[1] = plan.body
    arg[2] = true
    state.is_done = true
  end
end

return _M
