-- SPDX-License-Identifier: Apache-2.0
-- What cors promises, against the running gateway.
local t = require("moongate.test")

local every_method = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE"

t.describe("cors", function()
  local upstream = t.echo()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { cors = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    plugin_metadata = { { id = "cors", allow_origins = { partners = "https://p.example,https://q.example" } } },
    routes = {
      route("any", {}),
      route("list", { allow_origins = "https://a.example,https://b.example:8443", expose_headers = "X-One,X-Two" }),
      route("one", { allow_origins = "https://a.example", max_age = 60 }),
      route("reflect", {
        allow_origins = "**", allow_methods = "**", allow_headers = "**", allow_credential = true,
      }),
      route("regex", { allow_origins_by_regex = { "^https://.*\\.test\\.example$" } }),
      route("metadata", { allow_origins = "https://a.example", allow_origins_by_metadata = { "partners", "gone" } }),
      route("timing", { timing_allow_origins = "https://a.example" }),
      route("timing_regex", { timing_allow_origins_by_regex = { "^https://a\\." } }),
    },
  })

  local function ask(path, origin, method, more)
    local headers = more or {}
    headers.Origin = origin
    return gateway:request({ method = method or "GET", path = path, headers = headers }).headers
  end

  t.it("allows everybody unless told otherwise", function()
    local headers = ask("/any", "https://a.example")
    t.equal(headers["Access-Control-Allow-Origin"], "*")
    t.equal(headers["Access-Control-Allow-Methods"], "*")
    t.equal(headers["Access-Control-Allow-Headers"], "*")
    t.equal(headers["Access-Control-Max-Age"], "5")
    t.is_nil(headers["Access-Control-Expose-Headers"])
    t.is_nil(headers["Access-Control-Allow-Credentials"])
    t.is_nil(headers["Vary"])
  end)

  t.it("answers every OPTIONS request itself", function()
    local res = gateway:request({ method = "OPTIONS", path = "/list", headers = { Origin = "https://a.example" } })
    t.equal(res.status, 200)
    t.equal(res.body, "")
    t.equal(res.headers["Access-Control-Allow-Origin"], "https://a.example")
    res = gateway:request({ method = "OPTIONS", path = "/list", headers = { Origin = "https://evil.example" } })
    t.equal(res.status, 200)
    t.is_nil(res.headers["Access-Control-Allow-Origin"])
  end)

  t.it("allows the origins that are listed and no others", function()
    t.equal(ask("/list", "https://b.example:8443")["Access-Control-Allow-Origin"], "https://b.example:8443")
    t.equal(ask("/list", "https://b.example:8443")["Access-Control-Expose-Headers"], "X-One,X-Two")
    t.equal(ask("/one", "https://a.example")["Access-Control-Max-Age"], "60")
    for _, origin in ipairs({ "https://b.example", "https://a.example.evil", "null", "https://evil.example" }) do
      t.is_nil(ask("/list", origin)["Access-Control-Allow-Origin"])
      t.is_nil(ask("/one", origin)["Access-Control-Allow-Origin"])
    end
    t.is_nil(ask("/one", nil)["Access-Control-Allow-Origin"])
  end)

  t.it("tells caches that the answer depends on the origin", function()
    t.equal(ask("/list", "https://evil.example")["Vary"], "Origin")
    t.equal(ask("/regex", "https://a.test.example")["Vary"], "Origin")
  end)

  t.it("reflects what the client asks for when told to", function()
    local headers = ask("/reflect", "https://x.example", "GET", { ["Access-Control-Request-Headers"] = "X-A, X-B" })
    t.equal(headers["Access-Control-Allow-Origin"], "https://x.example")
    t.equal(headers["Access-Control-Allow-Methods"], every_method)
    t.equal(headers["Access-Control-Allow-Headers"], "X-A, X-B")
    t.equal(headers["Access-Control-Allow-Credentials"], "true")
    t.equal(ask("/reflect", nil)["Access-Control-Allow-Origin"], "*")
    t.is_nil(ask("/reflect", nil)["Access-Control-Allow-Headers"])
  end)

  t.it("lets patterns alone decide when there are any", function()
    t.equal(ask("/regex", "https://a.test.example")["Access-Control-Allow-Origin"], "https://a.test.example")
    t.is_nil(ask("/regex", "https://a.example")["Access-Control-Allow-Origin"])
  end)

  t.it("allows origins that the metadata names", function()
    t.equal(ask("/metadata", "https://q.example")["Access-Control-Allow-Origin"], "https://q.example")
    t.equal(ask("/metadata", "https://a.example")["Access-Control-Allow-Origin"], "https://a.example")
    t.is_nil(ask("/metadata", "https://r.example")["Access-Control-Allow-Origin"])
  end)

  t.it("tells who may see timings", function()
    t.equal(ask("/timing", "https://a.example")["Timing-Allow-Origin"], "https://a.example")
    t.is_nil(ask("/timing", "https://b.example")["Timing-Allow-Origin"])
    t.equal(ask("/timing_regex", "https://a.example")["Timing-Allow-Origin"], "https://a.example")
  end)

  t.it("refuses credentials for everybody, and bad patterns", function()
    for _, conf in ipairs({
      { allow_credential = true },
      { allow_credential = true, allow_origins = "**", allow_methods = "GET", allow_headers = "*" },
      { allow_credential = true, allow_origins = "**", allow_methods = "*", allow_headers = "**" },
    }) do
      local ok, err = gateway:check({ routes = { route("x", conf) } })
      t.is_true(not ok)
      t.matches(err, "you can not set '%*' for other option when 'allow_credential' is true")
    end
    t.is_true(not gateway:check({ routes = { route("x", { allow_origins_by_regex = { "(" } }) } }))
    t.is_true(not gateway:check({ routes = { route("x", { allow_origins = "a.example" }) } }))
  end)
end)
