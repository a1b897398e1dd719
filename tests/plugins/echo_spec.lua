-- SPDX-License-Identifier: Apache-2.0
-- What the echo plugin promises, against the running gateway.
local t = require("moongate.test")

t.describe("echo", function()
  local upstream = t.echo()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { echo = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("around", { before_body = "<<", after_body = ">>", headers = { ["X-Echo"] = "yes" } }),
      route("instead", { body = "mine", before_body = "<", after_body = ">" }),
    },
  })

  t.it("puts text before and after the body, once, however many pieces it has", function()
    local body = gateway:request({ path = "/around?size=200000" }).body
    t.equal(body:sub(1, 2), "<<")
    t.equal(body:sub(-2), ">>")
    t.is_nil(body:sub(3, -3):find("[<>]"))
  end)

  t.it("replaces the body", function()
    t.equal(gateway:request({ path = "/instead?size=200000" }).body, "<mine>")
  end)

  t.it("sets headers and drops those of the former body", function()
    local res = gateway:request({ path = "/around?header=ETag:1" })
    t.equal(res.headers["X-Echo"], "yes")
    t.is_nil(res.headers["ETag"])
  end)

  t.it("wants at least one text", function()
    t.is_true(not gateway:check({ routes = { route("x", { headers = { ["X-A"] = "1" } }) } }))
  end)
end)
