-- SPDX-License-Identifier: Apache-2.0
-- What proxy-rewrite promises, against the running gateway.
local t = require("moongate.test")

t.describe("proxy-rewrite", function()
  local upstream = t.echo()
  local function route(id, uri, conf)
    return { id = id, uri = uri, plugins = { ["proxy-rewrite"] = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("uri", "/uri", { uri = "/new/place" }),
      route("var", "/var", { uri = "/user/$arg_name" }),
      route("query", "/query", { uri = "/new?from=$arg_a&x=1" }),
      route("regex", "/api/*", {
        regex_uri = { "^/api/v1/(.*)", "/one/$1", "^/api/(.*)", "/$1" },
        headers = { set = { ["X-Part"] = "$1" } },
      }),
      route("cut", "/cut*", { regex_uri = { "^/cut(.*)", "$1" } }),
      route("added", "/added/*", { regex_uri = { "^/added/(.*)", "/show?id=$1" } }),
      route("raw", "/raw/*", { use_real_request_uri_unsafe = true, regex_uri = { "^/raw/(.*)", "/cooked/$1" } }),
      route("host", "/host", { host = "inner.example:8080", method = "POST" }),
      route("headers", "/headers", {
        headers = {
          add = { ["X-Many"] = "two", ["X-List"] = { "a", 1 } },
          set = { ["X-Set"] = "$remote_addr/$http_x_in", ["X-Number"] = 7 },
          remove = { "X-Gone" },
        },
      }),
      route("map", "/map", { headers = { ["X-Old"] = "form", ["X-Number"] = 7 } }),
    },
  })

  local function seen(path, headers)
    local res = gateway:request({ path = path, headers = headers })
    t.equal(res.status, 200)
    return res.json()
  end

  t.it("gives the request another path and keeps its query", function()
    t.equal(seen("/uri").path, "/new/place")
    local got = seen("/uri?a=1&b=2")
    t.equal(got.path, "/new/place")
    t.equal(got.query, "a=1&b=2")
  end)

  t.it("puts the template's query before the client's", function()
    t.equal(seen("/query?a=5").query, "from=5&x=1&a=5")
    t.equal(seen("/query").query, "from=&x=1")
  end)

  t.it("keeps a question mark in a value out of the syntax", function()
    t.equal(seen("/var?name=a%3Fb").path, "/user/a%3Fb")
    t.equal(seen("/query?a=x%3Fy").query, "from=x%3Fy&x=1&a=x%3Fy")
  end)

  t.it("refuses a value that would climb out of the path", function()
    for _, name in ipairs({ "..", "../admin", "%2e%2e/admin", "a/../../admin", "." }) do
      local res = gateway:request({ path = "/var?name=" .. name })
      t.equal(res.status, 400)
      t.matches(res.json().error_msg, "^the rewritten URI is refused: ")
    end
  end)

  t.it("applies the first pattern that matches", function()
    t.equal(seen("/api/v1/items").path, "/one/items")
    t.equal(seen("/api/v2/items?q=1").path, "/v2/items")
    t.equal(seen("/api/v2/items?q=1").query, "q=1")
  end)

  t.it("lets headers use what the pattern captured", function()
    t.equal(seen("/api/v1/items").headers["x-part"], "items")
  end)

  t.it("never makes two slashes or dots lead elsewhere", function()
    t.equal(gateway:request({ path = "/cut../etc" }).status, 400)
    t.equal(gateway:request({ path = "/cut%2e%2e/etc" }).status, 400)
  end)

  t.it("begins a query where the replacement has a question mark", function()
    local got = seen("/added/7?a=1")
    t.equal(got.path, "/show")
    t.equal(got.query, "id=7&a=1")
  end)

  t.it("matches the path as it was spelled when asked, and still sends a canonical one", function()
    t.equal(seen("/raw/a+b%20c?q=%20").path, "/cooked/a+b%20c")
  end)

  t.it("gives the request another host and method", function()
    local got = seen("/host")
    t.equal(got.headers["host"], "inner.example:8080")
    t.equal(got.method, "POST")
  end)

  t.it("adds, sets and removes headers, in this order, and resolves variables", function()
    local got = seen("/headers", { ["X-Many"] = "one", ["X-Gone"] = "x", ["X-Set"] = "old", ["X-In"] = "in" })
    t.equal(got.headers["x-many"], "one, two")
    t.equal(got.headers["x-list"], "a, 1")
    t.equal(got.headers["x-set"], "127.0.0.1/in")
    t.equal(got.headers["x-number"], "7")
    t.is_nil(got.headers["x-gone"])
  end)

  t.it("takes the older map of headers to set", function()
    local got = seen("/map", { ["X-Old"] = "theirs" })
    t.equal(got.headers["x-old"], "form")
    t.equal(got.headers["x-number"], "7")
  end)

  t.it("checks its configuration", function()
    local function check(conf)
      local ok, err = gateway:check({ routes = { route("x", "/x", conf) } })
      t.is_true(not ok)
      return err
    end
    t.matches(check({ regex_uri = { "a", "b", "c" } }), "The length of regex_uri should be an even number")
    t.matches(check({ regex_uri = { "(", "b" } }), "invalid regex_uri%(%(, b%): ")
    t.matches(check({ headers = { set = { ["X Y"] = "1" } } }), "invalid field character in header")
    t.matches(check({ headers = { ["X-Y"] = "a\r\nb" } }), "invalid value character in header")
    t.matches(check({ uri = "relative" }), "failed to match pattern")
    t.matches(check({ host = "a b" }), "failed to match pattern")
  end)
end)
