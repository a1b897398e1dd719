-- SPDX-License-Identifier: Apache-2.0
--- `require("ngx.re").split`.

local patterns = require("moongate.ngx.pattern")

local sub = string.sub
local compile = patterns.compile
local exec = patterns.exec
local offset_of = patterns.offset_of
local step_over = patterns.step_over

local _M = {}

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
  local regex, err = compile(pattern, options)
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

return _M
