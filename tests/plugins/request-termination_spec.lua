-- SPDX-License-Identifier: Apache-2.0
-- What request-termination promises, against the running gateway.
local t = require("moongate.test")

local name = "request-termination"

t.describe(name, function()
  local upstream = t.echo()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { [name] = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("default", {}),
      route("message", { status_code = 403, message = "So long" }),
      route("body", { status_code = 200, body = "<p>hello", content_type = "text/html" }),
      route("trigger", { trigger = "x-stop" }),
    },
  })

  t.it("answers with a message or a body", function()
    local res = gateway:request({ path = "/default" })
    t.equal(res.status, 503)
    t.same(res.json(), { message = "Service unavailable" })
    t.same(gateway:request({ path = "/message" }).json(), { message = "So long" })
    res = gateway:request({ path = "/body" })
    t.equal(res.body, "<p>hello")
    t.equal(res.headers["Content-Type"], "text/html")
  end)

  t.it("with a trigger only answers requests that carry it", function()
    t.equal(gateway:request({ path = "/trigger" }).status, 200)
    t.equal(gateway:request({ path = "/trigger?x-stop=1" }).status, 503)
    t.equal(gateway:request({ path = "/trigger", headers = { ["X-Stop"] = "1" } }).status, 503)
  end)

  t.it("checks its configuration", function()
    local function refused(conf, pattern)
      local ok, err = gateway:check({ routes = { route("x", conf) } })
      t.is_true(not ok)
      t.matches(err, pattern)
    end
    refused({ message = "a", body = "b" }, "message cannot be used with content_type or body")
    refused({ content_type = "a" }, "content_type requires a body")
    refused({ status_code = 42 }, "status_code")
  end)
end)
