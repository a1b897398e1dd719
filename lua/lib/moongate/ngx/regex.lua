-- SPDX-License-Identifier: Apache-2.0
--- `ngx.re`: regular expressions on the runtime's PCRE2. Compiled patterns are kept, the 1,024 used last; a match that
--- backtracks without end is stopped with an error.

local ffi = require("ffi")
local bounded_map = require("moongate.bounded_map")
local native = require("moongate.native")

local C = native.C
local concat = table.concat
local error = error
local ffi_string = ffi.string
local find = string.find
local sub = string.sub
local tonumber = tonumber
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
local function exec(regex, subject, offset)
  local set = C.mg_regex_exec(regex.handle, subject, #subject, offset, regex.ovector, regex.count + 1)
  if set < 0 then
    return nil, "pcre2_match() failed: " .. ffi_string(C.mg_regex_error(set))
  end
  return set
end

local function captures_of(regex, subject, into)
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

local function text_of(subject)
  return type(subject) == "string" and subject or tostring(subject)
end

local function offset_of(ctx)
  local pos = ctx and ctx.pos
  return pos and pos > 0 and pos - 1 or 0
end

--- Matches once. Group n is captures[n], the whole match captures[0]; groups that took no part are false.
---@param subject string
---@param pattern string
---@param options string?
---@param ctx {pos: integer?}?    where to begin; set to the position after the match
---@param into table?             a table to fill
---@return table? captures
---@return string? err
function _M.match(subject, pattern, options, ctx, into)
  local regex, err = _M.compile(pattern, options)
  if not regex then
    return nil, err
  end
  subject = text_of(subject)
  local set
  set, err = exec(regex, subject, offset_of(ctx))
  if set == nil or set == 0 then
    return nil, err
  end
  if ctx then
    ctx.pos = regex.ovector[1] + 1
  end
  return captures_of(regex, subject, into)
end

--- Finds where the pattern, or its group `nth`, matches.
---@param subject string
---@param pattern string
---@param options string?
---@param ctx {pos: integer?}?
---@param nth integer?
---@return integer? from
---@return integer? to
---@return string? err
function _M.find(subject, pattern, options, ctx, nth)
  local regex, err = _M.compile(pattern, options)
  if not regex then
    return nil, nil, err
  end
  subject = text_of(subject)
  local set
  set, err = exec(regex, subject, offset_of(ctx))
  if set == nil or set == 0 then
    return nil, nil, err
  end
  local ovector = regex.ovector
  nth = nth or 0
  if nth > regex.count then
    return nil, nil, "nth out of bound"
  end
  if ctx then
    ctx.pos = ovector[1] + 1
  end
  if ovector[2 * nth] < 0 then
    return nil, nil
  end
  return ovector[2 * nth] + 1, ovector[2 * nth + 1]
end

-- The offset one character after `offset`: behind an empty match the search goes on there.
local function step_over(regex, subject, offset)
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

--- Iterates over all matches: `for captures, err in ngx.re.gmatch(...)`; the iterator returns nil at the end.
---@param subject string
---@param pattern string
---@param options string?
---@return (fun(): table?, string?)? iterator
---@return string? err
function _M.gmatch(subject, pattern, options)
  local regex, err = _M.compile(pattern, options)
  if not regex then
    return nil, err
  end
  subject = text_of(subject)
  local offset = 0
  return function()
    if offset > #subject then
      return nil
    end
    local set, failure = exec(regex, subject, offset)
    if set == nil or set == 0 then
      offset = #subject + 1
      return nil, failure
    end
    local from, to = regex.ovector[0], regex.ovector[1]
    offset = to > from and to or step_over(regex, subject, to)
    return captures_of(regex, subject)
  end
end

-- A replacement text is cut into literal strings and group numbers once.
local templates = bounded_map.new(compiled_max)

local function add_reference(pieces, text, at)
  if sub(text, at + 1, at + 1) == "$" then
    pieces[#pieces + 1] = "$"
    return at + 2
  end
  local _, last, digits = find(text, "^(%d+)", at + 1)
  if not digits then
    _, last, digits = find(text, "^{(%d+)}", at + 1)
  end
  if not digits then
    return nil, "attempt to use an invalid replacement at position " .. at .. ": \"" .. text .. "\""
  end
  pieces[#pieces + 1] = tonumber(digits)
  return last + 1
end

local function template_of(text)
  local pieces = templates:get(text)
  if pieces then
    return pieces
  end
  pieces = {}
  local from = 1
  while true do
    local at = find(text, "$", from, true)
    if not at then
      break
    end
    if at > from then
      pieces[#pieces + 1] = sub(text, from, at - 1)
    end
    local next_from, err = add_reference(pieces, text, at)
    if not next_from then
      return nil, err
    end
    from = next_from
  end
  if from <= #text then
    pieces[#pieces + 1] = sub(text, from)
  end
  templates:set(text, pieces)
  return pieces
end

local function append_template(parts, count, pieces, regex, subject)
  local ovector = regex.ovector
  for index = 1, #pieces do
    local piece = pieces[index]
    if type(piece) == "number" then
      local from = piece <= regex.count and ovector[2 * piece] or -1
      piece = from >= 0 and sub(subject, from + 1, ovector[2 * piece + 1]) or ""
    end
    count = count + 1
    parts[count] = piece
  end
  return count
end

local function replace(subject, pattern, replacement, options, max)
  local regex, err = _M.compile(pattern, options)
  if not regex then
    return nil, 0, err
  end
  subject = text_of(subject)
  local pieces
  if type(replacement) ~= "function" then
    pieces, err = template_of(text_of(replacement))
    if not pieces then
      return nil, 0, err
    end
  end
  local parts, count, done = {}, 0, 0
  local copied, offset, size = 0, 0, #subject
  while offset <= size and done < max do
    local set
    set, err = exec(regex, subject, offset)
    if set == nil then
      return nil, 0, err
    end
    if set == 0 then
      break
    end
    local from, to = regex.ovector[0], regex.ovector[1]
    count = count + 1
    parts[count] = sub(subject, copied + 1, from)
    if pieces then
      count = append_template(parts, count, pieces, regex, subject)
    else
      count = count + 1
      parts[count] = tostring(replacement(captures_of(regex, subject)) or "")
    end
    copied, done = to, done + 1
    offset = to > from and to or step_over(regex, subject, to)
  end
  if done == 0 then
    return subject, 0
  end
  parts[count + 1] = sub(subject, copied + 1)
  return concat(parts), done
end

--- Replaces the first match. `replacement` is a text with `$1`, `${1}`, `$$`, or a function of the captures.
---@param subject string
---@param pattern string
---@param replacement string|fun(captures: table): string
---@param options string?
---@return string? text
---@return integer count
---@return string? err
function _M.sub(subject, pattern, replacement, options)
  return replace(subject, pattern, replacement, options, 1)
end

--- Replaces all matches.
---@param subject string
---@param pattern string
---@param replacement string|fun(captures: table): string
---@param options string?
---@return string? text
---@return integer count
---@return string? err
function _M.gsub(subject, pattern, replacement, options)
  return replace(subject, pattern, replacement, options, math.huge)
end

-- What stands after the last match.
local function add_rest(result, count, subject, offset, max)
  if offset < #subject or max > 0 then
    count = count + 1
    result[count] = sub(subject, offset + 1)
  end
  return count
end

--- Splits at the matches; what groups caught stands between the pieces. Empty pieces at the end are dropped unless
--- `max` is given.
---@param subject string
---@param pattern string
---@param options string?
---@param ctx {pos: integer?}?
---@param max integer?        at most this many pieces
---@param into table?
---@return string[]? pieces
---@return string? err
function _M.split(subject, pattern, options, ctx, max, into)
  local regex, err = _M.compile(pattern, options)
  if not regex then
    return nil, err
  end
  max = max or 0
  local result, count, pieces = into or {}, 0, 1
  local copied = offset_of(ctx)
  local offset = copied
  while offset < #subject and (max <= 0 or pieces < max) do
    local set
    set, err = exec(regex, subject, offset)
    if set == nil then
      return nil, err
    end
    if set == 0 then
      break
    end
    local from, to = regex.ovector[0], regex.ovector[1]
    if to == from then
      -- An empty match splits between two characters, never at the edges.
      from = from == copied and step_over(regex, subject, from) or from
      to = from
      if from >= #subject then
        break
      end
    end
    count, pieces = count + 1, pieces + 1
    result[count] = sub(subject, copied + 1, from)
    for group = 1, regex.count do
      if regex.ovector[2 * group] >= 0 then
        count = count + 1
        result[count] = sub(subject, regex.ovector[2 * group] + 1, regex.ovector[2 * group + 1])
      end
    end
    copied, offset = to, to
  end
  count = add_rest(result, count, subject, copied, max)
  if max <= 0 then
    while count > 0 and result[count] == "" do
      result[count] = nil
      count = count - 1
    end
  end
  result[count + 1] = nil
  return result
end

--- Accepts OpenResty's tuning options; they have no meaning here.
---@param name string
function _M.opt(name)
  if type(name) ~= "string" then
    error("unrecognized option name", 2)
  end
end

return _M
