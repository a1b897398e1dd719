-- SPDX-License-Identifier: Apache-2.0
-- What response-transformer promises, against the running gateway.
local t = require("moongate.test")

local name = "response-transformer"

t.describe(name, function()
  local function route(id, conf)
    local answer = { response_example = "x", response_headers = { ["X-Gone"] = "1", ["X-Old"] = "2", ["X-There"] = "3" } }
    return { id = id, uri = "/" .. id, plugins = { [name] = conf, mocking = answer } }
  end
  local gateway = t.gateway({
    routes = {
      route("all", {
        remove = { headers = { "X-Gone", "Server" } },
        rename = { headers = { "X-Old:X-New" } },
        replace = { headers = { "X-There:new", "X-Missing:new" } },
        add = { headers = { "X-There:added", "X-Added:a=1; b" } },
        append = { headers = { "X-List:a", "X-List:b" } },
      }),
    },
  })

  t.it("removes, renames, replaces, adds and appends, in this order", function()
    local headers = gateway:request({ path = "/all" }).headers
    t.is_nil(headers["X-Gone"])
    t.is_nil(headers["X-Old"])
    t.equal(headers["X-New"], "2")
    t.equal(headers["X-There"], "new")
    t.is_nil(headers["X-Missing"])
    t.equal(headers["X-Added"], "a=1; b")
  end)

  t.it("checks its configuration", function()
    local function refused(conf, pattern)
      local ok, err = gateway:check({ routes = { route("x", conf) } })
      t.is_true(not ok)
      t.matches(err, pattern)
    end
    refused({ add = { headers = { "novalue" } } }, "add.headers: expected NAME:VALUE, got novalue")
    refused({ rename = { headers = { "a" } } }, "rename.headers: expected OLD:NEW, got a")
    refused({ remove = { json = { "a" } } }, "json")
  end)
end)
