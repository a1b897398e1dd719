-- SPDX-License-Identifier: Apache-2.0
-- What sliding-window-rate-limit promises, against the running gateway.
local t = require("moongate.test")

t.describe("sliding-window-rate-limit", function()
  local upstream = t.echo()
  local function route(id, conf)
    return {
      id = id,
      uri = "/" .. id,
      plugins = { ["sliding-window-rate-limit"] = conf },
      upstream = { nodes = { [upstream] = 1 } },
    }
  end
  local gateway = t.gateway({
    routes = {
      route("plain", { rate = 2, burst = 1, window_size = 600 }),
      route("slide", { rate = 10, window_size = 100 }),
      route("header", { rate = 1, window_size = 600, key_type = "header", key = "X-Key" }),
      route("worded", { rate = 1, window_size = 600, rejected_code = 503, rejected_msg = "wait" }),
    },
  })

  local function ask(path, headers)
    return gateway:request({ path = path, headers = headers })
  end

  t.it("admits rate and burst and refuses the next", function()
    for left = 2, 0, -1 do
      local res = ask("/plain")
      t.equal(res.status, 200)
      t.equal(res.headers["X-RateLimit-Limit"], "3")
      t.equal(res.headers["X-RateLimit-Remaining"], tostring(left))
    end
    local res = ask("/plain")
    t.equal(res.status, 429)
    t.same(res.json(), { error_msg = "Rate limit exceeded" })
    t.equal(res.headers["X-RateLimit-Remaining"], "0")
    t.is_true(tonumber(res.headers["Retry-After"]) >= 1)
  end)

  t.it("lets in again after the time it told", function()
    for _ = 1, 10 do
      ask("/slide")
    end
    local res = ask("/slide")
    t.equal(res.status, 429)
    gateway:advance(tonumber(res.headers["Retry-After"]) + 1)
    t.equal(ask("/slide").status, 200)
  end)

  t.it("does not admit twice the rate around the edge of a window", function()
    gateway:advance(1000)
    local admitted = 0
    for _ = 1, 6 do
      for _ = 1, 10 do
        admitted = admitted + (ask("/slide").status == 200 and 1 or 0)
      end
      gateway:advance(10)
    end
    -- 50 seconds are half a window: what was used at first can have faded by half at most.
    t.is_true(admitted >= 10)
    t.is_true(admitted <= 15)
  end)

  t.it("counts a refused request for nothing", function()
    gateway:advance(1000)
    for _ = 1, 10 do
      t.equal(ask("/slide").status, 200)
    end
    for _ = 1, 50 do
      t.equal(ask("/slide").status, 429)
    end
    gateway:advance(200)
    t.equal(ask("/slide").status, 200)
  end)

  t.it("counts each header value apart, and the address without one", function()
    t.equal(ask("/header", { ["X-Key"] = "a" }).status, 200)
    t.equal(ask("/header", { ["X-Key"] = "b" }).status, 200)
    t.equal(ask("/header", { ["X-Key"] = "a" }).status, 429)
    t.equal(ask("/header").status, 200)
    t.equal(ask("/header").status, 429)
  end)

  t.it("refuses with its own code and text", function()
    ask("/worded")
    local res = ask("/worded")
    t.equal(res.status, 503)
    t.same(res.json(), { error_msg = "wait" })
  end)

  t.it("checks its configuration", function()
    local ok, err = gateway:check({ routes = { route("x", { rate = 1, key_type = "header" }) } })
    t.is_true(not ok)
    t.matches(err, 'property "key" is required when "key_type" is "header"')
    t.is_true(not gateway:check({ routes = { route("x", { rate = 1.5 }) } }))
    t.is_true(not gateway:check({ routes = { route("x", { rate = 1, window_size = 0 }) } }))
  end)
end)
