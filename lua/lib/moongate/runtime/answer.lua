-- SPDX-License-Identifier: Apache-2.0
--- Turns what a hook returned into the exchange's answer, by APISIX's rules: a number ends the request, a table body
--- becomes JSON with a line end, a string goes as it is.

local cjson = require("moongate.core.json")
local fields = require("moongate.fields")
local log = require("moongate.core.log")
local native = require("moongate.native")

local C = native.C
local tostring = tostring
local type = type

local _M = {}

local function append(ex, body)
  if type(body) == "table" then
    local text, err = cjson.encode(body)
    if not text then
      log.error("the answer's body cannot be written as JSON: ", err)
      return
    end
    if not fields.response_get(ex, "Content-Type") then
      fields.response_set(ex, "Content-Type", "application/json")
    end
    text = text .. "\n"
    C.mg_answer_append(ex, text, #text)
  elseif body ~= nil then
    local text = tostring(body)
    C.mg_answer_append(ex, text, #text)
  end
end

--- Makes the answer of what is appended; verdict 1. A code of 0 (ngx.OK) ends the phase only: verdict 0.
function _M.finish(ex, _, code)
  if code == 0 then
    return 0
  end
  C.mg_answer(ex, code)
  return 1
end

--- An answer of the runtime itself, with the standard body.
function _M.failure(ex, code, reason)
  log.error(reason)
  C.mg_answer(ex, code)
  return 1
end

--- A hook of `entry` returned `code, body`.
function _M.from_hook(ex, ctx, entry, code, body)
  if type(code) ~= "number" then
    error("plugin " .. entry.name .. " returned a body without a status code", 0)
  end
  if code >= 400 then
    log.warn(entry.name, " exits with http status code ", code)
  end
  append(ex, body)
  ctx._resp_source = "apisix"
  return _M.finish(ex, ctx, code)
end

return _M
