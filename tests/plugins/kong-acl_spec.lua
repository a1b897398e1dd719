-- SPDX-License-Identifier: Apache-2.0
-- What kong-acl promises, against the running gateway.
local t = require("moongate.test")

local name = "kong-acl"

t.describe(name, function()
  local upstream = t.echo()
  local function route(id, conf, more)
    local plugins = more or { ["key-auth"] = {} }
    plugins[name] = conf
    return { id = id, uri = "/" .. id, plugins = plugins, upstream = { nodes = { [upstream] = 1 } } }
  end
  local function consumer(username, groups)
    return { username = username, labels = groups and { acl_groups = groups }, plugins = { ["key-auth"] = { key = username } } }
  end
  local gateway = t.gateway({
    consumers = { consumer("ann", '["a","b"]'), consumer("bob", '["c"]'), consumer("eve") },
    routes = {
      route("allow", { allow = { "b", "x" } }),
      route("deny", { deny = { "c" }, hide_groups_header = true }),
      route("open", { deny = { "c" } }, {}),
    },
  })

  local function ask(path, key)
    return gateway:request({ path = path, headers = { apikey = key } })
  end

  t.it("lets in members of an allowed group and tells the upstream", function()
    local res = ask("/allow", "ann")
    t.equal(res.status, 200)
    t.matches(res.body, "a, b")
    res = ask("/allow", "bob")
    t.equal(res.status, 403)
    t.same(res.json(), { message = "You cannot consume this service" })
    t.equal(ask("/allow", "eve").status, 403)
  end)

  t.it("keeps out members of a denied group", function()
    local res = ask("/deny", "ann")
    t.equal(res.status, 200)
    t.is_nil(res.body:find("a, b", 1, true))
    t.equal(ask("/deny", "bob").status, 403)
    t.equal(ask("/deny", "eve").status, 200)
  end)

  t.it("refuses clients that nobody knows", function()
    t.equal(gateway:request({ path = "/open" }).status, 401)
  end)

  t.it("wants one of allow and deny", function()
    t.is_true(not gateway:check({ routes = { route("x", {}) } }))
    t.is_true(not gateway:check({ routes = { route("x", { allow = { "a" }, deny = { "b" } }) } }))
  end)
end)
