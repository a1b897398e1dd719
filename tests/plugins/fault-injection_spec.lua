-- SPDX-License-Identifier: Apache-2.0
-- What fault-injection promises, against the running gateway.
local t = require("moongate.test")

t.describe("fault-injection", function()
  local upstream = t.echo()
  local function route(id, conf)
    return {
      id = id, uri = "/" .. id, plugins = { ["fault-injection"] = conf }, upstream = { nodes = { [upstream] = 1 } },
    }
  end
  local gateway = t.gateway({
    routes = {
      route("abort", { abort = { http_status = 403, body = "from $remote_addr", headers = { ["X-A"] = "$uri", ["X-B"] = 2 } } }),
      route("never", { abort = { http_status = 403, percentage = 0 } }),
      route("always", { abort = { http_status = 403, percentage = 100 } }),
      route("half", { abort = { http_status = 403, percentage = 50 } }),
      route("vars", { abort = { http_status = 403, vars = { { { "arg_a", "==", "1" } }, { { "arg_b", "==", "2" } } } } }),
      route("delay", { delay = { duration = 0.2 } }),
      route("both", { delay = { duration = 0.1, percentage = 0 }, abort = { http_status = 500, body = "" } }),
    },
  })

  t.it("answers with code, body and headers, their variables resolved", function()
    local res = gateway:request({ path = "/abort" })
    t.equal(res.status, 403)
    t.equal(res.body, "from 127.0.0.1")
    t.equal(res.headers["X-A"], "/abort")
    t.equal(res.headers["X-B"], "2")
  end)

  t.it("draws as many requests as it is told", function()
    local aborted = 0
    for _ = 1, 200 do
      aborted = aborted + (gateway:request({ path = "/half" }).status == 403 and 1 or 0)
      t.equal(gateway:request({ path = "/never" }).status, 200)
      t.equal(gateway:request({ path = "/always" }).status, 403)
    end
    t.is_true(aborted > 50 and aborted < 150)
  end)

  t.it("concerns requests that match one of its expressions", function()
    t.equal(gateway:request({ path = "/vars" }).status, 200)
    t.equal(gateway:request({ path = "/vars?a=1" }).status, 403)
    t.equal(gateway:request({ path = "/vars?b=2" }).status, 403)
    t.equal(gateway:request({ path = "/vars?a=2" }).status, 200)
  end)

  t.it("delays and then goes on", function()
    local res = gateway:request({ path = "/delay" })
    t.equal(res.status, 200)
    t.equal(res.json().path, "/delay")
    t.equal(gateway:request({ path = "/both" }).status, 500)
  end)

  t.it("checks its configuration", function()
    local ok, err = gateway:check({ routes = { route("x", { abort = { body = "x" } }) } })
    t.is_true(not ok)
    t.matches(err, 'property "http_status" is required')
    t.is_true(not gateway:check({ routes = { route("x", { delay = { duration = -1 } }) } }))
    t.is_true(not gateway:check({ routes = { route("x", { abort = { http_status = 100 } }) } }))
    local unknown_operator = { http_status = 200, vars = { { { "a", "!!", "b" } } } }
    t.is_true(not gateway:check({ routes = { route("x", { abort = unknown_operator }) } }))
  end)
end)
