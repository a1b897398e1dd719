-- SPDX-License-Identifier: Apache-2.0
--- Reads multipart/form-data. Readers differ much in what they forgive, so nothing is forgiven here: what is no clear
--- sequence of parts that each have one name is an error, and nobody decides by half of it.

local media_type = require("moongate.core.media_type")

local find = string.find
local gmatch = string.gmatch
local lower = string.lower
local match = string.match
local sub = string.sub

local _M = {}

local plain_encodings = { [""] = true, ["7bit"] = true, ["8bit"] = true, binary = true }

-- Checks what says how the part's content is to be read.
local function check_content(fields, is_file)
  if not plain_encodings[lower(fields["content-transfer-encoding"] or "")] then
    return "a part has a Content-Transfer-Encoding; send it without"
  end
  local content_type = fields["content-type"]
  if is_file or not content_type or content_type == "" then
    return nil
  end
  local kind, parameters = media_type.parse(content_type)
  if not kind or find(kind, "^multipart/") then
    return "a part's Content-Type cannot be read"
  end
  return not media_type.is_utf8(parameters.charset) and "a part has a charset other than UTF-8" or nil
end

-- The name of a part, by its head without the last line end.
local function read_head(head)
  local fields = {}
  for line in gmatch(head .. "\r\n", "(.-)\r\n") do
    local name, value = match(line, "^([%w!#$%%&'*+.^_`|~-]+):[ \t]*(.-)[ \t]*$")
    name = name and lower(name)
    if not name or fields[name] or find(line, "[%z\1-\8\10-\31\127]") then
      return nil, "a part has a head line that cannot be read, or one twice"
    end
    fields[name] = value
  end
  local disposition, parameters = media_type.split(fields["content-disposition"] or "")
  local name = disposition == "form-data" and parameters.name
  if not name or find(name, "^'") then
    return nil, "a part's Content-Disposition has no name that can be read"
  end
  local err = check_content(fields, parameters.filename or parameters["filename*"])
  return not err and name or nil, err
end

-- The part between two delimiters: the line end that begins its head is at `at`, the next delimiter at `stop`.
local function read_part(body, at, stop)
  if sub(body, stop - 2, stop - 1) ~= "\r\n" then
    return nil, "its boundary is in the middle of a line"
  end
  local first, last = find(body, "\r\n\r\n", at, true)
  if not first or first == at or last > stop - 3 then
    return nil, "a part has no head, or nothing behind it"
  end
  local name, err = read_head(sub(body, at + 2, first - 1))
  return name and { name = name, value = sub(body, last + 1, stop - 3) }, err
end

--- Reads the parts in their order; files are taken like fields.
---@param body string
---@param boundary string?
---@return {name: string, value: string}[]? parts
---@return string? err
function _M.decode(body, boundary)
  if not boundary or find(boundary, "^ *$") then
    return nil, "multipart body without a boundary"
  end
  local delimiter = "--" .. boundary
  local at = sub(body, 1, 2) == "\r\n" and 3 or 1
  if sub(body, at, at + #delimiter - 1) ~= delimiter then
    return nil, "the multipart body does not begin with its boundary"
  end
  at = at + #delimiter
  local parts = {}
  while sub(body, at, at + 1) == "\r\n" do
    local stop, last = find(body, delimiter, at, true)
    if not stop then
      return nil, "the multipart body does not end with its boundary"
    end
    local part, err = read_part(body, at, stop)
    if not part then
      return nil, "the multipart body cannot be read: " .. err
    end
    parts[#parts + 1] = part
    at = last + 1
  end
  if sub(body, at, at + 1) ~= "--" or find(body, "[^\r\n]", at + 2) then
    return nil, "the multipart body has text behind its boundary"
  end
  return parts
end

return _M
