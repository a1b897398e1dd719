-- SPDX-License-Identifier: Apache-2.0
-- What rate-limiting promises, against the running gateway. Rates are low, so that the test's own time counts for nothing.
local t = require("moongate.test")

t.describe("rate-limiting", function()
  local upstream = t.echo()
  local function route(id, conf, more)
    local plugins = more or {}
    plugins["rate-limiting"] = conf
    return { id = id, uri = "/" .. id, plugins = plugins, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    consumers = {
      { username = "ann", plugins = { ["key-auth"] = { key = "ann" } } },
      { username = "bob", plugins = { ["key-auth"] = { key = "bob" } } },
    },
    routes = {
      route("bucket", { rate = 0.01, burst = 3 }),
      route("refill", { rate = 0.1, burst = 2 }),
      route("default", { rate = 2.5 }),
      route("even", { rate = 0.01, burst = 0 }),
      route("consumer", { rate = 0.01, burst = 1, key_type = "consumer_name" }, { ["key-auth"] = {} }),
      route("header", { rate = 0.01, burst = 1, key_type = "header", key = "X-Key" }),
      route("cookie", { rate = 0.01, burst = 1, key_type = "cookie", key = "session" }),
      route("worded", { rate = 0.01, burst = 1, rejected_code = 503, rejected_msg = "wait" }),
      route("quiet", { rate = 0.01, burst = 1, show_limit_quota_header = false }),
      route("ietf", { rate = 0.5, burst = 5, header_style = "ietf" }),
      route("both", { rate = 0.5, burst = 5, header_style = "both" }),
      route("dry", { rate = 0.01, burst = 1, dry_run = true }),
    },
  })

  local function ask(path, headers)
    return gateway:request({ path = path, headers = headers })
  end

  t.it("admits a bucketful at once and refuses the next", function()
    for left = 2, 0, -1 do
      local res = ask("/bucket")
      t.equal(res.status, 200)
      t.equal(res.headers["X-RateLimit-Limit"], "3")
      t.equal(res.headers["X-RateLimit-Remaining"], tostring(left))
      t.is_nil(res.headers["Retry-After"])
    end
    local res = ask("/bucket")
    t.equal(res.status, 429)
    t.same(res.json(), { error_msg = "Rate limit exceeded" })
    t.equal(res.headers["X-RateLimit-Remaining"], "0")
    t.equal(res.headers["Retry-After"], "100")
    t.matches(res.headers["X-RateLimit-Reset"], "^%d+$")
  end)

  t.it("gives tokens back at the rate, up to the bucket's size", function()
    ask("/refill")
    ask("/refill")
    t.equal(ask("/refill").status, 429)
    gateway:advance(10)
    t.equal(ask("/refill").status, 200)
    t.equal(ask("/refill").status, 429)
    gateway:advance(1000)
    t.equal(ask("/refill").status, 200)
    t.equal(ask("/refill").status, 200)
    t.equal(ask("/refill").status, 429)
  end)

  t.it("has a bucket for one second's tokens unless told", function()
    t.equal(ask("/default").headers["X-RateLimit-Limit"], "3")
  end)

  t.it("admits one at a time without a burst", function()
    t.equal(ask("/even").status, 200)
    t.equal(ask("/even").status, 429)
  end)

  t.it("has a bucket for each consumer", function()
    t.equal(ask("/consumer", { apikey = "ann" }).status, 200)
    t.equal(ask("/consumer", { apikey = "ann" }).status, 429)
    t.equal(ask("/consumer", { apikey = "bob" }).status, 200)
  end)

  t.it("has a bucket for each header or cookie value, and for the address without one", function()
    t.equal(ask("/header", { ["X-Key"] = "a" }).status, 200)
    t.equal(ask("/header", { ["X-Key"] = "a" }).status, 429)
    t.equal(ask("/header", { ["X-Key"] = "127.0.0.1" }).status, 200)
    t.equal(ask("/header").status, 200)
    t.equal(ask("/header").status, 429)
    t.equal(ask("/cookie", { Cookie = "session=1" }).status, 200)
    t.equal(ask("/cookie", { Cookie = "session=2" }).status, 200)
    t.equal(ask("/cookie", { Cookie = "session=1" }).status, 429)
  end)

  t.it("refuses with its own code and text", function()
    ask("/worded")
    local res = ask("/worded")
    t.equal(res.status, 503)
    t.same(res.json(), { error_msg = "wait" })
  end)

  t.it("keeps the quota to itself when asked, but says when to come back", function()
    t.is_nil(ask("/quiet").headers["X-RateLimit-Limit"])
    local res = ask("/quiet")
    t.equal(res.status, 429)
    t.is_nil(res.headers["X-RateLimit-Limit"])
    t.equal(res.headers["Retry-After"], "100")
  end)

  t.it("speaks the IETF's headers when asked", function()
    local res = ask("/ietf")
    t.is_nil(res.headers["X-RateLimit-Limit"])
    t.equal(res.headers["RateLimit-Policy"], '"default";q=5;w=10')
    t.equal(res.headers["RateLimit"], '"default";r=4;t=2')
    res = ask("/both")
    t.equal(res.headers["X-RateLimit-Limit"], "5")
    t.equal(res.headers["RateLimit-Policy"], '"default";q=5;w=10')
  end)

  t.it("only counts in a dry run", function()
    for _ = 1, 3 do
      local res = ask("/dry")
      t.equal(res.status, 200)
      t.is_nil(res.headers["X-RateLimit-Limit"])
    end
  end)

  t.it("checks its configuration", function()
    local function check(conf)
      local ok, err = gateway:check({ routes = { route("x", conf) } })
      t.is_true(not ok)
      return err
    end
    t.matches(check({}), 'property "rate" is required')
    t.matches(check({ rate = 0 }), "expected 0 to be greater than 0")
    t.matches(check({ rate = 1, burst = -1 }), "expected %-1 to be at least 0")
    t.matches(check({ rate = 1, key_type = "moon" }), "matches none of the enum values")
  end)
end)
