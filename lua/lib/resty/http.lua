-- SPDX-License-Identifier: Apache-2.0
--- `resty.http`: an HTTP/1.1 client for plugins, on `ngx.socket`. Connections go to a pool unless the server or the caller
--- wants them closed. How answers are read is in moongate/http_response.lua. With https the server's certificate is verified unless
--- ssl_verify is false.
--
-- Phases of everything that talks: those of `ngx.socket`. Yields.

local query = require("moongate.query")
local response = require("moongate.http_response")
local socket = require("moongate.ngx.socket")

local concat = table.concat
local find = string.find
local gsub = string.gsub
local lower = string.lower
local match = string.match
local pairs = pairs
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type
local upper = string.upper

local no_certificate = "client certificates are not in this version; leave ssl_client_cert out"
local body_max_bytes = 64 * 1024 * 1024
local user_agent = "moongate"

---@class resty.Http
local _M = { _VERSION = "0.17.2", _USER_AGENT = user_agent }
local client_mt = { __index = _M }

--- Makes a client: one connection at a time.
---@return resty.Http? client
---@return string? err
function _M.new()
  local sock, err = socket.tcp()
  if not sock then
    return nil, err
  end
  return setmetatable({ sock = sock, is_kept = true }, client_mt)
end

--- Sets one limit in milliseconds for connecting, sending and reading.
function _M:set_timeout(timeout_ms)
  self.sock:settimeout(timeout_ms)
  return true
end

--- Sets the limits apart.
function _M:set_timeouts(connect_ms, send_ms, read_ms)
  self.sock:settimeouts(connect_ms, send_ms, read_ms)
  return true
end

--- Splits `uri`. With `is_query_in_path` false the query comes apart as the fifth element.
---@param uri string
---@param is_query_in_path boolean?   true when left out
---@return table? parts    {scheme, host, port, path, query}
---@return string? err
function _M:parse_uri(uri, is_query_in_path)
  local scheme, authority, rest = match(tostring(uri), "^(%a+)://([^/?#]*)([^#]*)")
  scheme = scheme and lower(scheme)
  if scheme ~= "http" and scheme ~= "https" then
    return nil, "bad uri: " .. tostring(uri)
  end
  local host, port = match(authority, "^(%[[%x:.]+%]):?(%d*)$")
  if not host then
    host, port = match(authority, "^([^:@%s]+):?(%d*)$")
  end
  port = port ~= "" and tonumber(port) or scheme == "https" and 443 or 80
  if not host or port < 1 or port > 65535 then
    return nil, "bad uri: " .. tostring(uri)
  end
  local path, arguments = match(rest, "^([^?]*)%??(.*)$")
  path = path == "" and "/" or path
  if is_query_in_path ~= false and arguments ~= "" then
    path, arguments = path .. "?" .. arguments, ""
  end
  return { scheme, host, port, path, arguments }
end

-- The connection goes on in TLS.
local function secure(self, options)
  local ok, err = self.sock:sslhandshake(nil, options.ssl_server_name, options.ssl_verify ~= false)
  if not ok then
    self.sock:close()
    return nil, err
  end
  self.is_tls = true
  return 1
end

-- Connections that were verified in different ways are not mixed.
local function pool_of(options, host, port)
  return concat({ "https", host, tostring(port), options.ssl_server_name or "", tostring(options.ssl_verify ~= false) }, ":")
end

--- Connects: (host, port, options), ("unix:PATH", options) or ({scheme, host, port, pool, pool_size, ssl_verify,
--- ssl_server_name}). Verified is the host, or ssl_server_name.
---@return integer? ok
---@return string? err
function _M:connect(host, port, options)
  if type(host) == "table" then
    options = host
    host, port = options.host, options.port
    if options.ssl_client_cert or options.ssl_client_priv_key then
      return nil, no_certificate
    end
    if type(host) ~= "string" then
      return nil, "host is missing"
    end
    if not port and sub(host, 1, 5) ~= "unix:" then
      port = options.scheme == "https" and 443 or 80
    end
  elseif type(port) == "table" then
    port, options = nil, port
  end
  options = options or {}
  local is_https = options.scheme == "https"
  self.host, self.port, self.is_kept, self.is_tls = host, port, true, false
  local pool = options.pool or is_https and pool_of(options, host, port) or nil
  local ok, err = self.sock:connect(host, port, { pool = pool, pool_size = options.pool_size })
  if not ok or not is_https then
    return ok, err
  end
  return secure(self, options)
