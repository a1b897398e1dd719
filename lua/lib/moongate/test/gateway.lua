-- SPDX-License-Identifier: Apache-2.0
--- A real gateway for a spec: the program that runs the tests, started on a configuration that the spec wrote.

local cjson = require("cjson.safe")
local http = require("moongate.test.http")
local native = require("moongate.test.native")
local processes = require("moongate.test.processes")

local start_limit_s = 30
local log_shown_bytes = 6000

---@class moongate.test.Gateway
---@field port integer           of the proxy listener on 127.0.0.1
---@field metrics_port integer
---@field admin_port integer
---@field dir string             a folder of its own; goes with the gateway
local Gateway = {}
Gateway.__index = Gateway

---@class moongate.test.GatewayOptions
---@field plugins? table<string, string>   source of plugins by name
---@field plugin_paths? string[]           folders with plugins, relative to the spec file
---@field env? table<string, string>       environment of the gateway

local function copy(from, to)
  for key, value in pairs(from) do
    to[key] = value
  end
  return to
end

local function compose(self, config)
  local settings = {
    workers = 1,
    listen = { "127.0.0.1:" .. self.port },
    admin = { listen = "127.0.0.1:" .. self.admin_port },
    metrics = { listen = "127.0.0.1:" .. self.metrics_port },
    access_log = "off",
    plugin_paths = self.plugin_paths,
  }
  local whole = {}
  for key, value in pairs(config) do
    -- An empty table has no type of its own in JSON; here it can only be a list without items, which may as well be left out.
    if type(value) ~= "table" or next(value) ~= nil then
      whole[key] = value
    end
  end
  whole.moongate = copy(config.moongate or {}, settings)
  local text, err = cjson.encode(whole)
  if not text then
    error("the configuration cannot be written as JSON: " .. err, 0)
  end
  return text
end

local function write_plugins(self, options, folder)
  self.plugin_paths = {}
  for _, path in ipairs(options.plugin_paths or {}) do
    table.insert(self.plugin_paths, native.absolute(path:sub(1, 1) == "/" and path or folder .. "/" .. path))
  end
  if options.plugins then
    local own = self.dir .. "/plugins"
    assert(native.make_dir(own))
    for name, source in pairs(options.plugins) do
      processes.write(own .. "/" .. name .. ".lua", source)
    end
    table.insert(self.plugin_paths, own)
  end
  if #self.plugin_paths == 0 then
    self.plugin_paths = nil
  end
end

local function is_accepting(self)
  local how = processes.ended(self.process)
  if how then
    error("the gateway ended at its start with " .. how .. ":\n" .. self:log_text(), 0)
  end
  local socket = native.connect("127.0.0.1", self.port, 1)
  if socket then
    socket:close()
  end
  return socket ~= nil
end

--- Starts one. `folder` is the spec's.
---@param config table
---@param options? moongate.test.GatewayOptions
---@return moongate.test.Gateway
local function start(config, options, folder)
  options = options or {}
  local self = setmetatable({ offset_s = 0, log_seen = 0 }, Gateway)
  self.dir = assert(native.temp_dir())
  self.port, self.admin_port, self.metrics_port = native.free_port(), native.free_port(), native.free_port()
  self.clock_path, self.config_path = self.dir .. "/clock", self.dir .. "/moongate.json"
  self.run_dir = self.dir .. "/run"
  self.env = copy(options.env or {}, { MOONGATE_TEST_CLOCK = self.clock_path })
  local ok, err = pcall(function()
    assert(native.set_clock(self.clock_path, 0))
    write_plugins(self, options, folder)
    processes.write(self.config_path, compose(self, config))
    self.process = processes.start({
      processes.executable, "start", "-c", self.config_path, "-p", self.run_dir,
      output = self.dir .. "/output.log", env = self.env,
    })
    processes.wait_until(function() return is_accepting(self) end, start_limit_s, "the gateway accepting connections")
  end)
  if not ok then
    self:close()
    error(err, 0)
  end
  return self
end

--- Sends a request and returns the answer.
---@param request moongate.test.Request
---@return moongate.test.Response
function Gateway:request(request)
  self.last_request, self.last_response = request, nil
  local ok, response = pcall(http.request, self.port, request)
  if not ok then
    error(response, 2)
  end
  self.last_response = response
  return response
end

--- Replaces the configuration of the running gateway; it serves the new one when this returns. Raises when it is refused.
---@param config table
function Gateway:reload(config)
  processes.write(self.config_path, compose(self, config))
  local ok, text = processes.run({ "reload", "-p", self.run_dir }, self.dir)
  if not ok then
    error("the gateway refused the configuration: " .. text, 2)
  end
end

--- Judges a configuration as `moongate check` does; the running gateway is not touched.
---@param config table
---@return boolean ok
---@return string text     what is wrong with it
function Gateway:check(config)
  local path = self.dir .. "/checked.json"
  processes.write(path, compose(self, config))
  return processes.run({ "check", "-c", path }, self.dir, self.env)
end

--- Moves the gateway's clocks forward, so that windows and expiries need no waiting: `ngx.time()`, timers, limits and breakers
--- see the new time when the next request comes. Time that has passed stays passed.
---@param seconds number
function Gateway:advance(seconds)
  if not (seconds >= 0) then
    error("advance wants a number of seconds from 0", 2)
  end
  self.offset_s = self.offset_s + seconds
  assert(native.set_clock(self.clock_path, self.offset_s))
end

--- Everything the gateway has logged.
---@return string
function Gateway:log_text()
  return processes.read(self.dir .. "/output.log")
end

-- What was logged since the last look, for a failure; long logs lose their middle.
function Gateway:take_log()
  local text = self:log_text()
  local new = text:sub(self.log_seen + 1)
  self.log_seen = #text
  if #new > log_shown_bytes then
    new = new:sub(1, log_shown_bytes / 2) .. "\n[...]\n" .. new:sub(-log_shown_bytes / 2)
  end
  return new
end

-- Ends it; nil, or what went wrong.
function Gateway:close()
  local fault
  if self.process then
    local early = processes.ended(self.process)
    local how = processes.stop(self.process)
    if early or how ~= "status 0" then
      fault = "the gateway ended " .. (early and "before its time " or "") .. "with " .. how .. ":\n" .. self:take_log()
    end
  end
  native.remove_tree(self.dir)
  return fault
end

return { start = start }
