-- SPDX-License-Identifier: Apache-2.0
--- The new path of a request, from `uri` or `regex_uri`, always in decoded form: what a substituted value holds is text
--- of a path, never syntax. A `?`, `#` or `%` in it is sent encoded, and a dot segment makes the request fail.

local core = require("apisix.core")
local ffi = require("ffi")
local native = require("moongate.native")
local phase = require("moongate.phase")
local forget_query = require("moongate.var").forget_query

local C = native.C
local byte = string.byte
local find = string.find
local format = string.format
local gsub = string.gsub
local re_match = ngx.re.match
local re_sub = ngx.re.sub
local sub = string.sub

local out = ffi.new("mg_text[1]")
local question, dollar, open_brace, backslash = 63, 36, 123, 92

local _M = {}

--- Finds the `?` that ends the path of a template. One inside `${name ?? default}` is none.
local function find_question(template)
  local at, size = 1, #template
  while at <= size do
    local char = byte(template, at)
    if char == question then
      return at
    end
    if char == backslash then
      at = at + 1
    elseif char == dollar and byte(template, at + 1) == open_brace then
      at = find(template, "}", at, true) or size
    end
    at = at + 1
  end
end

--- Splits a `uri` template into those of path and query.
---@param template string
---@return string path
---@return string? query
function _M.split(template)
  local at = find_question(template)
  if not at then
    return template, nil
  end
  return sub(template, 1, at - 1), sub(template, at + 1)
end

local function encode_byte(char)
  return format("%%%02X", byte(char))
end

--- Escapes what cannot stand in a query at all; `&`, `=`, `%` stay syntax.
---@param query string
---@return string
function _M.escape_query(query)
  if not find(query, "[%z\1-\32#\127-\255]") then
    return query
  end
  return (gsub(query, "[%z\1-\32#\127-\255]", encode_byte))
end

local function escape_question(value)
  return (gsub(value, "%?", "%%3F"))
end

--- Resolves the variables in the templates of path and query.
---@return string? path
---@return string? query    the error when path is nil
function _M.resolve(path_template, query_template, vars)
  local path, err = core.utils.resolve_var(path_template, vars)
  if err then
    return nil, err
  end
  if not query_template then
    return path, nil
  end
  local query
  query, err = core.utils.resolve_var(query_template, vars, escape_question)
  if err then
    return nil, err
  end
  return path, _M.escape_query(query)
end

--- Applies the first pair of `regex_uri` whose pattern matches.
---@param pairs_list string[]    pattern, replacement, pattern, ...
---@param subject string
---@return string? result      nil when none matches, or with an error
---@return table? captures
---@return string? err
function _M.substitute(pairs_list, subject)
  for index = 1, #pairs_list, 2 do
    local pattern, replacement = pairs_list[index], pairs_list[index + 1]
    local result, count, err = re_sub(subject, pattern, replacement, "jo")
    if not result then
      return nil, nil, "failed to substitute the uri " .. subject .. " (" .. pattern .. ") with " .. replacement
        .. " : " .. (err or "unknown error")
    end
    if count > 0 then
      return result, (re_match(subject, pattern, "jo"))
    end
  end
end

--- Returns the path the client really wrote: not decoded, dot segments and all, without the query.
---@param ctx moongate.Ctx
---@return string
function _M.raw_path(ctx)
  local target = ctx.var.real_request_uri or ctx.var.request_uri
  local at = find(target, "?", 1, true)
  return at and sub(target, 1, at - 1) or target
end

--- Decodes a path; unlike in a query, `+` is a plus.
---@param path string
---@return string
function _M.decode_path(path)
  return ngx.unescape_uri((gsub(path, "%+", "%%2B")))
end

local function has_dot_segment(path)
  if not find(path, "/.", 1, true) then
    return false
  end
  return find(path .. "/", "/%.%.?/") ~= nil
end

--- Gives the request its new path; `query` comes before what the client sent.
---@param ctx moongate.Ctx
---@param path string     decoded
---@param query string?
---@return boolean ok
---@return string? err
function _M.apply(ctx, path, query)
  if has_dot_segment(path) then
    return false, "it has a dot segment"
  end
  local ex = phase.exchange(ctx)
  C.mg_request_query_get(ex, out)
  local sent = native.text(out[0])
  if query and sent and sent ~= "" then
    query = query .. "&" .. sent
  else
    query = query or sent
  end
  forget_query(ctx)
  if C.mg_request_uri_set(ex, path, #path, query, query and #query or 0, out) == 0 then
    return false, native.text(out[0]) or "it is not canonical"
  end
  return true
end

return _M
