-- SPDX-License-Identifier: Apache-2.0
-- What request-id promises, against the running gateway.
local t = require("moongate.test")

local uuid = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-VERSION%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"

t.describe("request-id", function()
  local upstream = t.echo()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { ["request-id"] = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("uuid", {}),
      route("uuidv7", { algorithm = "uuidv7" }),
      route("nanoid", { algorithm = "nanoid" }),
      route("ksuid", { algorithm = "ksuid" }),
      route("range", { algorithm = "range_id", range_id = { length = 12, char_set = "abcdef" } }),
      route("quiet", { include_in_response = false, header_name = "X-Trace" }),
    },
  })

  local function id_of(path)
    local res = gateway:request({ path = path })
    t.equal(res.status, 200)
    t.equal(res.headers["X-Request-Id"], res.json().headers["x-request-id"])
    return res.headers["X-Request-Id"]
  end

  t.it("gives upstream and client the same new UUID", function()
    t.matches(id_of("/uuid"), (uuid:gsub("VERSION", "4")))
    t.matches(id_of("/uuidv7"), (uuid:gsub("VERSION", "7")))
  end)

  t.it("does not give an id twice", function()
    local seen = {}
    for _ = 1, 300 do
      local id = id_of("/uuid")
      t.is_nil(seen[id])
      seen[id] = true
    end
  end)

  t.it("knows the other algorithms", function()
    t.matches(id_of("/nanoid"), "^[%w_-]+$")
    t.equal(#id_of("/nanoid"), 21)
    t.matches(id_of("/ksuid"), "^%w+$")
    t.equal(#id_of("/ksuid"), 27)
    t.matches(id_of("/range"), "^[a-f]+$")
    t.equal(#id_of("/range"), 12)
  end)

  t.it("keeps the id that the client sent, but not an empty one", function()
    local res = gateway:request({ path = "/uuid", headers = { ["X-Request-Id"] = "mine" } })
    t.equal(res.json().headers["x-request-id"], "mine")
    t.equal(res.headers["X-Request-Id"], "mine")
    res = gateway:request({ path = "/uuid", headers = { ["X-Request-Id"] = "" } })
    t.matches(res.headers["X-Request-Id"], (uuid:gsub("VERSION", "4")))
  end)

  t.it("keeps the id that the upstream answered with", function()
    t.equal(gateway:request({ path = "/uuid?header=X-Request-Id:theirs" }).headers["X-Request-Id"], "theirs")
  end)

  t.it("stays out of the answer when asked, and uses another header", function()
    local res = gateway:request({ path = "/quiet" })
    t.is_nil(res.headers["X-Trace"])
    t.matches(res.json().headers["x-trace"], (uuid:gsub("VERSION", "4")))
  end)

  t.it("checks its configuration", function()
    local ok, err = gateway:check({ routes = { route("x", { algorithm = "md5" }) } })
    t.is_true(not ok)
    t.matches(err, "matches none of the enum values")
    t.is_true(not gateway:check({ routes = { route("x", { range_id = { length = 5 } }) } }))
  end)
end)
