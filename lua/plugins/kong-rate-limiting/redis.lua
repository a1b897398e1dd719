-- SPDX-License-Identifier: Apache-2.0
--- The counters of kong-rate-limiting in Redis, over a kept connection. One round trip counts a request in all its windows;
--- a refused one takes its place back in a second.

local concat = table.concat
local ipairs = ipairs
local match = string.match
local sub = string.sub
local tonumber = tonumber
local tostring = tostring

local _M = {}

local keepalive_ms = 60000
local pool_size = 100

local function command(...)
  local parts = { "*" .. select("#", ...) .. "\r\n" }
  for _, part in ipairs({ ... }) do
    local text = tostring(part)
    parts[#parts + 1] = "$" .. #text .. "\r\n" .. text .. "\r\n"
  end
  return concat(parts)
end

--- Reads a reply that is a status, a number or an error: no command here has another.
local function read_reply(sock)
  local line, err = sock:receive("*l")
  if not line then
    return nil, err
  end
  local kind, rest = sub(line, 1, 1), sub(line, 2)
  if kind == ":" then
    return tonumber(rest)
  end
  if kind == "+" then
    return rest
  end
  return nil, kind == "-" and rest or "unexpected reply: " .. line
end

--- Sends commands at once and reads their replies; closes the connection when something went wrong.
local function exchange(sock, commands)
  local ok, err = sock:send(concat(commands))
  local replies = {}
  for index = 1, ok and #commands or 0 do
    local reply
    reply, err = read_reply(sock)
    if reply == nil then
      ok = nil
      break
    end
    replies[index] = reply
  end
  if not ok then
    sock:close()
    return nil, err
  end
  return replies
end

local function greet(sock, redis)
  local commands = {}
  if redis.password and redis.password ~= "" then
    local user = redis.username
    if user and user ~= "" then
      commands[1] = command("AUTH", user, redis.password)
    else
      commands[1] = command("AUTH", redis.password)
    end
  end
  if redis.database and redis.database > 0 then
    commands[#commands + 1] = command("SELECT", redis.database)
  end
  if #commands == 0 then
    return true
  end
  return exchange(sock, commands)
end

local function open(redis)
  local sock = ngx.socket.tcp()
  sock:settimeout(redis.timeout)
  -- Connections that were greeted differently must not be mixed up.
  local pool = concat({ "kong-rate-limiting", redis.host, redis.port, redis.database or 0, redis.username or "",
    redis.password or "" }, "|")
  local ok, err = sock:connect(redis.host, redis.port, { pool = pool, pool_size = pool_size })
  if not ok then
    return nil, err
  end
  if (sock:getreusedtimes() or 0) == 0 then
    ok, err = greet(sock, redis)
    if not ok then
      return nil, err
    end
  end
  return sock
end

--- Adds `step` to each counter and returns them. Yields.
---@param redis table                {host, port, timeout, username, password, database}
---@param counters table[]           {key, left}: what to count, and for how many seconds from now
---@param step integer               1 to take a place, -1 to give it back
---@return integer[]? counts
---@return string? err
function _M.add(redis, counters, step)
  local sock, err = open(redis)
  if not sock then
    return nil, "redis " .. redis.host .. ":" .. redis.port .. ": " .. tostring(err)
  end
  local commands = {}
  for index, counter in ipairs(counters) do
    commands[index * 2 - 1] = command("INCRBY", counter.key, step)
    commands[index * 2] = command("EXPIRE", counter.key, counter.left)
  end
  local replies
  replies, err = exchange(sock, commands)
  if not replies then
    return nil, "redis " .. redis.host .. ":" .. redis.port .. ": " .. tostring(err)
  end
  sock:setkeepalive(keepalive_ms, pool_size)
  local counts = {}
  for index = 1, #counters do
    counts[index] = replies[index * 2 - 1]
  end
  return counts
end

--- True for a text that can be a host.
---@param host string
---@return boolean
function _M.is_host(host)
  return match(host, "^[%w%._:%-]+$") ~= nil
end

return _M
