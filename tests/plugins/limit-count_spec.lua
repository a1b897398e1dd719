-- SPDX-License-Identifier: Apache-2.0
-- What limit-count promises, against the running gateway.
local t = require("moongate.test")

t.describe("limit-count", function()
  local upstream = t.echo()
  local function route(id, conf, priority)
    return {
      id = id,
      uri = "/" .. id,
      priority = priority,
      plugins = { ["limit-count"] = conf },
      upstream = { nodes = { [upstream] = 1 } },
    }
  end
  local function config(more)
    local routes = {
      route("fixed", { count = 2, time_window = 60 }),
      route("worded", { count = 1, time_window = 60, rejected_code = 429, rejected_msg = "slow down" }),
      route("quiet", { count = 1, time_window = 60, show_limit_quota_header = false }),
      route("header", { count = 1, time_window = 60, key = "http_x_key" }),
      route("pair", { count = 1, time_window = 60, key_type = "var_combination", key = "$http_x_a $http_x_b" }),
      route("constant", { count = 1, time_window = 60, key_type = "constant", key = "all" }),
      route("group1", { count = 2, time_window = 60, group = "shared" }),
      route("group2", { count = 2, time_window = 60, group = "shared" }),
      route("dynamic", { count = "${http_x_count ?? 1}", time_window = "60", key = "http_x_key" }),
      route("sliding", { count = 10, time_window = 60, window_type = "sliding" }),
      route("edge", { count = 2, time_window = 60 }),
      route("rules", {
        rejected_code = 429,
        rules = {
          { count = 1, time_window = 60, key = "${http_x_user}", header_prefix = "User" },
          { count = 2, time_window = 60, key = "${http_x_team}" },
        },
      }),
      route("kept", { count = 1, time_window = 60 }),
      -- Port 1 of loopback: nobody is there.
      route("lost", { count = 1, time_window = 60, policy = "redis", redis_host = "127.0.0.1", redis_port = 1 }),
      route("lenient", { count = 1, time_window = 60, policy = "redis-cluster", redis_cluster_name = "c",
        redis_cluster_nodes = { "127.0.0.1:1", "[::1]:1" }, allow_degradation = true }),
    }
    for _, item in ipairs(more or {}) do
      routes[#routes + 1] = item
    end
    return { routes = routes }
  end
  local gateway = t.gateway(config())

  local function ask(path, headers)
    return gateway:request({ path = path, headers = headers })
  end

  t.it("refuses the request after the last one and tells the quota each time", function()
    local res = ask("/fixed")
    t.equal(res.status, 200)
    t.equal(res.headers["X-RateLimit-Limit"], "2")
    t.equal(res.headers["X-RateLimit-Remaining"], "1")
    t.matches(res.headers["X-RateLimit-Reset"], "^%d+%.?%d?%d?$")
    t.equal(ask("/fixed").headers["X-RateLimit-Remaining"], "0")
    res = ask("/fixed")
    t.equal(res.status, 503)
    t.equal(res.headers["X-RateLimit-Limit"], "2")
    t.equal(res.headers["X-RateLimit-Remaining"], "0")
    t.is_true(tonumber(res.headers["X-RateLimit-Reset"]) <= 60)
  end)

  t.it("opens again when the window is over, not before", function()
    t.equal(ask("/edge").status, 200)
    gateway:advance(50)
    t.equal(ask("/edge").status, 200)
    gateway:advance(5)
    t.equal(ask("/edge").status, 503)
    gateway:advance(6)
    t.equal(ask("/edge").status, 200)
  end)

  t.it("refuses with its own code and text", function()
    ask("/worded")
    local res = ask("/worded")
    t.equal(res.status, 429)
    t.same(res.json(), { error_msg = "slow down" })
  end)

  t.it("keeps the quota to itself when asked", function()
    t.is_nil(ask("/quiet").headers["X-RateLimit-Limit"])
    local res = ask("/quiet")
    t.equal(res.status, 503)
    t.is_nil(res.headers["X-RateLimit-Remaining"])
  end)

  t.it("counts each value of the key apart", function()
    t.equal(ask("/header", { ["X-Key"] = "a" }).status, 200)
    t.equal(ask("/header", { ["X-Key"] = "b" }).status, 200)
    t.equal(ask("/header", { ["X-Key"] = "a" }).status, 503)
    t.equal(ask("/header", { ["X-Key"] = ("k"):rep(2000) }).status, 200)
    t.equal(ask("/header", { ["X-Key"] = ("k"):rep(2000) }).status, 503)
  end)

  t.it("counts by address when the key has no value, apart from who sends that address", function()
    t.equal(ask("/header", { ["X-Key"] = "127.0.0.1" }).status, 200)
    t.equal(ask("/header").status, 200)
    t.equal(ask("/header").status, 503)
  end)

  t.it("counts combinations and constants", function()
    t.equal(ask("/pair", { ["X-A"] = "1", ["X-B"] = "2" }).status, 200)
    t.equal(ask("/pair", { ["X-A"] = "1", ["X-B"] = "3" }).status, 200)
    t.equal(ask("/pair", { ["X-A"] = "1", ["X-B"] = "2" }).status, 503)
    t.equal(ask("/constant", { ["X-A"] = "1" }).status, 200)
    t.equal(ask("/constant", { ["X-A"] = "2" }).status, 503)
  end)

  t.it("counts the routes of a group together", function()
    t.equal(ask("/group1").status, 200)
    t.equal(ask("/group2").status, 200)
    t.equal(ask("/group1").status, 503)
  end)

  t.it("takes the numbers from variables", function()
    local function headers(count)
      return { ["X-Key"] = "dynamic", ["X-Count"] = count }
    end
    t.equal(ask("/dynamic", headers("3")).headers["X-RateLimit-Limit"], "3")
    t.equal(ask("/dynamic", headers("0")).status, 500)
    t.equal(ask("/dynamic", headers("1.5")).status, 500)
    t.equal(ask("/dynamic", headers("many")).status, 500)
  end)

  t.it("slides: what was used in the former window still counts", function()
    for _ = 1, 10 do
      t.equal(ask("/sliding").status, 200)
    end
    t.equal(ask("/sliding").status, 503)
    local admitted = 0
    gateway:advance(60)
    for _ = 1, 10 do
      admitted = admitted + (ask("/sliding").status == 200 and 1 or 0)
    end
    t.is_true(admitted < 10)
    gateway:advance(120)
    t.equal(ask("/sliding").status, 200)
  end)

  t.it("answers 500 when Redis is out of reach, or admits when it may", function()
    for _ = 1, 3 do
      local res = ask("/lost")
      t.equal(res.status, 500)
      t.same(res.json(), { error_msg = "failed to limit count" })
      t.equal(ask("/lenient").status, 200)
    end
  end)

  t.it("applies each rule whose key is there, with headers of its own", function()
    local res = ask("/rules", { ["X-User"] = "ann", ["X-Team"] = "red" })
    t.equal(res.status, 200)
    t.equal(res.headers["X-User-RateLimit-Limit"], "1")
    t.equal(res.headers["X-2-RateLimit-Limit"], "2")
    t.equal(ask("/rules", { ["X-User"] = "ann" }).status, 429)
    t.equal(ask("/rules", { ["X-User"] = "bob", ["X-Team"] = "red" }).status, 200)
    t.equal(ask("/rules", { ["X-User"] = "cid", ["X-Team"] = "red" }).status, 429)
    t.equal(ask("/rules").status, 500)
  end)

  t.it("names the headers as the metadata says", function()
    local changed = config()
    changed.plugin_metadata = { { id = "limit-count", limit_header = "X-Quota" } }
    gateway:reload(changed)
    t.is_nil(ask("/quiet").headers["X-Quota"])
    t.equal(ask("/header", { ["X-Key"] = "metadata" }).headers["X-Quota"], "1")
    gateway:reload(config())
  end)

  t.it("goes on counting when something else is reloaded", function()
    t.equal(ask("/kept").status, 200)
    gateway:reload(config({ route("new", { count = 5, time_window = 5 }) }))
    t.equal(ask("/kept").status, 503)
  end)

  t.it("checks its configuration", function()
    local function check(...)
      local routes = {}
      for index, conf in ipairs({ ... }) do
        routes[index] = route("x" .. index, conf)
      end
      local ok, err = gateway:check({ routes = routes })
      t.is_true(not ok)
      return err
    end
    t.matches(check({ count = 1 }), 'property "time_window" is required')
    t.matches(check({ count = 0, time_window = 1 }), "count")
    local rule = { count = 1, time_window = 1, key = "$a" }
    t.matches(check({ rules = { rule, rule } }), "duplicate key '%$a' in rules")
    t.matches(check({ count = 1, time_window = 1, rules = { rule } }),
      "count/time_window and rules cannot be specified at the same time")
    t.matches(check({ count = 1, time_window = 5, policy = "redis", redis_host = "127.0.0.1", sync_interval = 0.01 }),
      "sync_interval should not be smaller than 0%.1")
    t.matches(check({ count = 1, time_window = 5, policy = "redis", redis_host = "127.0.0.1", sync_interval = 9 }),
      "sync_interval should be smaller than time_window")
    t.matches(check({ count = 1, time_window = 5, policy = "redis", redis_host = "127.0.0.1", sync_interval = 1 }),
      "sync_interval is not available")
    local function redis(fields)
      fields.count, fields.time_window, fields.policy = 1, 1, fields.policy or "redis"
      return check(fields)
    end
    t.matches(redis({}), "redis_host")
    t.matches(redis({ redis_host = "a b" }), "redis_host: .*HOST:PORT")
    t.matches(redis({ redis_host = "127.0.0.1", redis_port = 0 }), "redis_port")
    t.matches(redis({ redis_host = "127.0.0.1", redis_timeout = 0 }), "redis_timeout")
    t.matches(redis({ redis_host = "127.0.0.1", redis_database = -1 }), "redis_database")
    t.matches(redis({ policy = "redis-cluster", redis_cluster_nodes = { "127.0.0.1:1" } }), "redis_cluster_name")
    t.matches(redis({ policy = "redis-cluster", redis_cluster_name = "c", redis_cluster_nodes = {} }), "redis_cluster_nodes")
    t.matches(redis({ policy = "redis-cluster", redis_cluster_name = "c", redis_cluster_nodes = { "127.0.0.1" } }),
      'redis_cluster_nodes: "127.0.0.1" has no port')
    t.matches(redis({ policy = "redis-sentinel" }), 'policy "redis%-sentinel" is not available in this build')
    t.matches(check({ count = 1, time_window = 1, group = "r", policy = "redis", redis_host = "127.0.0.1" },
      { count = 1, time_window = 1, group = "r", policy = "redis", redis_host = "127.0.0.2" }), "group conf mismatched")
    t.matches(check({ count = 1, time_window = 1, group = "g" }, { count = 2, time_window = 1, group = "g" }),
      "group conf mismatched")
  end)
end)