end

--- Goes on in TLS after a plain connect: as sslhandshake of `ngx.socket`.
---@return boolean? ok
---@return string? err
function _M:ssl_handshake(...)
  local ok, err = self.sock:sslhandshake(...)
  self.is_tls = ok and true or false
  return ok, err
end

--- Puts the connection into its pool, or closes it when the server wants that or the answer was not read to its end.
---@return integer? ok     2 when it was closed
---@return string? err
function _M:set_keepalive(...)
  if self.is_kept then
    return self.sock:setkeepalive(...)
  end
  local ok, err = self.sock:close()
  if not ok then
    return nil, err
  end
  return 2, "connection must be closed"
end

function _M:get_reused_times()
  return self.sock:getreusedtimes()
end

function _M:close()
  return self.sock:close()
end

local function host_field(self)
  if sub(self.host, 1, 5) == "unix:" then
    return "localhost"
  end
  local host = self.host
  if find(host, ":", 1, true) and sub(host, 1, 1) ~= "[" then
    host = "[" .. host .. "]"
  end
  local port = tonumber(self.port)
  return (not port or port == (self.is_tls and 443 or 80)) and host or host .. ":" .. port
end

local function body_size(body)
  if type(body) == "table" then
    local size = 0
    for i = 1, #body do
      size = size + #tostring(body[i])
    end
    return size
  end
  return #tostring(body)
end

