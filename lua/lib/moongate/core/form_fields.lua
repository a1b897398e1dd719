-- SPDX-License-Identifier: Apache-2.0
--- The fields of a form for who must not misread them: all values of each, and which other fields some upstream takes
--- for the same one. `a[]`, ` a` and `A` are `a` in PHP or ASP.NET, `x;a=1` holds an `a` for old readers, and where there
--- is no `a`, Spring takes it from `!a`.

local folded_name = require("moongate.core.folded_name")
local media_type = require("moongate.core.media_type")
local unescape = require("moongate.encoding").unescape_uri

local find = string.find
local format = string.format
local gmatch = string.gmatch
local gsub = string.gsub
local match = string.match
local sub = string.sub

local _M = {}

local methods = {}
methods.__index = methods

--- Returns what a client sent as a reason may quote it.
---@param text string
---@return string
local function quoted(text)
  return (gsub(sub(text, 1, 64), "[^ -~]", "?"))
end
_M.quoted = quoted

-- A name as the most forgiving reader has it.
local function plain(name)
  if find(name, "^[%l%d_-]*$") then
    return name
  end
  name = match(name, "^%s*([^%z]*)")
  local bracket = find(name, "[", 2, true)
  if bracket and find(name, "]", bracket, true) then
    name = sub(name, 1, bracket - 1)
  end
  return folded_name((gsub(name, "[. %[]", "_")))
end

---@class moongate.FormFields
---@field values table<string, string[]>       by name
---@field names table<string, string>         the first of each plain name
---@field doubts table<string, string>         by plain name: why it cannot be read
---@field brackets string?                     the first name with `[`
---@field fault string?                        why nothing can be read

---@return moongate.FormFields
function _M.new()
  return setmetatable({ values = {}, names = {}, doubts = {} }, methods)
end

---@param name string
---@param value string
function methods:add(name, value)
  local key = plain(name)
  if key == "_charset_" and not media_type.is_utf8(value) then -- it says how the others are to be read: RFC 7578, HTML
    self.fault = format("its field `_charset_` is `%s`; send it in UTF-8", quoted(value))
  end
  local values = self.values[name]
  if values then
    values[#values + 1] = value
    return
  end
  self.values[name] = { value }
  self.brackets = self.brackets or find(name, "[", 1, true) and name or nil
  local other = self.names[key]
  self.names[key] = other or name
  if other and not self.doubts[key] then
    self:doubt(name, format("it has the arguments `%s` and `%s`, which some upstreams take for one; send one", quoted(other), quoted(name)))
  end
end

---@param name string
---@param reason string
function methods:doubt(name, reason)
  local key = plain(name)
  self.doubts[key] = self.doubts[key] or reason
end

--- Returns why a field cannot be read, whether it is there or not.
---@param name string
---@return string? err
function methods:doubt_of(name)
  local key = plain(name)
  local other = self.names[key] or self.names["!" .. key]
  local err = self.fault or self.doubts[key]
  if not err and other and other ~= name then
    err = format("it has the argument `%s`, which some upstreams take for `%s`", quoted(other), name)
  end
  return err
end

--- Returns the value of a field that may be given once.
---@param name string
---@return string? value
---@return string? err
function methods:get(name)
  local values, err = self.values[name], self:doubt_of(name)
  if not err and values and values[2] then
    err = format("it has several arguments `%s`; send one", name)
  end
  return not err and values and values[1] or nil, err
end

local function is_encoded(text)
  return not find(text, "%c") and not find(text .. "  ", "%%%X") and not find(text .. "  ", "%%%x%X")
end

-- Notes what of a piece between two `&` some upstream reads in another way.
local function doubt_piece(form, piece, raw_name, raw_value, name, value)
  if not is_encoded(raw_name) then
    form.fault = "the name of an argument is not percent-encoded as it should be"
  elseif not is_encoded(raw_value) or find(value, "%z") then
    form:doubt(name, format("its argument `%s` is not percent-encoded as it should be", quoted(name)))
  end
  if find(piece, ";", 1, true) then
    for part in gmatch(piece, "[^;]+") do
      form:doubt(unescape(match(part, "^[^=]*")), "it has a `;`, which some upstreams take for `&`; send it as %3B")
    end
  end
end

local function add_piece(form, piece, has_doubts)
  local raw_name, raw_value = match(piece, "^([^=]*)=?(.*)$")
  local name, value = unescape(raw_name), unescape(raw_value)
  if has_doubts then
    doubt_piece(form, piece, raw_name, raw_value, name, value)
  end
  if name ~= "" then
    form:add(name, value)
  end
end

--- Reads an urlencoded body or a query.
---@param text string
---@return moongate.FormFields
function _M.decode(text)
  local form = _M.new()
  local has_doubts = find(text, ";", 1, true) or find(text, "%00", 1, true) or not is_encoded(text)
  for piece in gmatch(match(text, "^\239?\187?\191?(.*)$"), "[^&]+") do
    add_piece(form, piece, has_doubts)
  end
  return form
end

return _M
