-- SPDX-License-Identifier: Apache-2.0
--- `core.response`: answering instead of the upstream, and changing the answer on its way out.

local body_hold = require("moongate.core.body_hold")
local current = require("moongate.current")
local exit = require("moongate.exit")
local fields = require("moongate.fields")
local json = require("moongate.core.json")
local log = require("moongate.core.log")
local native = require("moongate.native")
local phase = require("moongate.phase")

local C = native.C
local error = error
local exchange_of = phase.exchange
local ipairs = ipairs
local mg_response_field_remove = C.mg_response_field_remove
local mg_response_field_set = C.mg_response_field_set
local mg_response_number_set = C.mg_response_number_set
local name_of = fields.name_of
local pairs = pairs
local select = select
local tonumber = tonumber
local tostring = tostring
local type = type

local heading = phase.set({ "rewrite", "access", "before_proxy", "balancer", "content", "header_filter" })

local changed = fields.changed

local _M = { hold_body_chunk = body_hold.hold_body_chunk }

local function append(ex, text)
  C.mg_answer_append(ex, text, #text)
end

local function append_value(ex, value)
  if value == nil then
    return
  end
  if type(value) ~= "table" then
    append(ex, tostring(value))
    return
  end
  local text, err = json.encode(value, true)
  if not text then
    error("failed to encode data: " .. tostring(err), 3)
  end
  if not fields.response_get(ex, "content-type") then
    fields.response_set(ex, "Content-Type", "application/json")
  end
  append(ex, text .. "\n")
end

-- The callbacks see what will be sent and may replace it: (code, body, headers, ...) gives three values.
local function run_callbacks(ctx, code, body)
  local callbacks = ctx and ctx.ngx_ctx and ctx.ngx_ctx.apisix_exit_callback_funcs
  if not callbacks then
    return code, body
  end
  local headers
  for _, callback in ipairs(callbacks) do
    code, body, headers = callback.func(code, body, headers, unpack(callback.args, 1, callback.count))
    if type(headers) == "table" then
      for name, value in pairs(headers) do
        fields.response_set(ctx._ex or current.ex, name, value)
      end
    end
  end
  return code, body
end

--- Sets status and body of the plugin's answer without leaving: for the runner, which has left the hook already.
---@param ex ffi.cdata*
---@param ctx moongate.Ctx?
---@param code integer?     nil only appends the body
---@param ... any           parts of the body: tables become JSON and a line feed, nil nothing
function _M.answer(ex, ctx, code, ...)
  local first = ...
  if code ~= nil then
    code, first = run_callbacks(ctx, code, first)
    if code and code >= 200 then
      C.mg_response_status_set(ex, code)
    end
    if ctx then
      ctx._resp_source = "apisix"
    end
  end
  append_value(ex, first)
  for index = 2, select("#", ...) do
    append_value(ex, (select(index, ...)))
  end
  if ctx then
    ctx._is_answered = true
  end
  return code
end

--- Ends the request with an answer. Does not return. The first argument is taken as body unless it is a number.
--- Phases: rewrite, access, before_proxy, content.
---@param code integer?     nil appends to the body and returns
---@param ... any           string as it is, table as JSON and a line feed
function _M.exit(code, ...)
  phase.check(phase.answering)
  local ctx = current.ctx
  local ex = exchange_of(ctx)
  if code ~= nil and type(code) ~= "number" then
    _M.answer(ex, ctx, nil, code, ...)
    return
  end
  code = _M.answer(ex, ctx, code, ...)
  if code then
    exit.raise(code)
  end
end

--- Appends to the body of the answer without ending the request. Phases: rewrite, access, before_proxy, content.
function _M.say(...)
  phase.check(phase.answering)
  local ctx = current.ctx
  _M.answer(exchange_of(ctx), ctx, nil, ...)
end

--- Calls `callback(code, body, headers, ...)` when the request is ended by `exit`; it returns what is sent.
---@param callback fun(code: integer, body: any, headers: table?, ...): integer, any, table?
function _M.exit_insert_callback(callback, ...)
  if type(callback) ~= "function" then
    error("exit_insert_callback takes a function", 2)
  end
  local ngx_ctx = require("moongate.ngx.ctx").get()
  local callbacks = ngx_ctx.apisix_exit_callback_funcs
  if not callbacks then
    callbacks = {}
    ngx_ctx.apisix_exit_callback_funcs = callbacks
  end
  callbacks[#callbacks + 1] = { func = callback, args = { ... }, count = select("#", ...) }
end

local function change(ex, name, value, fn)
  local ok, err = fn(ex, name, value)
  if not ok then
    log.warn("response header not set: ", err)
  end
end

local function change_all(fn, ...)
  phase.check(heading, 3)
  local ex = exchange_of(nil)
  if C.mg_response_is_sent(ex) ~= 0 then
    error("headers have already been sent", 3)
  end
  local count = select("#", ...)
  local name, value = ...
  if count == 2 and type(name) == "string" then -- nearly always
    change(ex, name, value, fn)
    return
  end
  if type(name) == "table" then
    for key, item in pairs(name) do
      change(ex, key, item, fn)
    end
    return
  end
  if count <= 2 then
    change(ex, name, value, fn)
    return
  end
  local all = { ... }
  for index = 1, count, 2 do
    change(ex, all[index], all[index + 1], fn)
  end
end

local function add_or_skip(ex, name, value)
  if value == nil then
    return true
  end
  return fields.response_add(ex, name, value)
end

--- Sets response headers: (name, value, name, value, ...) or a table. nil removes, an array makes several.
--- Phases: rewrite to header_filter.
function _M.set_header(...)
  -- As in core.request: short where nothing is to be said.
  local name, value = ...
  local ex = current.ex
  if select("#", ...) == 2 and type(name) == "string" and ex ~= nil then
    local kind, result = type(value), nil
    if kind == "number" then
      result = mg_response_number_set(ex, name_of(name).number, value)
    elseif kind == "string" then
      result = mg_response_field_set(ex, name_of(name).number, value, #value)
    elseif kind == "nil" then
      result = mg_response_field_remove(ex, name_of(name).number)
    end
    if result == changed then
      return
    end
  end
  change_all(fields.response_set, ...)
end

--- Adds response headers and keeps those of the same name. Phases: rewrite to header_filter.
function _M.add_header(...)
  change_all(add_or_skip, ...)
end

--- Removes the headers that describe a body which a plugin is about to change. Phases: header_filter.
function _M.clear_header_as_body_modified()
  local ex = exchange_of(nil)
  for _, name in ipairs({ "Content-Length", "Content-Encoding", "Last-Modified", "ETag" }) do
    fields.response_set(ex, name, nil)
  end
end

--- Returns the status of the upstream's last answer, or nil when there was none.
---@param ctx moongate.Ctx
---@return integer?
function _M.get_upstream_status(ctx)
  local list = ctx.var.upstream_status
  return list and tonumber(tostring(list):match("(%d+)[^%d]*$")) or nil
end

local source_names = { "apisix", "nginx", "upstream" }

--- Returns who made the answer: "apisix" (a plugin or the gateway), "nginx" (proxying failed), "upstream".
---@param ctx moongate.Ctx
---@return string?
function _M.get_response_source(ctx)
  if ctx._resp_source then
    return ctx._resp_source
  end
  return source_names[C.mg_response_source(exchange_of(ctx))]
end

---@param ctx moongate.Ctx
---@param source string
function _M.set_response_source(ctx, source)
  ctx._resp_source = source
end

return _M
