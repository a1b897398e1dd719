-- SPDX-License-Identifier: Apache-2.0
--- Reads HTTP/1 answers from a socket, for `resty.http`: head, body by length, chunked or up to the end, trailers. What two
--- readers could understand differently is an error.

local http_headers = require("resty.http_headers")
local split_line = require("moongate.field_line").split

local concat = table.concat
local find = string.find
local gmatch = string.gmatch
local lower = string.lower
local match = string.match
local min = math.min
local sub = string.sub
local tonumber = tonumber
local type = type

local head_max_bytes = 256 * 1024
local fields_max = 1000
local interim_max = 10
local piece_default_bytes = 65536

local _M = {}

local function receive_line(socket, budget)
  local line, err = socket:receive("*l")
  if not line then
    return nil, err
  end
  budget.left = budget.left - #line - 2
  if budget.left < 0 then
    return nil, "the head of the response is larger than " .. head_max_bytes .. " bytes"
  end
  return line
end

local function add_field(fields, name, value)
  local before = fields[name]
  if before == nil then
    fields[name] = value
  elseif type(before) == "table" then
    before[#before + 1] = value
  else
    fields[name] = { before, value }
  end
end

local function receive_fields(socket, budget, fields)
  for _ = 1, fields_max do
    local line, err = receive_line(socket, budget)
    if not line then
      return nil, err
    end
    if line == "" then
      return fields
    end
    local name, value = split_line(line)
    if not name then
      return nil, "a field of the response is malformed"
    end
    add_field(fields, name, value)
  end
  return nil, "the response has more than " .. fields_max .. " fields"
end

local function receive_status(socket, budget)
  local line, err = receive_line(socket, budget)
  if not line then
    return nil, err
  end
  local minor, status, reason = match(line, "^HTTP/1%.(%d) (%d%d%d) ?(.*)$")
  if not minor then
    return nil, "the response does not begin with an HTTP/1 status line"
  end
  return tonumber(status), reason, tonumber(minor)
end

-- True when the list in a field's values has `token`.
local function has_token(value, token)
  local text = type(value) == "table" and concat(value, ",") or value
  for item in gmatch(lower(text or ""), "[^%s,]+") do
    if item == token then
      return true
    end
  end
  return false
end

-- "none", "chunked", "end", or a length.
local function find_framing(method, status, fields)
  if method == "HEAD" or status == 204 or status == 304 then
    return "none"
  end
  local coding = fields["Transfer-Encoding"]
  if coding then
    return lower(type(coding) == "table" and concat(coding, ",") or coding) == "chunked" and "chunked" or "end"
  end
  local length = fields["Content-Length"]
  if not length then
    return "end"
  end
  local text = type(length) == "table" and length[1] or length
  if type(length) == "table" then
    for i = 2, #length do
      if length[i] ~= text then
        return nil, "the response has two lengths"
      end
    end
  end
  if not find(text, "^%d+$") or #text > 15 then
    return nil, "the length of the response is no number"
  end
  return tonumber(text)
end

--- Reads a head; interim answers (1xx) are passed over.
---@param socket moongate.TcpSocket
---@param method string      of the request
---@return table? head       status, reason, headers, framing, is_kept (the connection can be used again)
---@return string? err
function _M.receive_head(socket, method)
  local budget = { left = head_max_bytes }
  for _ = 1, interim_max do
    local status, reason, minor = receive_status(socket, budget)
    if not status then
      return nil, reason
    end
    local fields, err = receive_fields(socket, budget, http_headers.new())
    if not fields then
      return nil, err
    end
    if status >= 200 or status == 101 then
      local framing
      framing, err = find_framing(method, status, fields)
      if not framing then
        return nil, err
      end
      local connection = fields["Connection"]
      local is_kept = minor >= 1 and not has_token(connection, "close") or has_token(connection, "keep-alive")
      -- Both ways to say where the body ends: the next answer may be somebody's invention.
      if fields["Transfer-Encoding"] and fields["Content-Length"] then
        is_kept = false
      end
      return {
        status = status, reason = reason, headers = fields, framing = framing,
        is_kept = is_kept and framing ~= "end" and status ~= 101,
      }
    end
  end
  return nil, "more than " .. interim_max .. " interim responses"
end

local function length_reader(socket, length)
  local left = length
  return function(max)
    if left == 0 then
      return nil
    end
    local piece, err, partial = socket:receive(min(left, max or piece_default_bytes))
    if not piece then
      return nil, err, partial
    end
    left = left - #piece
    return piece
  end
end

local function end_reader(socket)
  local is_over = false
  return function(max)
    if is_over then
      return nil
    end
    local piece, err = socket:receiveany(max or piece_default_bytes)
    if not piece then
      is_over = true
      if err ~= "closed" then
        return nil, err
      end
    end
    return piece
  end
end

local function chunk_size(socket)
  local line, err = receive_line(socket, { left = head_max_bytes })
  if not line then
    return nil, err
  end
  local digits = match(line, "^(%x+)[ \t]*$") or match(line, "^(%x+)[ \t]*;")
  if not digits or #digits > 12 then
    return nil, "a chunk of the response has no size"
  end
  return tonumber(digits, 16)
end

-- `on_trailers` gets the fields after the last chunk.
local function chunk_reader(socket, on_trailers)
  local left = 0
  local is_over = false
  local function fail(err, partial)
    is_over = true
    return nil, err, partial
  end
  return function(max)
    if is_over then
      return nil
    end
    if left == 0 then
      local size, err = chunk_size(socket)
      if not size then
        return fail(err)
      end
      if size == 0 then
        local trailers
        trailers, err = receive_fields(socket, { left = head_max_bytes }, http_headers.new())
        if not trailers then
          return fail(err)
        end
        is_over = true
        on_trailers(trailers)
        return nil
      end
      left = size
    end
    local piece, err, partial = socket:receive(min(left, max or piece_default_bytes))
    if not piece then
      return fail(err, partial)
    end
    left = left - #piece
    if left == 0 then
      local line_end
      line_end, err = socket:receive(2)
      if line_end ~= "\r\n" then
        return fail(err or "a chunk of the response does not end where it should")
      end
    end
    return piece
  end
end

--- Makes the iterator over the body that `framing` describes: pieces of at most `max` bytes (64 KB unless said), then nil;
--- nil and an error when the body broke off. `on_end` is called once it was read to its end, with the trailers if any.
---@param socket moongate.TcpSocket
---@param framing string | integer
---@param on_end fun(trailers: table?)
---@return fun(max: integer?): string?, string?, string?
function _M.body_reader(socket, framing, on_end)
  local is_ended = false
  local trailers
  local reader
  if framing == "chunked" then
    reader = chunk_reader(socket, function(fields)
      trailers = fields
    end)
  elseif framing == "end" then
    reader = end_reader(socket)
  else
    reader = length_reader(socket, framing == "none" and 0 or framing)
  end
  return function(max)
    local piece, err, partial = reader(max)
    if not piece and not err and not is_ended then
      is_ended = true
      on_end(trailers)
    end
    return piece, err, partial
  end
end

--- Reads a body to its end.
---@param reader function
---@param size_max integer
---@return string? body
---@return string? err
---@return string? partial
function _M.read_all(reader, size_max)
  local pieces, size = {}, 0
  while true do
    local piece, err, partial = reader()
    if not piece then
      if err then
        return nil, err, concat(pieces) .. (partial or "")
      end
      return concat(pieces)
    end
    size = size + #piece
    if size > size_max then
      return nil, "the body of the response is larger than " .. size_max .. " bytes", sub(concat(pieces), 1, size_max)
    end
    pieces[#pieces + 1] = piece
  end
end

return _M
