-- SPDX-License-Identifier: Apache-2.0
-- What mocking promises, against the running gateway. Nothing listens on the routes' upstream.
local t = require("moongate.test")

t.describe("mocking", function()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { mocking = conf }, upstream = { nodes = { ["127.0.0.1:1"] = 1 } } }
  end
  local person = {
    type = "object",
    properties = {
      name = { type = "string", example = "Ann" },
      age = { type = "integer" },
      score = { type = "number" },
      is_new = { type = "boolean" },
      tags = { type = "array", items = { type = "string" } },
    },
  }
  local gateway = t.gateway({
    routes = {
      route("example", { response_example = '{"from":"$remote_addr"}', response_status = 201 }),
      route("quiet", {
        response_example = "hi", content_type = "text/plain", with_mock_header = false,
        response_headers = { ["X-One"] = 1, ["X-Who"] = "$remote_addr" },
      }),
      route("json", { response_schema = person }),
      route("xml", { response_schema = person, content_type = "application/xml;charset=utf8" }),
      route("slow", { response_example = "late", delay = 1 }),
    },
  })

  t.it("answers with the example, its variables resolved", function()
    local res = gateway:request({ path = "/example" })
    t.equal(res.status, 201)
    t.same(res.json(), { from = "127.0.0.1" })
    t.equal(res.headers["Content-Type"], "application/json;charset=utf8")
    t.matches(res.headers["x-mock-by"], "^APISIX/%d")
  end)

  t.it("sets headers and leaves its own out when asked", function()
    local res = gateway:request({ path = "/quiet" })
    t.equal(res.body, "hi")
    t.equal(res.headers["Content-Type"], "text/plain")
    t.equal(res.headers["X-One"], "1")
    t.equal(res.headers["X-Who"], "127.0.0.1")
    t.is_nil(res.headers["x-mock-by"])
  end)

  t.it("makes JSON that fits the schema", function()
    local body = gateway:request({ path = "/json" }).json()
    t.equal(body.name, "Ann")
    t.equal(type(body.age), "number")
    t.equal(body.age, math.floor(body.age))
    t.equal(type(body.score), "number")
    t.equal(type(body.is_new), "boolean")
    t.equal(type(body.tags[1]), "string")
  end)

  t.it("makes XML", function()
    local res = gateway:request({ path = "/xml" })
    t.matches(res.body, "<name>Ann</name>")
    t.matches(res.body, "<age>%d+</age>")
  end)

  t.it("waits before it answers", function()
    local before = os.time()
    t.equal(gateway:request({ path = "/slow" }).body, "late")
    t.is_true(os.time() - before <= 5)
  end)

  t.it("checks its configuration", function()
    local ok, err = gateway:check({ routes = { route("x", { response_example = "a", content_type = "image/png" }) } })
    t.is_true(not ok)
    t.matches(err, "unsupported content type!")
    t.is_true(not gateway:check({ routes = { route("x", {}) } }))
    local deep = { type = "string" }
    for _ = 1, 40 do
      deep = { type = "array", items = deep }
    end
    ok, err = gateway:check({ routes = { route("x", { response_schema = deep }) } })
    t.is_true(not ok)
    t.matches(err, "nested too deeply")
  end)
end)
