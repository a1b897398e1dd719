-- SPDX-License-Identifier: Apache-2.0
--- `ngx.re.sub` and `ngx.re.gsub`.

local bounded_map = require("moongate.bounded_map")
local patterns = require("moongate.ngx.pattern")

local concat = table.concat
local find = string.find
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type
local captures_of = patterns.captures_of
local compile = patterns.compile
local exec = patterns.exec
local step_over = patterns.step_over
local text_of = patterns.text_of

local templates_max = 1024

local _M = {}

-- A replacement text is cut into literal strings and group numbers once.
local templates = bounded_map.new(templates_max)

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
  local regex, err = compile(pattern, options)
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

return _M
