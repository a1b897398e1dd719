-- SPDX-License-Identifier: Apache-2.0
-- What response-rewrite promises, against the running gateway.
local t = require("moongate.test")

t.describe("response-rewrite", function()
  local upstream = t.echo()
  local function route(id, conf)
    return {
      id = id, uri = "/" .. id, plugins = { ["response-rewrite"] = conf }, upstream = { nodes = { [upstream] = 1 } },
    }
  end
  local gateway = t.gateway({
    routes = {
      route("headers", {
        headers = {
          add = { "X-Many: two" },
          set = { ["X-Set"] = "$remote_addr", ["X-Number"] = 7 },
          remove = { "X-Gone" },
        },
      }),
      route("map", { headers = { ["X-Old"] = "form" } }),
      route("status", { status_code = 418 }),
      route("body", { body = "short" }),
      route("coded", { body = "YmluYXJ5AA==", body_base64 = true }),
      route("vars", { vars = { { "status", "==", 503 } }, status_code = 200, body = "fine" }),
      route("once", { filters = { { regex = "a", replace = "b" } } }),
      route("global", { filters = { { regex = "x(x)", scope = "global", replace = "<$1>" } } }),
    },
  })

  t.it("adds, sets and removes headers", function()
    local res = gateway:request({ path = "/headers?header=X-Many:one&header=X-Gone:1&header=X-Set:old" })
    t.equal(res.status, 200)
    t.same(res.headers["X-Many"], { "one", "two" })
    t.equal(res.headers["X-Set"], "127.0.0.1")
    t.equal(res.headers["X-Number"], "7")
    t.is_nil(res.headers["X-Gone"])
  end)

  t.it("takes the older map of headers to set", function()
    t.equal(gateway:request({ path = "/map" }).headers["X-Old"], "form")
  end)

  t.it("changes the status and leaves the body", function()
    local res = gateway:request({ path = "/status" })
    t.equal(res.status, 418)
    t.equal(res.json().path, "/status")
  end)

  t.it("replaces the whole body and what told of the former one", function()
    local res = gateway:request({ path = "/body?size=100000&header=ETag:1&header=Last-Modified:x" })
    t.equal(res.body, "short")
    t.is_nil(res.headers["ETag"])
    t.is_nil(res.headers["Last-Modified"])
  end)

  t.it("decodes a body given in base64", function()
    t.equal(gateway:request({ path = "/coded" }).body, "binary\0")
  end)

  t.it("rewrites only answers that match", function()
    local res = gateway:request({ path = "/vars?status=503" })
    t.equal(res.status, 200)
    t.equal(res.body, "fine")
    res = gateway:request({ path = "/vars?status=500" })
    t.equal(res.status, 500)
    t.is_true(res.body ~= "fine")
  end)

  t.it("replaces the first match of a pattern, or all, also in a body of many pieces", function()
    local body = gateway:request({ path = "/once" }).body
    t.is_nil(body:match('^{"args"'))
    t.matches(body, "path")
    body = gateway:request({ path = "/global?size=200000" }).body
    t.is_nil(body:find("xx", 1, true))
  end)

  t.it("checks its configuration", function()
    local function check(conf)
      local ok, err = gateway:check({ routes = { route("x", conf) } })
      t.is_true(not ok)
      return err
    end
    t.matches(check({ body = "!!", body_base64 = true }), "invalid base64 content")
    t.matches(check({ body = "a", filters = { { regex = "a", replace = "b" } } }), "wasn't supposed to match schema")
    t.matches(check({ filters = { { regex = "(", replace = "b" } } }), "validation failed")
    t.matches(check({ vars = { { "status", "<>", 1 } }, status_code = 200 }), "failed to validate the 'vars' expression")
    t.matches(check({ headers = { set = { ["X Y"] = "1" } } }), "invalid field character in header")
    t.matches(check({ status_code = 99 }), "expected 99 to be at least 200")
  end)
end)
