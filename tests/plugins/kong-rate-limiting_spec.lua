-- SPDX-License-Identifier: Apache-2.0
-- What kong-rate-limiting promises, against the running gateway. Windows are the calendar's, so counts are taken over hours.
local t = require("moongate.test")

local name = "kong-rate-limiting"

t.describe(name, function()
  local upstream = t.echo()
  local function route(id, conf, more)
    local plugins = more or {}
    conf.scope = conf.scope or "route:" .. id
    plugins[name] = conf
    return { id = id, uri = "/" .. id .. "*", plugins = plugins, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    consumers = {
      { username = "ann", plugins = { ["key-auth"] = { key = "ann" } } },
      { username = "bob", plugins = { ["key-auth"] = { key = "bob" } } },
    },
    routes = {
      route("until-minute", { minute = 1 }),
      route("until-hour", { hour = 1 }),
      route("until-day", { day = 1 }),
      route("until-month", { month = 1 }),
      route("until-year", { year = 1 }),
      route("two", { day = 2, month = 10 }),
      route("shared-a", { year = 1, scope = "service:x" }),
      route("shared-b", { year = 1, scope = "service:x" }),
      route("consumer", { year = 1 }, { ["key-auth"] = {} }),
      route("header", { year = 1, limit_by = "header", header_name = "X-Tenant" }),
      route("path", { year = 1, limit_by = "path", path = "/path/a" }),
      route("quiet", { year = 1, hide_client_headers = true, error_code = 503, error_message = "wait" }),
    },
  })

  local function ask(path, headers)
    return gateway:request({ path = path, headers = headers })
  end

  t.it("counts in all windows and refuses when one is full, without counting the refused", function()
    t.equal(ask("/two").headers["X-RateLimit-Remaining-Day"], "1")
    t.equal(ask("/two").status, 200)
    local res = ask("/two")
    t.equal(res.status, 429)
    t.same(res.json(), { message = "API rate limit exceeded" })
    t.equal(res.headers["X-RateLimit-Limit-Day"], "2")
    t.equal(res.headers["X-RateLimit-Remaining-Month"], "8")
    t.equal(res.headers["RateLimit-Remaining"], "0")
    t.equal(res.headers["Retry-After"], res.headers["RateLimit-Reset"])
  end)

  t.it("shares counters within a scope", function()
    t.equal(ask("/shared-a").status, 200)
    t.equal(ask("/shared-b").status, 429)
  end)

  t.it("counts by consumer, header or path, else by address", function()
    t.equal(ask("/consumer", { apikey = "ann" }).status, 200)
    t.equal(ask("/consumer", { apikey = "ann" }).status, 429)
    t.equal(ask("/consumer", { apikey = "bob" }).status, 200)
    t.equal(ask("/header", { ["X-Tenant"] = "a" }).status, 200)
    t.equal(ask("/header", { ["X-Tenant"] = "a" }).status, 429)
    t.equal(ask("/header", { ["X-Tenant"] = "127.0.0.1" }).status, 200)
    t.equal(ask("/header").status, 200)
    t.equal(ask("/path/a").status, 200)
    t.equal(ask("/path/b").status, 200)
    t.equal(ask("/path/c").status, 429)
  end)

  t.it("says nothing when told so, and refuses in the words it was given", function()
    local res = ask("/quiet")
    t.is_nil(res.headers["RateLimit-Limit"])
    res = ask("/quiet")
    t.equal(res.status, 503)
    t.same(res.json(), { message = "wait" })
    t.is_nil(res.headers["Retry-After"])
  end)

  t.it("opens again when the window of the calendar ends, and not before", function()
    for _, window in ipairs({ "minute", "hour", "day", "month", "year" }) do
      t.equal(ask("/until-" .. window).status, 200, window)
      local wait = tonumber(ask("/until-" .. window).headers["Retry-After"])
      t.is_true(wait >= 1, window)
      if wait > 5 then
        gateway:advance(wait - 5)
        t.equal(ask("/until-" .. window).status, 429, window)
      end
      gateway:advance(5)
      t.equal(ask("/until-" .. window).status, 200, window)
    end
  end)

  t.it("checks its configuration", function()
    local function refused(conf, pattern)
      local ok, err = gateway:check({ routes = { route("x", conf) } })
      t.is_true(not ok)
      t.matches(err, pattern)
    end
    refused({}, "at least one of second")
    refused({ minute = 5, hour = 4 }, "The limit for hour cannot be lower than the limit for minute")
    refused({ minute = 5, policy = "cluster" }, "policy")
    refused({ minute = 5, policy = "redis" }, "policy redis requires redis.host")
    refused({ minute = 5, policy = "redis", redis = { host = "a b" } }, "policy redis requires redis.host")
    refused({ minute = 5, limit_by = "header" }, "limit_by header requires header_name")
    refused({ minutes = 5 }, "minutes")
  end)
end)
