-- SPDX-License-Identifier: Apache-2.0
--- Texts with `$name`, `${name}` and `${name ?? default}` in them. A text is cut into pieces once and kept; filling it in
--- is then a walk over the pieces.

local bounded_map = require("moongate.bounded_map")

local concat = table.concat
local find = string.find
local sub = string.sub
local tostring = tostring
local type = type

local _M = {}

local function add_text(pieces, text)
  if text ~= "" then
    pieces[#pieces + 1] = text
  end
end

-- Reads the reference after the `$` at `at`; returns the piece and the position after it, or nil.
local function read_reference(text, at, names)
  local _, last, name = find(text, "^(" .. names .. "+)", at + 1)
  if name then
    return { name = name }, last + 1
  end
  _, last, name = find(text, "^{%s*(" .. names .. "+)%s*}", at + 1)
  if name then
    return { name = name }, last + 1
  end
  local default
  _, last, name, default = find(text, "^{%s*(" .. names .. "+)%s*%?%?%s*([^}]-)%s*}", at + 1)
  if name then
    return { name = name, default = default }, last + 1
  end
  return nil
end

local function cut(text, names)
  local pieces, from, at = {}, 1, 1
  while true do
    local dollar = find(text, "$", at, true)
    if not dollar then
      break
    end
    if sub(text, dollar - 1, dollar - 1) == "\\" then
      add_text(pieces, sub(text, from, dollar - 2))
      from, at = dollar, dollar + 1
    else
      local piece, next_at = read_reference(text, dollar, names)
      if piece then
        add_text(pieces, sub(text, from, dollar - 1))
        pieces[#pieces + 1] = piece
        from, at = next_at, next_at
      else
        at = dollar + 1
      end
    end
  end
  add_text(pieces, sub(text, from))
  return pieces
end

local texts = bounded_map.new(1024)
local capture_texts = bounded_map.new(256)

local function pieces_of(map, text, names)
  local pieces = map:get(text)
  if not pieces then
    pieces = cut(text, names)
    map:set(text, pieces)
  end
  return pieces
end

local function fill(pieces, values, escape, is_numbered)
  local parts, resolved = {}, 0
  for index = 1, #pieces do
    local piece = pieces[index]
    if type(piece) == "table" then
      local value = values[is_numbered and tonumber(piece.name) or piece.name]
      if value == nil then
        value = piece.default or ""
      else
        resolved = resolved + 1
      end
      piece = tostring(value)
      if escape then
        piece = escape(piece)
      end
    end
    parts[index] = piece
  end
  return concat(parts), resolved
end

--- Fills variables into a text. What is unset is empty, or its default.
---@param text string
---@param vars table                   usually ctx.var
---@param escape (fun(value: string): string)?
---@return string text
---@return string? err
---@return integer resolved            how many variables were set
function _M.resolve_var(text, vars, escape)
  if type(text) ~= "string" or not find(text, "$", 1, true) then
    return text, nil, 0
  end
  local result, resolved = fill(pieces_of(texts, text, "[%w_.]"), vars, escape)
  return result, nil, resolved
end

--- Fills the captures of a match into a text: `$1`, `${1}`.
---@param text string
---@param captures table
---@return string text
---@return string? err
---@return integer resolved
function _M.resolve_var_with_captures(text, captures)
  if type(text) ~= "string" or not find(text, "$", 1, true) then
    return text, nil, 0
  end
  local result, resolved = fill(pieces_of(capture_texts, text, "%d"), captures, nil, true)
  return result, nil, resolved
end

return _M
