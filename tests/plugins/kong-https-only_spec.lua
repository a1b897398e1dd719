-- SPDX-License-Identifier: Apache-2.0
-- What kong-https-only promises to requests in clear text. Those by TLS: tests/e2e/kong_test.py.
local t = require("moongate.test")

local name = "kong-https-only"

t.describe(name, function()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { [name] = conf, mocking = { response_example = "x" } } }
  end
  local routes = { route("refuse", {}), route("redirect", { status_code = 307 }) }
  local gateway = t.gateway({ routes = routes })
  local behind = t.gateway({ routes = routes, moongate = { trusted_addresses = { "127.0.0.1" } } })
  local by_tls = { Host = "a.test", ["X-Forwarded-Proto"] = "https" }

  t.it("refuses or redirects", function()
    local res = gateway:request({ path = "/refuse" })
    t.equal(res.status, 426)
    t.same(res.json(), { message = "Please use HTTPS protocol" })
    res = gateway:request({ path = "/redirect?a=1", headers = { Host = "a.test" } })
    t.equal(res.status, 307)
    t.equal(res.headers["Location"], "https://a.test/redirect?a=1")
  end)

  t.it("believes a trusted proxy that the client came by TLS, and nobody else", function()
    t.equal(gateway:request({ path = "/refuse", headers = by_tls }).status, 426)
    t.equal(behind:request({ path = "/refuse", headers = by_tls }).status, 200)
    t.equal(behind:request({ path = "/refuse" }).status, 426)
  end)

  t.it("checks its configuration", function()
    t.is_true(not gateway:check({ routes = { route("x", { status_code = 200 }) } }))
  end)
end)
