-- SPDX-License-Identifier: Apache-2.0
--- `ngx.socket`: connections that scripts open themselves. Every call that waits lets other requests run meanwhile.
--
-- A socket belongs to the request (or timer) that connected it, and one call at a time may wait on it; anybody else gets
-- "socket busy". The primitives are C functions in `moongate.native_socket` (runtime/script/api_socket.cpp): one begins
-- an operation and returns when it is over or refused, another fetches the outcome.

local phase = require("moongate.phase")

local check = phase.check
local concat = table.concat
local error = error
local floor = math.floor
local lower = string.lower
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local pool_size_default = 30
local idle_default_ms = 60000
local timeout_default_ms = 60000
local datagram_default_bytes = 8192
local nesting_max = 32
local server_name_max_bytes = 253

--- Where sockets can be used: wherever a coroutine can be put to sleep and nothing has been sent yet.
local waiting = phase.waiting

local primitives

local function native()
  primitives = primitives or package.loaded["moongate.native_socket"]
  if not primitives then
    error("there are no sockets here: this script does not run inside a gateway process", 3)
  end
  return primitives
end

local function check_number(value, name)
  local number = tonumber(value)
  if not number or number ~= number then
    error(name .. " must be a number", 3)
  end
  return number
end

-- Host and port, or a unix path. The third result is an error for the caller.
local function check_address(host, port)
  if type(host) ~= "string" or host == "" then
    error("a host name, an address or unix:PATH is expected", 3)
  end
  if sub(host, 1, 5) == "unix:" then
    return 0
  end
  local number = tonumber(port)
  if not number or number < 1 or number > 65535 or floor(number) ~= number then
    return nil, "bad port number: " .. tostring(port)
  end
  return number
end

