-- SPDX-License-Identifier: Apache-2.0
-- What request-size-limiting promises, against the running gateway. Bodies without a length: tests/e2e/kong_test.py.
local t = require("moongate.test")

local name = "request-size-limiting"

t.describe(name, function()
  local upstream = t.echo()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { [name] = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("small", { allowed_payload_size = 4, size_unit = "bytes" }),
      route("length", { require_content_length = true }),
    },
  })

  local function post(path, body)
    return gateway:request({ method = "POST", path = path, body = body })
  end

  t.it("refuses what is larger", function()
    t.equal(post("/small", "1234").status, 200)
    local res = post("/small", "12345")
    t.equal(res.status, 413)
    t.same(res.json(), { message = "Request size limit exceeded" })
    t.equal(gateway:request({ path = "/small" }).status, 200)
  end)

  t.it("asks for a length when told", function()
    t.equal(gateway:request({ path = "/length" }).status, 411)
    t.equal(post("/length", "x").status, 200)
  end)

  t.it("checks its configuration", function()
    t.is_true(not gateway:check({ routes = { route("x", { size_unit = "miles" }) } }))
  end)
end)
