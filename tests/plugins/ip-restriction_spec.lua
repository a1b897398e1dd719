-- SPDX-License-Identifier: Apache-2.0
-- What ip-restriction promises, against the running gateway. The client is 127.0.0.1.
local t = require("moongate.test")

t.describe("ip-restriction", function()
  local upstream = t.echo()
  local function route(id, conf)
    return {
      id = id, uri = "/" .. id, plugins = { ["ip-restriction"] = conf }, upstream = { nodes = { [upstream] = 1 } },
    }
  end
  local gateway = t.gateway({
    routes = {
      route("in", { whitelist = { "10.0.0.0/8", "127.0.0.0/24" } }),
      route("out", { whitelist = { "10.0.0.0/8", "::1" } }),
      route("black", { blacklist = { "127.0.0.1" }, message = "go away", response_code = 404 }),
      route("other", { blacklist = { "192.0.2.0/24", "2001:db8::/32" } }),
    },
  })

  t.it("lets in whom the whitelist holds", function()
    t.equal(gateway:request({ path = "/in" }).status, 200)
  end)

  t.it("refuses whom the whitelist does not hold", function()
    local res = gateway:request({ path = "/out" })
    t.equal(res.status, 403)
    t.same(res.json(), { message = "Your IP address is not allowed" })
  end)

  t.it("refuses whom the blacklist holds, with its own code and text", function()
    local res = gateway:request({ path = "/black" })
    t.equal(res.status, 404)
    t.same(res.json(), { message = "go away" })
  end)

  t.it("lets in whom the blacklist does not hold", function()
    t.equal(gateway:request({ path = "/other" }).status, 200)
  end)

  t.it("does not believe a forwarded address from an untrusted peer", function()
    local res = gateway:request({ path = "/out", headers = { ["X-Forwarded-For"] = "10.0.0.1", ["X-Real-IP"] = "10.0.0.1" } })
    t.equal(res.status, 403)
  end)

  t.it("wants exactly one list, of addresses", function()
    t.is_true(not gateway:check({ routes = { route("x", {}) } }))
    t.is_true(not gateway:check({ routes = { route("x", { whitelist = { "1.1.1.1" }, blacklist = { "1.1.1.1" } }) } }))
    local ok, err = gateway:check({ routes = { route("x", { whitelist = { "1.1.1.1/40" } }) } })
    t.is_true(not ok)
    t.matches(err, "invalid ip address: 1.1.1.1/40")
  end)
end)
