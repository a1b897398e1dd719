-- SPDX-License-Identifier: Apache-2.0
--- `ngx.re`: regular expressions on the runtime's PCRE2. Compiled patterns are kept, the 1,024 used last; a match that
--- backtracks without end is stopped with an error. Compiling and running is in ngx/pattern.lua, replacing in
--- ngx/regex_replace.lua, splitting in ngx/regex_split.lua.

local patterns = require("moongate.ngx.pattern")
local replacing = require("moongate.ngx.regex_replace")
local splitting = require("moongate.ngx.regex_split")

local error = error
local type = type
local captures_of = patterns.captures_of
local compile = patterns.compile
local exec = patterns.exec
local offset_of = patterns.offset_of
local step_over = patterns.step_over
local text_of = patterns.text_of

local _M = { compile = compile, sub = replacing.sub, gsub = replacing.gsub, split = splitting.split }

--- Matches once. Group n is captures[n], the whole match captures[0]; groups that took no part are false.
---@param subject string
---@param pattern string
---@param options string?
---@param ctx {pos: integer?}?    where to begin; set to the position after the match
---@param into table?             a table to fill
---@return table? captures
---@return string? err
function _M.match(subject, pattern, options, ctx, into)
  local regex, err = compile(pattern, options)
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
  local regex, err = compile(pattern, options)
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

--- Iterates over all matches: `for captures, err in ngx.re.gmatch(...)`; the iterator returns nil at the end.
---@param subject string
---@param pattern string
---@param options string?
---@return (fun(): table?, string?)? iterator
---@return string? err
function _M.gmatch(subject, pattern, options)
  local regex, err = compile(pattern, options)
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

--- Accepts OpenResty's tuning options; they have no meaning here.
---@param name string
function _M.opt(name)
  if type(name) ~= "string" then
    error("unrecognized option name", 2)
  end
end

return _M
