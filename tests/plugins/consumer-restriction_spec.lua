-- SPDX-License-Identifier: Apache-2.0
-- What consumer-restriction promises, against the running gateway.
local t = require("moongate.test")

local function consumer(name, group)
  return { username = name, group_id = group, plugins = { ["key-auth"] = { key = name } } }
end

t.describe("consumer-restriction", function()
  local upstream = t.echo()
  local function route(id, conf, more)
    local item = {
      id = id,
      uri = "/" .. id,
      plugins = { ["key-auth"] = {}, ["consumer-restriction"] = conf },
      upstream = { nodes = { [upstream] = 1 } },
    }
    for key, value in pairs(more or {}) do
      item[key] = value
    end
    return item
  end
  local gateway = t.gateway({
    services = { { id = "s1" } },
    consumer_groups = { { id = "gold", plugins = {} }, { id = "iron", plugins = {} } },
    consumers = { consumer("ann", "gold"), consumer("bob", "iron"), consumer("cid") },
    routes = {
      route("white", { whitelist = { "ann" } }),
      route("black", { blacklist = { "ann" }, whitelist = { "ann", "bob" }, rejected_code = 451, rejected_msg = "no" }),
      route("group", { type = "consumer_group_id", whitelist = { "gold" }, rejected_msg = "Access denied" }),
      route("methods", { allowed_by_methods = { { user = "ann", methods = { "POST" } } } }),
      route("both", { whitelist = { "ann" }, allowed_by_methods = { { user = "ann", methods = { "POST" } } } }),
      route("service", { type = "service_id", blacklist = { "s1" } }, { service_id = "s1" }),
      route("routed", { type = "route_id", whitelist = { "routed" } }),
    },
  })

  local function ask(path, key, method)
    return gateway:request({ method = method or "GET", path = path, headers = { apikey = key } })
  end

  t.it("lets in whom the whitelist holds and nobody else", function()
    t.equal(ask("/white", "ann").status, 200)
    local res = ask("/white", "bob")
    t.equal(res.status, 403)
    t.same(res.json(), { message = "The consumer_name is forbidden." })
  end)

  t.it("refuses whom the blacklist holds, even when whitelisted, with its own code and text", function()
    local res = ask("/black", "ann")
    t.equal(res.status, 451)
    t.same(res.json(), { message = "no" })
    t.equal(ask("/black", "bob").status, 200)
  end)

  t.it("compares consumer groups", function()
    t.equal(ask("/group", "ann").status, 200)
    local res = ask("/group", "bob")
    t.equal(res.status, 403)
    t.same(res.json(), { message = "Access denied" })
  end)

  t.it("refuses with 401 when there is nothing to compare", function()
    local res = ask("/group", "cid")
    t.equal(res.status, 401)
    t.same(res.json(), { message = "The request is rejected, please check the consumer_group_id for this request" })
  end)

  t.it("limits the methods of listed users only", function()
    t.equal(ask("/methods", "ann", "GET").status, 403)
    t.equal(ask("/methods", "ann", "POST").status, 200)
    t.equal(ask("/methods", "bob", "GET").status, 200)
  end)

  t.it("does not limit the methods of whom the whitelist holds", function()
    t.equal(ask("/both", "ann", "GET").status, 200)
    t.equal(ask("/both", "bob", "POST").status, 403)
  end)

  t.it("compares services and routes", function()
    t.same(ask("/service", "ann").json(), { message = "The service_id is forbidden." })
    t.equal(ask("/routed", "bob").status, 200)
  end)

  t.it("wants at least one list", function()
    local ok = gateway:check({ routes = { route("none", {}) } })
    t.is_true(not ok)
  end)
end)
