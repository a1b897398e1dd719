-- SPDX-License-Identifier: Apache-2.0
-- What redirect promises, against the running gateway.
local t = require("moongate.test")

t.describe("redirect", function()
  local upstream = t.echo()
  local function route(id, uri, conf)
    return { id = id, uri = uri, plugins = { redirect = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    plugin_attr = { redirect = { https_port = 8443 } },
    routes = {
      route("plain", "/plain", { uri = "/new$uri", ret_code = 301 }),
      route("braces", "/braces", { uri = "/a/${arg_x}b/\\$uri/c" }),
      route("query", "/query", { uri = "/new?x=1", append_query_string = true }),
      route("encode", "/encode/*", { uri = "$uri", encode_uri = true, append_query_string = true }),
      route("regex", "/old/*", { regex_uri = { "^/old/(\\d+)$", "/item/$1" } }),
      route("open", "/open*", { regex_uri = { "^/open(.*)", "/$1" } }),
      route("tls", "/tls/*", { http_to_https = true }),
    },
  })

  t.it("sends the client to the URI made from the template", function()
    local res = gateway:request({ path = "/plain" })
    t.equal(res.status, 301)
    t.equal(res.headers["Location"], "/new/plain")
  end)

  t.it("knows braces and an escaped dollar sign, and answers 302 unless told", function()
    local res = gateway:request({ path = "/braces?x=7" })
    t.equal(res.status, 302)
    t.equal(res.headers["Location"], "/a/7b/$uri/c")
  end)

  t.it("sends to https whoever only says to have come by it", function()
    local res = gateway:request({ path = "/tls/a", headers = { ["X-Forwarded-Proto"] = "https", Host = "a.example" } })
    t.equal(res.status, 301)
    t.equal(res.headers["Location"], "https://a.example:8443/tls/a")
  end)

  t.it("appends the query", function()
    t.equal(gateway:request({ path = "/query?a=1" }).headers["Location"], "/new?x=1&a=1")
    t.equal(gateway:request({ path = "/query" }).headers["Location"], "/new?x=1")
    t.equal(gateway:request({ path = "/encode/a?a=1" }).headers["Location"], "/encode/a?a=1")
  end)

  t.it("encodes the path when asked", function()
    t.equal(gateway:request({ path = "/encode/a%20b" }).headers["Location"], "/encode/a%20b")
  end)

  t.it("uses the pattern when it matches and else stays away", function()
    local res = gateway:request({ path = "/old/12" })
    t.equal(res.status, 302)
    t.equal(res.headers["Location"], "/item/12")
    t.equal(gateway:request({ path = "/old/x" }).status, 200)
  end)

  t.it("does not send a client to a host that the client chose", function()
    t.equal(gateway:request({ path = "/open/evil.example" }).headers["Location"], "/evil.example")
  end)

  t.it("sends to HTTPS: 301 for GET and HEAD, 308 for the rest", function()
    local headers = { Host = "a.example" }
    local res = gateway:request({ path = "/tls/x?a=1", headers = headers })
    t.equal(res.status, 301)
    t.equal(res.headers["Location"], "https://a.example:8443/tls/x?a=1")
    t.equal(gateway:request({ method = "HEAD", path = "/tls/x", headers = headers }).status, 301)
    t.equal(gateway:request({ method = "POST", path = "/tls/x", headers = headers, body = "" }).status, 308)
  end)

  t.it("checks its configuration", function()
    t.is_true(not gateway:check({ routes = { route("x", "/x", {}) } }))
    t.is_true(not gateway:check({ routes = { route("x", "/x", { uri = "/a", http_to_https = true }) } }))
    local ok, err = gateway:check({
      routes = { route("x", "/x", { http_to_https = true, append_query_string = true }) },
    })
    t.is_true(not ok)
    t.matches(err, "only one of `http_to_https` and `append_query_string` can be configured%.")
  end)
end)