-- What may be sent: text, numbers, and arrays of them within arrays.
local function flatten(value, parts, depth)
  local kind = type(value)
  if kind == "string" or kind == "number" then
    parts[#parts + 1] = value
  elseif kind == "boolean" or kind == "nil" then
    parts[#parts + 1] = tostring(value)
  elseif kind == "table" and depth < nesting_max then
    for i = 1, #value do
      flatten(value[i], parts, depth + 1)
    end
  else
    error("bad argument to 'send': strings, numbers and arrays of them are expected, not a "
      .. (kind == "table" and "table this deep" or kind), 3 + depth)
  end
  return parts
end

local function text_of(value)
  if type(value) == "string" then
    return value
  end
  return concat(flatten(value, {}, 0))
end

---@class moongate.TcpSocket
local tcp = {}
local tcp_mt = { __index = tcp }

---@class moongate.UdpSocket
local udp = {}
local udp_mt = { __index = udp }

local _M = {}

--- Makes a TCP socket that is not connected yet.
--- Phases: all that run in a coroutine (not init, destroy, filter_func).
---@return moongate.TcpSocket? socket
---@return string? err     "too many sockets in this worker"
function _M.tcp()
  local functions = native()
  check(waiting)
  local handle, err = functions.tcp()
  if not handle then
    return nil, err
  end
  return setmetatable({ _handle = handle }, tcp_mt)
end

_M.stream = _M.tcp

--- Makes and connects a TCP socket.
---@return moongate.TcpSocket? socket
---@return string? err
function _M.connect(host, port, options)
  local socket, err = _M.tcp()
  if not socket then
    return nil, err
  end
  local ok
  ok, err = socket:connect(host, port, options)
  if not ok then
    return nil, err
  end
  return socket
end

--- Makes a UDP socket that has no peer yet. Phases as for `tcp`.
---@return moongate.UdpSocket? socket
---@return string? err
function _M.udp()
  local functions = native()
  check(waiting)
  local handle, err = functions.udp()
  if not handle then
    return nil, err
  end
  return setmetatable({ _handle = handle }, udp_mt)
end

--- Connects to "HOST", PORT or "unix:PATH", or takes an idle connection from the pool. Options: pool (its name; "HOST:PORT"
--- unless said), pool_size (30, at most 4096). Connections are never queued: `backlog` has no effect. Yields.
---@param host string
---@param port integer | table?
---@param options table?
---@return integer? ok
---@return string? err     "timeout", "connection refused", "NAME could not be resolved: ...", "socket busy"
function tcp:connect(host, port, options)
  check(waiting)
  if type(port) == "table" then
    port, options = nil, port
  end
  local number, err = check_address(host, port)
  if not number then
    return nil, err
  end
  options = options or {}
  local pool_size = check_number(options.pool_size or pool_size_default, "pool_size")
  local pool = options.pool and tostring(options.pool) or number == 0 and host or host .. ":" .. number
  self._host = number ~= 0 and host or ""
  local refusal = primitives.tcp_connect(self._handle, host, number, pool, pool_size)
  if refusal then
    return nil, refusal
  end
  return primitives.tcp_result(self._handle)
end

--- Sends a string, or the strings of nested arrays. Returns when the kernel has taken everything. Yields.
---@param data string | number | table
---@return integer? bytes
---@return string? err     "closed", "timeout" (the connection is closed then)
function tcp:send(data)
  check(waiting)
  local refusal = primitives.tcp_send(self._handle, text_of(data))
  if refusal then
    return nil, refusal
  end
  return primitives.tcp_send_result(self._handle)
end

--- Receives `size` bytes, a line ("*l", without its end; at most 1 MB) or all up to the end ("*a", at most 64 MB). Yields.
---@param what integer | string?
---@return string? data
---@return string? err       "closed", "timeout" (the connection stays open then)
---@return string? partial   what came before the error
function tcp:receive(what)
  check(waiting)
  local refusal = primitives.tcp_receive(self._handle, what == nil and "*l" or what)
  if refusal then
    return nil, refusal
  end
  return primitives.tcp_receive_result(self._handle)
end

--- Receives whatever is there, at least one byte and at most `max` of them. Yields.
---@param max integer
---@return string? data
---@return string? err
---@return string? partial
function tcp:receiveany(max)
  check(waiting)
  local refusal = primitives.tcp_receive_any(self._handle, max)
  if refusal then
    return nil, refusal
  end
  return primitives.tcp_receive_result(self._handle)
end

--- Returns an iterator that receives up to `pattern` (plain bytes). Called with a size it returns pieces of at most that
--- size, then nil without an error once. Option inclusive: the pattern is part of the data. The iterator yields.
---@param pattern string
---@param options table?
---@return fun(size: integer?): string?, string?, string?
function tcp:receiveuntil(pattern, options)
  if type(pattern) ~= "string" or pattern == "" then
    error("a pattern that is not empty is expected", 2)
  end
  local is_inclusive = options and options.inclusive and true or false
  local handle = self._handle
  local is_over = false
  return function(size)
    check(waiting)
    if is_over then
      is_over = false
      return nil
    end
    if size == 0 then
      return ""
    end
    local refusal = primitives.tcp_receive_until(handle, pattern, is_inclusive, size or 0)
    if refusal then
      return nil, refusal
    end
    is_over = size ~= nil and primitives.tcp_is_pattern_reached(handle)
    return primitives.tcp_receive_result(handle)
  end
end

--- Sets one limit for connecting, sending and receiving. 0 or less: the default of 60 seconds.
---@param timeout_ms number
function tcp:settimeout(timeout_ms)
  local limit = check_number(timeout_ms, "a timeout")
  primitives.tcp_set_timeouts(self._handle, limit, limit, limit)
end

--- Sets the limits apart. nil leaves the default of 60 seconds.
function tcp:settimeouts(connect_ms, send_ms, receive_ms)
  primitives.tcp_set_timeouts(self._handle, check_number(connect_ms or timeout_default_ms, "a timeout"),
    check_number(send_ms or timeout_default_ms, "a timeout"), check_number(receive_ms or timeout_default_ms, "a timeout"))
end

--- Puts the connection into its pool; the socket is not connected any more, unless unread data forbids it.
---@param idle_max_ms number?   60000 unless said; 0: as long as the peer likes
---@param pool_size integer?    counts when the pool is new
---@return integer? ok
---@return string? err     "closed", "unread data in buffer", "connection in dubious state"
function tcp:setkeepalive(idle_max_ms, pool_size)
  local idle = check_number(idle_max_ms or idle_default_ms, "a timeout")
  local size = pool_size and check_number(pool_size, "pool_size")
  if idle < 0 or size and size < 1 then
    error("a timeout that is not negative and a pool_size of at least 1 are expected", 2)
  end
  local failure = primitives.tcp_keep_alive(self._handle, idle, size or 0)
  if failure then
    return nil, failure
  end
  return 1
end

--- Returns how often the connection came from a pool: 0 for a new one.
---@return integer? times
---@return string? err     "closed"
function tcp:getreusedtimes()
  return primitives.tcp_reused_times(self._handle)
end

--- Closes the connection.
---@return integer? ok
---@return string? err     "closed" when it was, "socket busy"
function tcp:close()
  return primitives.tcp_close(self._handle)
end

--- Goes on in TLS; nothing to be done on a connection from a pool that speaks it already. The limit is that for connecting.
--- Sessions are not resumed: the first parameter has no effect. Yields.
---@param _ any
---@param server_name string?   sent as the name of the server and verified; the host of `connect` unless said
---@param verify boolean?       whether the certificate must be trusted and for that name; false unless said
---@return boolean? ok
---@return string? err          "handshake failed: ...", "timeout", "closed"; the connection is closed then
function tcp:sslhandshake(_, server_name, verify)
  check(waiting)
  local name = lower(server_name or self._host or "")
  if #name > server_name_max_bytes then
    return nil, "bad server name"
  end
  local refusal = primitives.tcp_handshake(self._handle, name, verify and true or false)
  if refusal then
    return nil, refusal
  end
  local ok, err = primitives.tcp_result(self._handle)
  if not ok then
    return nil, err
  end
  return true
end

--- Chooses the only peer: "HOST", PORT or "unix:PATH". Yields when the name must be looked up.
---@return integer? ok
---@return string? err
function udp:setpeername(host, port)
  check(waiting)
  local number, err = check_address(host, port)
  if not number then
    return nil, err
  end
  local refusal = primitives.udp_set_peer(self._handle, host, number)
  if refusal then
    return nil, refusal
  end
  return primitives.udp_result(self._handle)
end

--- Sends one datagram. Does not yield.
---@param data string | number | table
---@return integer? ok
---@return string? err     "closed" without a peer
function udp:send(data)
  check(waiting)
  return primitives.udp_send(self._handle, text_of(data))
end

--- Receives one datagram; what is beyond `size` (8192 unless said, at most 65536) is lost. Yields.
---@param size integer?
---@return string? data
---@return string? err     "timeout", "closed" without a peer, "connection refused"
function udp:receive(size)
  check(waiting)
  local refusal = primitives.udp_receive(self._handle, size or datagram_default_bytes)
  if refusal then
    return nil, refusal
  end
  return primitives.udp_receive_result(self._handle)
end

--- Sets the limit for looking up the peer and for receiving. 0 or less: the default of 60 seconds.
---@param timeout_ms number
function udp:settimeout(timeout_ms)
  primitives.udp_set_timeout(self._handle, check_number(timeout_ms, "a timeout"))
end

--- Closes the socket.
---@return integer? ok
---@return string? err
function udp:close()
  return primitives.udp_close(self._handle)
end

return _M
