-- SPDX-License-Identifier: Apache-2.0
-- What request-transformer promises, against the running gateway.
local t = require("moongate.test")

local name = "request-transformer"

t.describe(name, function()
  local upstream = t.echo()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { [name] = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("headers", {
        remove = { headers = { "X-Gone" } },
        rename = { headers = { "X-Old:X-New" } },
        replace = { headers = { "X-There:new", "X-Missing:new" } },
        add = { headers = { "X-There:added", "X-Added:yes: it is" } },
        append = { headers = { "X-List:b" } },
      }),
      route("query", {
        remove = { querystring = { "gone" } },
        rename = { querystring = { "old:new" } },
        replace = { querystring = { "there:2", "missing:2" } },
        add = { querystring = { "added:1" } },
        append = { querystring = { "list:b" } },
      }),
      route("uri", { http_method = "PUT", replace = { uri = "/fixed/$(headers.x_id)" } }),
      route("template", {
        add = { headers = { "X-Copy:<$(headers.user_agent)>", "X-Arg:$(query_params['q'])", "X-None:$(headers.nope)" } },
      }),
    },
  })

  local function ask(path, headers)
    local res = gateway:request({ path = path, headers = headers })
    t.equal(res.status, 200)
    return res.json()
  end

  local function header(seen, wanted)
    for key, value in pairs(seen.headers) do
      if key:lower() == wanted then
        return value
      end
    end
  end

  t.it("removes, renames, replaces, adds and appends headers, in this order", function()
    local seen = ask("/headers", { ["X-Gone"] = "1", ["X-Old"] = "2", ["X-There"] = "3", ["X-List"] = "a" })
    t.is_nil(header(seen, "x-gone"))
    t.is_nil(header(seen, "x-old"))
    t.equal(header(seen, "x-new"), "2")
    t.equal(header(seen, "x-there"), "new")
    t.is_nil(header(seen, "x-missing"))
    t.equal(header(seen, "x-added"), "yes: it is")
  end)

  t.it("does the same to the query", function()
    local seen = ask("/query?gone=1&old=x&there=1&list=a")
    for _, part in ipairs({ "new=x", "there=2", "added=1", "list=a", "list=b" }) do
      t.matches(seen.query, part)
    end
    for _, part in ipairs({ "gone", "old", "missing" }) do
      t.is_nil(seen.query:find(part .. "=", 1, true))
    end
  end)

  t.it("changes method and path", function()
    local seen = ask("/uri", { ["X-Id"] = "7" })
    t.equal(seen.method, "PUT")
    t.equal(seen.path, "/fixed/7")
  end)

  t.it("refuses a path that a client made another's", function()
    t.equal(gateway:request({ path = "/uri", headers = { ["X-Id"] = "../secret" } }).status, 400)
  end)

  t.it("fills templates, and leaves out what has no value", function()
    local seen = ask("/template?q=v", { ["User-Agent"] = "me" })
    t.equal(header(seen, "x-copy"), "<me>")
    t.equal(header(seen, "x-arg"), "v")
    t.is_nil(header(seen, "x-none"))
  end)

  t.it("checks its configuration", function()
    local function refused(conf, pattern)
      local ok, err = gateway:check({ routes = { route("x", conf) } })
      t.is_true(not ok)
      t.matches(err, pattern)
    end
    refused({ add = { headers = { "novalue" } } }, "expected NAME:VALUE, got novalue")
    refused({ add = { headers = { "a:$(os.exit())" } } }, "is not served; known are")
    refused({ add = { body = { "a:b" } } }, "body")
    refused({ delete = {} }, "delete")
    refused({ replace = { uri = "x" } }, "uri")
  end)
end)
