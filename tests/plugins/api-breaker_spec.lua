-- SPDX-License-Identifier: Apache-2.0
-- What api-breaker promises, against the running gateway.
local t = require("moongate.test")

t.describe("api-breaker", function()
  local upstream = t.echo()
  local function route(id, conf)
    return { id = id, uri = "/" .. id .. "/*", plugins = { ["api-breaker"] = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("full", {
        break_response_code = 599,
        break_response_body = '{"error":"circuit open"}',
        break_response_headers = {
          { key = "Content-Type", value = "application/json" }, { key = "X-Who", value = "$remote_addr" },
        },
        unhealthy = { http_statuses = { 500, 502 }, failures = 3 },
        healthy = { http_statuses = { 200, 201 }, successes = 2 },
        max_breaker_sec = 10,
      }),
      route("bare", {
        break_response_code = 502,
        break_response_headers = { { key = "X-Never", value = "1" } },
        unhealthy = { failures = 1 },
      }),
    },
  })

  local function ask(path, status)
    return gateway:request({ path = path .. (status and "?status=" .. status or "") })
  end

  local function fail(path, times)
    for _ = 1, times do
      t.equal(ask(path, 500).status, 500)
    end
  end

  t.it("opens at the third bad answer and then answers itself", function()
    fail("/full/a", 3)
    local res = ask("/full/a")
    t.equal(res.status, 599)
    t.same(res.json(), { error = "circuit open" })
    t.equal(res.headers["Content-Type"], "application/json")
    t.equal(res.headers["X-Who"], "127.0.0.1")
  end)

  t.it("is one breaker for each host and path", function()
    t.equal(ask("/full/b").status, 200)
    t.equal(gateway:request({ path = "/full/a", headers = { Host = "other.example" } }).status, 200)
  end)

  t.it("does not count other answers", function()
    for _ = 1, 5 do
      t.equal(ask("/full/c", 503).status, 503)
    end
    fail("/full/c", 2)
    t.equal(ask("/full/c").status, 200)
  end)

  t.it("closes after two good answers and forgets the past", function()
    fail("/full/d", 3)
    t.equal(ask("/full/d").status, 599)
    gateway:advance(3)
    t.equal(ask("/full/d").status, 200)
    t.equal(ask("/full/d", 201).status, 201)
    fail("/full/d", 2)
    t.equal(ask("/full/d").status, 200)
  end)

  t.it("stays open longer each time, up to the maximum", function()
    fail("/full/e", 3)
    gateway:advance(3)
    -- The first failure after 2 seconds already counts towards the next step, 4 seconds.
    fail("/full/e", 1)
    t.equal(ask("/full/e").status, 599)
    gateway:advance(2)
    fail("/full/e", 2)
    gateway:advance(3)
    t.equal(ask("/full/e").status, 599)
    gateway:advance(6)
    fail("/full/e", 3)
    gateway:advance(7)
    t.equal(ask("/full/e").status, 599)
    gateway:advance(5)
    fail("/full/e", 3)
    gateway:advance(9)
    t.equal(ask("/full/e").status, 599)
    gateway:advance(3)
    t.equal(ask("/full/e").status, 200)
  end)

  t.it("sets no headers without a body", function()
    fail("/bare/a", 1)
    local res = ask("/bare/a")
    t.equal(res.status, 502)
    t.is_nil(res.headers["X-Never"])
  end)

  t.it("checks its configuration", function()
    local ok, err = gateway:check({ routes = { route("x", {}) } })
    t.is_true(not ok)
    t.matches(err, 'property "break_response_code" is required')
    t.is_true(not gateway:check({ routes = { route("x", { break_response_code = 502, max_breaker_sec = 1 }) } }))
    t.is_true(not gateway:check({
      routes = { route("x", { break_response_code = 502, unhealthy = { http_statuses = { 404 } } }) },
    }))
  end)
end)
