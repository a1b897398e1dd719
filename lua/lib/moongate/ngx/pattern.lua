-- SPDX-License-Identifier: Apache-2.0
--- Compiled patterns: making, keeping and running them. `ngx.re` (ngx/regex.lua) is made of these.

local ffi = require("ffi")
local bounded_map = require("moongate.bounded_map")
local native = require("moongate.native")

local C = native.C
local ffi_string = ffi.string
local find = string.find
local sub = string.sub
local tostring = tostring
local type = type

local error_size = 256
local compiled_max = 1024
local error_text = ffi.new("char[?]", error_size)
local name_out = ffi.new("mg_text[1]")
local number_out = ffi.new("int[1]")

local _M = {}

-- Options and pattern to compiled pattern.
local compiled = bounded_map.new(compiled_max)

local function names_of(handle)
  local names
  local index = 0
  while C.mg_regex_name_at(handle, index, name_out, number_out) == 1 do
    names = names or {}
    names[index + 1] = { name = ffi_string(name_out[0].data, name_out[0].size), number = number_out[0] }
    index = index + 1
  end
  return names
end

--- Compiles a pattern, or takes it from the cache.
---@param pattern string
---@param options string?     letters: i j o x s m u a d D J U
---@return table? regex
---@return string? err
function _M.compile(pattern, options)
  options = options or ""
  if type(pattern) ~= "string" then
    pattern = tostring(pattern)
  end
  local key = options == "" and pattern or options .. "\0" .. pattern
  local regex = compiled:get(key)
  if regex then
    return regex
  end
  local handle = C.mg_regex_compile(pattern, #pattern, options, #options, error_text, error_size)
  if handle == nil then
    return nil, ffi_string(error_text)
  end
  local count = C.mg_regex_capture_count(handle)
  regex = {
    handle = ffi.gc(handle, C.mg_regex_free),
    count = count,
    ovector = ffi.new("int[?]", 2 * (count + 1)),
    names = names_of(handle),
    is_utf = find(options, "[uU]") ~= nil,
  }
  compiled:set(key, regex)
  return regex
end

-- Runs a pattern from a 0-based offset. >0: matched; 0: not; nil and a text: it failed.
function _M.exec(regex, subject, offset)
  local set = C.mg_regex_exec(regex.handle, subject, #subject, offset, regex.ovector, regex.count + 1)
  if set < 0 then
    return nil, "pcre2_match() failed: " .. ffi_string(C.mg_regex_error(set))
  end
  return set
end

function _M.captures_of(regex, subject, into)
  local ovector = regex.ovector
  local captures = into or {}
  for index = 0, regex.count do
    local from = ovector[2 * index]
    if from < 0 then
      captures[index] = false
    else
      captures[index] = sub(subject, from + 1, ovector[2 * index + 1])
    end
  end
  local names = regex.names
  if names then
    for index = 1, #names do
      local value = captures[names[index].number]
      if value or not captures[names[index].name] then
        captures[names[index].name] = value
      end
    end
  end
  return captures
end

--- Returns a subject as a string.
function _M.text_of(subject)
  return type(subject) == "string" and subject or tostring(subject)
end

--- Returns the 0-based offset that {pos = n} asks for.
function _M.offset_of(ctx)
  local pos = ctx and ctx.pos
  return pos and pos > 0 and pos - 1 or 0
end

-- The offset one character after `offset`: behind an empty match the search goes on there.
function _M.step_over(regex, subject, offset)
  offset = offset + 1
  if regex.is_utf then
    while offset < #subject do
      local code = subject:byte(offset + 1)
      if code < 0x80 or code >= 0xC0 then
        break
      end
      offset = offset + 1
    end
  end
  return offset
end

return _M
