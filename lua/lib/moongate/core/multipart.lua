-- SPDX-License-Identifier: Apache-2.0
--- Reads multipart/form-data. Readers differ much in what they forgive, so nothing is forgiven here: what is no clear
--- sequence of parts that each have one name is an error, and nobody decides by half of it.

local media_type = require("moongate.core.media_type")
local split_line = require("moongate.field_line").split

local find = string.find
local format = string.format
local gmatch = string.gmatch
local lower = string.lower
local sub = string.sub

local _M = {}

local boundary_max_bytes = 70 -- RFC 2046; each `-` of a body is compared with all of it
local head_max_bytes = 8 * 1024

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

-- Whether each reader finds that name: not where it is in other quotes, nor encoded as RFC 2047 has it.
local function is_clear(name)
  return name and not find(name, "^'") and not find(name, "=?", 1, true)
end

-- The name of a part and whether it is a file, by its head without the last line end. An empty filename makes a file for
-- some readers only, and so does `filename*`.
local function read_head(head)
  local fields = {}
  for line in gmatch(head .. "\r\n", "(.-)\r\n") do
    local name, value = split_line(line)
    name = name and lower(name)
    if not name or fields[name] or find(line, "[%z\1-\8\10-\31\127]") then
      return nil, "a part has a head line that cannot be read, or one twice"
    end
    fields[name] = value
  end
  local disposition, parameters = media_type.split(fields["content-disposition"] or "")
  local name = disposition == "form-data" and parameters.name
  if not is_clear(name) then
    return nil, "a part's Content-Disposition has no name that can be read"
  end
  local is_file = (parameters.filename or "") ~= ""
  local err = check_content(fields, is_file)
  return not err and name or nil, err, is_file
end

-- The part between two delimiters: the line end that begins its head is at `at`, the next delimiter at `stop`.
local function read_part(body, at, stop)
  if sub(body, stop - 2, stop - 1) ~= "\r\n" then
    return nil, "its boundary is in the middle of a line"
  end
  local first, last = find(body, "\r\n\r\n", at, true)
  if not first or first == at or last > stop - 3 then
    return nil, "a part has no head, or nothing behind it"
  elseif first - at > head_max_bytes then
    return nil, format("a part's head is longer than %d bytes", head_max_bytes)
  end
  local name, err, is_file = read_head(sub(body, at + 2, first - 1))
  return name and { name = name, value = sub(body, last + 1, stop - 3), is_file = is_file or nil }, err
end

--- Reads the parts in their order; files are taken like fields.
---@param body string
---@param boundary string?
---@return {name: string, value: string, is_file: true?}[]? parts
---@return string? err
function _M.decode(body, boundary)
  if not boundary or find(boundary, "^ *$") then
    return nil, "multipart body without a boundary"
  elseif #boundary > boundary_max_bytes then
    return nil, format("the boundary of the multipart body is longer than %d bytes", boundary_max_bytes)
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
