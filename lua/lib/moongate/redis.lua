-- SPDX-License-Identifier: Apache-2.0
--- Scripts on Redis servers. One connection for each server and worker is shared by all that use it, and a run takes one
--- round trip: what several commands would do belongs into one script.
--
-- The primitives are C functions in `moongate.native_redis` (runtime/script/api_redis.cpp).

local phase = require("moongate.phase")

local error = error
local find = string.find
local ipairs = ipairs
local setmetatable = setmetatable

local server = {}
local server_mt = { __index = server }

local _M = {}

local primitives

local function native()
  primitives = primitives or package.loaded["moongate.native_redis"]
  if not primitives then
    error("there is no Redis here: this script does not run inside a gateway process", 3)
  end
  return primitives
end

--- Returns "HOST:PORT", with brackets around an IPv6 address.
---@param host string
---@param port integer
---@return string
function _M.place(host, port)
  if find(host, ":", 1, true) then
    host = "[" .. host .. "]"
  end
  return host .. ":" .. port
end

--- Says what is wrong with the first of `places` that is no "HOST:PORT".
---@param places string[]
---@return boolean ok
---@return string? err
function _M.check_places(places)
  for _, place in ipairs(places) do
    local err = native().place_error(place)
    if err then
      return false, err
    end
  end
  return true
end

---@class moongate.RedisOptions
---@field places string[]        one server, or some of a cluster: "HOST:PORT"
---@field is_cluster boolean?
---@field username string?
---@field password string?
---@field database integer?
---@field timeout_ms integer     for one run, connecting included
---@field is_tls boolean?
---@field is_verifying boolean?  the server's certificate must be trusted and for its name
---@field server_name string?    the name that TLS asks for; the host unless said

--- Describes a server or a cluster. Nothing is connected until the first run.
--- Phases: any. Does not yield.
---@param options moongate.RedisOptions
---@return moongate.RedisServer? server
---@return string? err
function _M.server(options)
  local handle, err = native().server(options.places, options.is_cluster or false, options.username or "",
    options.password or "", options.database or 0, options.is_tls or false, options.is_verifying or false,
    options.server_name or "")
  if not handle then
    return nil, err
  end
  return setmetatable({ _handle = handle, _timeout_ms = options.timeout_ms }, server_mt)
end

--- Makes a script. Servers are sent its digest, and the text when they have not seen it yet.
---@param text string
---@return userdata script
function _M.script(text)
  return native().script(text)
end

---@class moongate.RedisServer

--- Runs a script. In a cluster all keys must be of one slot.
--- Phases: all that run in a coroutine. Yields. Fails at once while the server is known to be down.
---@param script userdata
---@param keys string[]
---@param arguments (string | number)[]
---@return any reply         nil, number, string, or an array of them (with false for nil)
---@return string? err       also what the server or the script answered as an error
function server:run(script, keys, arguments)
  phase.check(phase.waiting)
  primitives.start(self._handle, script, self._timeout_ms, keys, arguments)
  return primitives.result()
end

return _M
