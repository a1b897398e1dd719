-- SPDX-License-Identifier: Apache-2.0
-- What grpc-web promises, against the running gateway. Calls to a real gRPC server are in tests/e2e/grpc_test.py.
local t = require("moongate.test")

t.describe("grpc-web", function()
  local upstream = t.echo()
  local function route(id, uri, plugins)
    return { id = id, uri = uri, plugins = plugins, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("web", "/web/*", { ["grpc-web"] = { max_req_body_size = 100 } }),
      route("exact", "/exact", { ["grpc-web"] = {} }),
      route("cors", "/cors/*", { cors = { allow_origins = "https://a.example" }, ["grpc-web"] = {} }),
    },
  })
  local function call(path, mime, body, more)
    local request = { method = "POST", path = path, headers = { ["Content-Type"] = mime }, body = body }
    for name, value in pairs(more or {}) do
      request.headers[name] = value
    end
    return gateway:request(request)
  end

  t.it("answers preflights", function()
    local res = gateway:request({ method = "OPTIONS", path = "/web/a.B/C" })
    t.equal(res.status, 204)
    t.equal(res.headers["Access-Control-Allow-Methods"], "POST")
    t.equal(res.headers["Access-Control-Allow-Headers"], "content-type,x-grpc-web,x-user-agent")
    t.equal(res.headers["Access-Control-Allow-Origin"], "*")
    t.equal(res.headers["Access-Control-Expose-Headers"], "grpc-message,grpc-status")
  end)

  t.it("refuses what is no call of gRPC-Web", function()
    t.equal(gateway:request({ path = "/web/a.B/C" }).status, 405)
    t.equal(call("/web/a.B/C", "application/json", "{}").status, 400)
    t.equal(call("/web/a.B/C", "application/grpc-web-text", "!!!").status, 400)
    t.equal(call("/web/a.B/C", "application/grpc-web", "").status, 400)
    t.equal(call("/web/a.B/C", "application/grpc-web", ("x"):rep(101)).status, 400)
    t.equal(call("/exact", "application/grpc-web", "x").status, 400)
  end)

  t.it("sends the path behind the prefix, as gRPC", function()
    local seen = call("/web/a.B/C", "application/grpc-web+proto", "body").json()
    t.equal(seen.headers["content-type"], "application/grpc")
    t.equal(seen.uri or seen.target or seen.path, "/a.B/C")
    t.equal(seen.body, "body")
  end)

  t.it("takes text apart, also where it was padded in the middle", function()
    t.equal(call("/web/a.B/C", "application/grpc-web-text", "Ym9keQ==bW9yZQ==").json().body, "bodymore")
  end)

  t.it("gives answers of gRPC the request's content type, and encodes them", function()
    local res = call("/web/a.B/C?header=Content-Type:application/grpc", "application/grpc-web-text+proto", "Ym9keQ==")
    t.equal(res.headers["Content-Type"], "application/grpc-web-text+proto")
    t.matches(res.body, "^[%w+/=]+$")
  end)

  t.it("leaves other answers as they are", function()
    local res = call("/web/a.B/C", "application/grpc-web-text", "Ym9keQ==")
    t.equal(res.headers["Content-Type"], "application/json")
    t.equal(res.json().body, "body")
  end)

  t.it("leaves the origin to cors", function()
    local res = call("/cors/a.B/C", "application/grpc-web", "x", { Origin = "https://a.example" })
    t.equal(res.headers["Access-Control-Allow-Origin"], "https://a.example")
  end)

  t.it("checks its configuration", function()
    t.is_true(not gateway:check({ routes = { route("x", "/*", { ["grpc-web"] = { max_req_body_size = 0 } }) } }))
  end)
end)