-- Adds one line per value; an error for text that would end the line early.
local function add_lines(lines, name, value)
  if type(value) == "table" then
    for i = 1, #value do
      local err = add_lines(lines, name, value[i])
      if err then
        return err
      end
    end
    return nil
  end
  local text = tostring(value)
  if not find(name, "^[%w!#$%%&'*+%-.^_`|~]+$") or find(text, "[%z\r\n]") then
    return "bad header: " .. name
  end
  lines[#lines + 1] = name .. ": " .. text .. "\r\n"
end

local function target_of(params)
  local path = params.path or "/"
  local arguments = params.query
  if type(arguments) == "table" then
    arguments = query.encode(arguments)
  end
  if arguments and arguments ~= "" then
    local is_begun = sub(arguments, 1, 1) == "?" or find(path, "?", 1, true)
    path = path .. (is_begun and (sub(arguments, 1, 1) == "?" and "" or "&") or "?") .. arguments
  end
  return path
end

local function has_length(given)
  return given["content-length"] or given["transfer-encoding"]
end

-- The head as one text; nil and an error for what cannot be sent.
local function make_head(self, params)
  local method = upper(params.method or "GET")
  local target = target_of(params)
  if not find(method, "^[%w!#$%%&'*+%-.^_`|~]+$") or target == "" or find(target, "[%c ]") then
    return nil, "bad method or path"
  end
  local version = params.version == 1.0 and "1.0" or "1.1"
  local lines = { method .. " " .. target .. " HTTP/" .. version .. "\r\n" }
  local given = {}
  for name, value in pairs(params.headers or {}) do
    given[lower(tostring(name))] = value
    local err = add_lines(lines, tostring(name), value)
    if err then
      return nil, err
    end
  end
  local body = params.body
  if type(body) == "function" and not has_length(given) then
    return nil, "a body that is a function needs a Content-Length, or chunked coding done by the function"
  end
  if not given.host then
    lines[#lines + 1] = "Host: " .. host_field(self) .. "\r\n"
  end
  if not given["user-agent"] then
    lines[#lines + 1] = "User-Agent: " .. _M._USER_AGENT .. "\r\n"
  end
  if type(body) ~= "function" and not has_length(given) and (body or method == "POST" or method == "PUT" or method == "PATCH") then
    lines[#lines + 1] = "Content-Length: " .. (body and body_size(body) or 0) .. "\r\n"
  end
  if version == "1.0" and not given.connection then
    lines[#lines + 1] = "Connection: Keep-Alive\r\n"
  end
  lines[#lines + 1] = "\r\n"
  if given.connection and lower(tostring(given.connection)) == "close" then
    self.is_kept = false
  end
  return concat(lines), method
end

local function send_pieces(sock, body)
  while true do
    local piece, err = body()
    if not piece then
      return err == nil, err
    end
    local sent
    sent, err = sock:send(piece)
    if not sent then
      return false, err
    end
  end
end

--- Sends a request. Parameters: method, path, query (text or table), headers, body (text, array of texts, function that
--- returns piece after piece), version.
---@param params table
---@return string? method    as it was sent
---@return string? err
function _M:send_request(params)
  if not self.host then
    return nil, "not connected"
  end
  local head, method_or_err = make_head(self, params)
  if not head then
    return nil, method_or_err
  end
  local body = params.body
  local is_streamed = type(body) == "function"
  local sent, err = self.sock:send(is_streamed and head or { head, body or "" })
  if sent and is_streamed then
    sent, err = send_pieces(self.sock, body)
  end
  if not sent then
    self.is_kept = false
    return nil, err
  end
  return method_or_err
end

--- Reads an answer. res: status, reason, headers, has_body, body_reader, read_body(), read_trailers().
---@param params table        method, body_size_max_bytes (64 MB unless said)
---@return table? res
---@return string? err
function _M:read_response(params)
  local head, err = response.receive_head(self.sock, upper(params.method or "GET"))
  if not head then
    self.is_kept = false
    return nil, err
  end
  local client = self
  local is_kept = head.is_kept and self.is_kept
  -- Until the body is read, the connection is of no use to anybody else.
  self.is_kept = is_kept and (head.framing == "none" or head.framing == 0)
  local res = {
    status = head.status, reason = head.reason, headers = head.headers,
    has_body = head.framing ~= "none" and head.framing ~= 0,
  }
  local size_max = params.body_size_max_bytes or body_max_bytes
  local found_trailers
  local reader = response.body_reader(self.sock, head.framing, function(trailers)
    found_trailers = trailers
    client.is_kept = is_kept
  end)
  res.body_reader = res.has_body and reader or nil
  function res.read_body()
    return response.read_all(reader, size_max)
  end
  function res.read_trailers()
    for name, value in pairs(found_trailers or {}) do
      res.headers[name] = value
    end
  end
  return res
end

--- Sends a request on the connection and reads the head of the answer.
---@param params table        as for send_request and read_response
---@return table? res
---@return string? err
function _M:request(params)
  local method, err = self:send_request(params)
  if not method then
    return nil, err
  end
  return self:read_response(params)
end

-- Connects, asks and reads everything; leaves the connection to the caller.
local function ask(self, parts, params)
  local ok, err = self:connect({
    scheme = parts[1], host = gsub(parts[2], "^%[(.*)%]$", "%1"), port = parts[3], pool = params.pool,
    pool_size = params.keepalive_pool, ssl_verify = params.ssl_verify, ssl_server_name = params.ssl_server_name,
    ssl_client_cert = params.ssl_client_cert, ssl_client_priv_key = params.ssl_client_priv_key,
  })
  if not ok then
    return nil, err
  end
  local asked = setmetatable({ path = params.path or parts[4], query = params.query or parts[5] }, { __index = params })
  local res
  res, err = self:request(asked)
  if not res then
    return nil, err
  end
  local body
  body, err = res.read_body()
  if not body then
    return nil, err
  end
  res.body = body
  return res
end

--- Asks `uri` and reads the whole answer into res.body. Besides those of `request`: keepalive (false closes), keepalive_timeout
--- in ms, keepalive_pool (the pool's size), ssl_verify (true unless said), ssl_server_name.
---@param uri string
---@param params table?
---@return table? res
---@return string? err
function _M:request_uri(uri, params)
  params = params or {}
  local parts, err = self:parse_uri(uri, false)
  if not parts then
    return nil, err
  end
  local res
  res, err = ask(self, parts, params)
  if not res then
    self.sock:close()
    return nil, err
  end
  if params.keepalive == false then
    self.sock:close()
  else
    self:set_keepalive(params.keepalive_timeout, params.keepalive_pool)
  end
  return res
end

return _M
