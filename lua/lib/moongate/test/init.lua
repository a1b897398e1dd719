-- SPDX-License-Identifier: Apache-2.0
--- The plugin test kit. A spec is a Lua file named `*_spec.lua`; `moongate plugin test` runs it:
--
--     local t = require("moongate.test")
--
--     t.describe("my-plugin", function()
--       local upstream = t.echo()
--       local gateway = t.gateway({
--         routes = { { uri = "/*", plugins = { ["my-plugin"] = {} }, upstream = { nodes = { [upstream] = 1 } } } },
--       }, { plugin_paths = { "." } })
--
--       t.it("lets requests pass", function()
--         t.equal(gateway:request({ path = "/hello" }).status, 200)
--       end)
--     end)
--
-- The gateway is the real program, started once for a describe and ended with it. Time is moved, not waited for:
-- `gateway:advance(seconds)` sets the clocks of the running gateway forward (it maps the file that MOONGATE_TEST_CLOCK
-- names), so that a window of a minute costs a test nothing. Timers that are due then run when the next request comes.
-- A test may take 60 seconds. docs/writing-plugins.md is the guide; the functions are in checks.lua and gateway.lua.

local cjson = require("cjson.safe")
local checks = require("moongate.test.checks")
local gateways = require("moongate.test.gateway")
local native = require("moongate.test.native")
local processes = require("moongate.test.processes")
local suite = require("moongate.test.suite")

local _M = {
  describe = suite.describe,
  it = suite.it,
  before_each = suite.before_each,
  after_each = suite.after_each,
  fail = checks.fail,
  equal = checks.equal,
  same = checks.same,
  matches = checks.matches,
  is_true = checks.is_true,
  is_false = checks.is_false,
  is_nil = checks.is_nil,
  wait_until = processes.wait_until,
  folder = suite.folder,
}

local echo_limit_s = 20
local digests = { HS256 = "sha256", HS384 = "sha384", HS512 = "sha512" }

--- Starts a gateway on a configuration (the sections of a configuration file, as a table); it ends with the describe or test.
---@param config table
---@param options? moongate.test.GatewayOptions
---@return moongate.test.Gateway
function _M.gateway(config, options)
  suite.require_block("gateway")
  local gateway = gateways.start(config, options, suite.folder())
  suite.own(function() return gateway:close() end, gateway)
  return gateway
end

local function stop_echo(process, dir)
  local early = processes.ended(process)
  processes.stop(process)
  local said = processes.read(process.log_path)
  native.remove_tree(dir)
  return early and "the echo server ended before its time with " .. early .. ": " .. said or nil
end

--- Starts an upstream that answers with the request as JSON (see `moongate help echo`); its "ADDRESS:PORT", as a node is named.
---@param options? {name: string}
---@return string
function _M.echo(options)
  suite.require_block("echo")
  local dir = assert(native.temp_dir())
  local command = { processes.executable, "echo", "--listen", "127.0.0.1:0", output = dir .. "/output" }
  if options and options.name then
    command[#command + 1] = "--name"
    command[#command + 1] = options.name
  end
  local process = processes.start(command)
  suite.own(function() return stop_echo(process, dir) end)
  return processes.wait_until(function()
    local said = processes.read(command.output)
    if processes.ended(process) then
      error("the echo server ended at its start: " .. said, 0)
    end
    return said:match("listening on (%S+)\n")
  end, echo_limit_s, "the echo server")
end

--- A JSON Web Token. Every algorithm but HS384 and HS512 is signed with HMAC SHA-256, whatever the header says: for tests of
--- what must be refused.
---@param header table
---@param payload table
---@param secret string
---@return string
function _M.jwt(header, payload, secret)
  local text = native.base64url(assert(cjson.encode(header))) .. "." .. native.base64url(assert(cjson.encode(payload)))
  return text .. "." .. native.base64url(native.hmac(digests[header.alg] or "sha256", secret, text))
end

return _M
