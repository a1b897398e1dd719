-- SPDX-License-Identifier: Apache-2.0
--- What ends or writes the answer in `ngx`: exit, print, say, flush, redirect.

local current = require("moongate.current")
local exit = require("moongate.exit")
local fields = require("moongate.fields")
local native = require("moongate.native")
local phase = require("moongate.phase")

local C = native.C
local concat = table.concat
local error = error
local select = select
local tostring = tostring
local type = type

local _M = {}

--- Ends the request with a status, or with ngx.OK only the phase. Does not return, except in header_filter.
---@param code integer
function _M.exit(code)
  phase.check(phase.exiting)
  if type(code) ~= "number" then
    error("bad argument #1 to 'exit' (number expected, got " .. type(code) .. ")", 2)
  end
  if code >= 200 and current.ex ~= nil then
    C.mg_response_status_set(current.ex, code)
  end
  if current.phase == "header_filter" then
    exit.record(code)
    return
  end
  exit.raise(code)
end

local function flatten(parts, value)
  if type(value) ~= "table" then
    parts[#parts + 1] = value == nil and "nil" or value == require("moongate.ngx.constants").null and "null"
      or tostring(value)
    return
  end
  for index = 1, #value do
    flatten(parts, value[index])
  end
end

local function write(tail, ...)
  phase.check(phase.answering, 3)
  local ex = phase.exchange(nil)
  local parts = {}
  for index = 1, select("#", ...) do
    flatten(parts, (select(index, ...)))
  end
  local text = concat(parts) .. tail
  if C.mg_response_status_get(ex) == 0 then
    C.mg_response_status_set(ex, 200)
  end
  C.mg_answer_append(ex, text, #text)
  if current.ctx then
    current.ctx._is_answered = true
  end
  return 1
end

--- Appends to the body of the answer; arrays are joined.
function _M.print(...)
  return write("", ...)
end

--- As print, with a line feed.
function _M.say(...)
  return write("\n", ...)
end

--- Does nothing: an answer made by a plugin leaves as soon as its hook ends.
---@return integer
function _M.flush()
  return 1
end

--- Ends the answer; what is appended later is ignored by the client.
---@return integer
function _M.eof()
  phase.check(phase.answering)
  return 1
end

--- Ends the request with a redirect (302 unless given).
---@param uri string
---@param status integer?
function _M.redirect(uri, status)
  phase.check(phase.answering)
  status = status or 302
  if status ~= 301 and status ~= 302 and status ~= 303 and status ~= 307 and status ~= 308 then
    error("only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, "
      .. "ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed", 2)
  end
  local ok, err = fields.response_set(phase.exchange(nil), "Location", uri)
  if not ok then
    error(err, 2)
  end
  _M.exit(status)
end

return _M
