-- SPDX-License-Identifier: Apache-2.0
-- What tcp-log promises when its server is away. What it sends: tests/e2e/kong_test.py.
local t = require("moongate.test")

local name = "tcp-log"

t.describe(name, function()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { [name] = conf, mocking = { response_example = "x" } } }
  end
  local gateway = t.gateway({ routes = { route("away", { host = "127.0.0.1", port = 1, timeout = 500 }) } })

  t.it("serves the request all the same", function()
    t.equal(gateway:request({ path = "/away" }).status, 200)
    t.equal(gateway:request({ path = "/away" }).status, 200)
    t.matches(gateway:take_log(), "tcp%-log: failed to send to 127%.0%.0%.1:1")
  end)

  t.it("checks its configuration", function()
    t.is_true(not gateway:check({ routes = { route("x", { host = "a" }) } }))
    t.is_true(not gateway:check({ routes = { route("x", { host = "a", port = 1, tls = true }) } }))
  end)
end)
