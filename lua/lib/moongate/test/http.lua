-- SPDX-License-Identifier: Apache-2.0
--- An HTTP/1.1 client for tests: one connection for each request, strict about the answer's framing.

local cjson = require("cjson.safe")
local native = require("moongate.test.native")

local _M = {}

local connect_limit_s = 10
local request_limit_s = 30
local answer_max_bytes = 256 * 1024 * 1024

---@class moongate.test.Response
---@field status integer
---@field reason string
---@field headers table<string, string|string[]>   any case finds a header; a list when it came more than once
---@field body string
---@field json fun(): any                          the body as JSON; raises when it is none

-- A header is found in any case; pairs() gives the names as they came.
local function ignore_case(headers, names)
  return setmetatable(headers, {
    __index = function(_, name)
      local known = type(name) == "string" and names[name:lower()]
      return known and rawget(headers, known) or nil
    end,
  })
end

local function parse_fields(lines)
  local names, headers = {}, {}
  for line in lines:gmatch("([^\r\n]+)\r\n") do
    local name, value = line:match("^([^:]+):[ \t]*(.-)[ \t]*$")
    if not name then
      error("the answer has a malformed header line: " .. line, 0)
    end
    local known = names[name:lower()]
    if not known then
      names[name:lower()] = name
      headers[name] = value
    elseif type(headers[known]) == "table" then
      table.insert(headers[known], value)
    else
      headers[known] = { headers[known], value }
    end
  end
  return ignore_case(headers, names)
end

--- The bytes of an answer as they come.
local Reader = {}
Reader.__index = Reader

function Reader:more()
  local piece, err = self.socket:receive(self.deadline - native.monotonic())
  if not piece then
    return nil, err
  end
  self.size = self.size + #piece
  if self.size > answer_max_bytes then
    error("the answer is larger than 256 MB", 0)
  end
  self.buffer = self.buffer .. piece
  return true
end

function Reader:need(what)
  local ok, err = self:more()
  if not ok then
    error("the connection ended in " .. what .. ": " .. err .. (self.buffer ~= "" and "; so far: " .. self.buffer:sub(1, 200) or ""), 0)
  end
end

function Reader:take_until(mark, what)
  while true do
    local from, to = self.buffer:find(mark, 1, true)
    if from then
      local text = self.buffer:sub(1, to)
      self.buffer = self.buffer:sub(to + 1)
      return text
    end
    self:need(what)
  end
end

-- Pieces are collected in a table: appending to the buffer would copy a large body again and again.
function Reader:take(size)
  local parts, have = { self.buffer }, #self.buffer
  while have < size do
    self.buffer = ""
    self:need("the body")
    parts[#parts + 1] = self.buffer
    have = have + #self.buffer
  end
  local text = table.concat(parts)
  self.buffer = text:sub(size + 1)
  return text:sub(1, size)
end

function Reader:take_rest()
  local parts = { self.buffer }
  while true do
    self.buffer = ""
    local ok, err = self:more()
    if not ok then
      if err ~= "closed" then
        error("the connection ended in the body: " .. err, 0)
      end
      return table.concat(parts)
    end
    parts[#parts + 1] = self.buffer
  end
end

function Reader:take_chunks()
  local parts = {}
  while true do
    local line = self:take_until("\r\n", "a chunk")
    local size = tonumber(line:match("^(%x+)"), 16)
    if not size then
      error("the answer has a malformed chunk: " .. line, 0)
    end
    if size == 0 then
      break
    end
    parts[#parts + 1] = self:take(size)
    if self:take(2) ~= "\r\n" then
      error("the answer has a chunk that does not end where it said", 0)
    end
  end
  repeat
    local line = self:take_until("\r\n", "the trailers")
  until line == "\r\n"
  return table.concat(parts)
end

local function read_body(reader, method, status, headers)
  if method == "HEAD" or status == 204 or status == 304 then
    return ""
  end
  if headers["Transfer-Encoding"] then
    return reader:take_chunks()
  end
  local length = headers["Content-Length"]
  if length then
    return reader:take(tonumber(length))
  end
  return reader:take_rest()
end

local function read_response(reader, method)
  local status, reason, headers
  repeat
    local head = reader:take_until("\r\n\r\n", "the head")
    local line, rest = head:match("^([^\r\n]*)\r\n(.*)$")
    status, reason = line:match("^HTTP/1%.[01] (%d%d%d) ?(.*)$")
    if not status then
      error("the answer begins with " .. line, 0)
    end
    status = tonumber(status)
    headers = parse_fields(rest:sub(1, -3))
  until status >= 200
  local response = { status = status, reason = reason, headers = headers }
  response.body = read_body(reader, method, status, headers)
  function response.json()
    local value, err = cjson.decode(response.body)
    if err then
      error("the body is no JSON: " .. err .. ": " .. response.body:sub(1, 200), 2)
    end
    return value
  end
  return response
end

local function add_field(parts, name, value)
  for _, one in ipairs(type(value) == "table" and value or { value }) do
    local line = name .. ": " .. tostring(one)
    if line:find("[%z\r\n]") then
      error("a header must be one line: " .. line, 0)
    end
    parts[#parts + 1] = line .. "\r\n"
  end
end

---@class moongate.test.Request
---@field method? string                 default GET
---@field path? string                   with its query, as it is sent; default /
---@field headers? table<string, string|number|string[]>
---@field body? string|table             a table is sent as JSON
---@field timeout? number                seconds; default 30

local function compose(request, host)
  local path = request.path or "/"
  if path:find("[%s%z]") then
    error("the path must be encoded: " .. path, 0)
  end
  local parts = { request.method or "GET", " ", path, " HTTP/1.1\r\n" }
  local seen = {}
  for name, value in pairs(request.headers or {}) do
    seen[name:lower()] = true
    add_field(parts, name, value)
  end
  local body = request.body
  if type(body) == "table" then
    body = assert(cjson.encode(body))
    if not seen["content-type"] then
      add_field(parts, "Content-Type", "application/json")
    end
  end
  if not seen["host"] then
    add_field(parts, "Host", host)
  end
  if body and not seen["content-length"] and not seen["transfer-encoding"] then
    add_field(parts, "Content-Length", #body)
  end
  parts[#parts + 1] = "\r\n"
  parts[#parts + 1] = body or ""
  return table.concat(parts)
end

--- Sends a request and reads the whole answer. Raises when there is none.
---@param port integer
---@param request moongate.test.Request
---@return moongate.test.Response
function _M.request(port, request)
  local host = "127.0.0.1:" .. port
  local bytes = compose(request, host)
  local socket, err = native.connect("127.0.0.1", port, connect_limit_s)
  if not socket then
    error("cannot connect to " .. host .. ": " .. err, 0)
  end
  local limit = request.timeout or request_limit_s
  local reader = setmetatable({ socket = socket, deadline = native.monotonic() + limit, buffer = "", size = 0 }, Reader)
  -- A server may answer and close before it has taken the whole body: what it said is looked at first.
  local _, send_err = socket:send(bytes, limit)
  local ok, response = pcall(read_response, reader, request.method or "GET")
  socket:close()
  if not ok then
    error((request.method or "GET") .. " " .. (request.path or "/") .. ": " .. (send_err and send_err .. "; " or "") .. tostring(response), 0)
  end
  return response
end

return _M
