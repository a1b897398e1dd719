-- SPDX-License-Identifier: Apache-2.0
-- What gzip, brotli and zstd promise together: which answers are coded, and which coding a client gets.
local t = require("moongate.test")

t.describe("gzip, brotli and zstd", function()
  local upstream = t.echo()
  local function route(id, plugins)
    return { id = id, uri = "/" .. id, plugins = plugins, upstream = { nodes = { [upstream] = 1 } } }
  end
  local any = { types = "*" }
  local gateway = t.gateway({
    routes = {
      route("html", { gzip = {} }),
      route("json", { gzip = { types = { "application/json" }, min_length = 1000 } }),
      route("all", { gzip = any, brotli = any, zstd = any }),
      route("own", { gzip = any, mocking = { response_example = ("text "):rep(100) } }),
      route("unvaried", { gzip = { types = "*", vary = false } }),
      route("old", { gzip = { types = "*", http_version = 1.0 } }),
    },
  })

  local function coding(path, accepted, more)
    local res = gateway:request({ path = path, headers = { ["Accept-Encoding"] = accepted } })
    for name, value in pairs(more or {}) do
      t.equal(res.headers[name], value)
    end
    return res.headers["Content-Encoding"]
  end

  t.it("codes only the types it is told to", function()
    t.is_nil(coding("/html?size=2000", "gzip"))
    t.equal(coding("/html?size=2000&header=Content-Type:text/html;charset%3Dutf-8", "gzip"), "gzip")
    t.equal(coding("/html?size=2000&header=Content-Type:Text/HTML", "gzip"), "gzip")
  end)

  t.it("leaves short answers alone", function()
    t.is_nil(coding("/json?size=999&header=Content-Type:application/json", "gzip"))
    t.equal(coding("/json?size=1000&header=Content-Type:application/json", "gzip"), "gzip")
  end)

  t.it("lets the client's weights decide, then what makes bodies smaller", function()
    t.equal(coding("/all?size=2000", "gzip"), "gzip")
    t.equal(coding("/all?size=2000", "gzip, br, zstd"), "br")
    t.equal(coding("/all?size=2000", "gzip, zstd"), "zstd")
    t.equal(coding("/all?size=2000", "gzip;q=0.9, br;q=0.5, zstd; q=0.7"), "gzip")
    t.equal(coding("/all?size=2000", "*"), "br")
    t.equal(coding("/all?size=2000", "br;q=0, *;q=0.1"), "zstd")
    t.equal(coding("/all?size=2000", "X-GZIP"), "gzip")
  end)

  t.it("codes nothing for a client that does not want it", function()
    for _, accepted in ipairs({ "", "identity", "gzip;q=0", "gzip;q=0.0, *;q=0", "gzip;q=0.2, identity", "gzip;q=abc", "deflate" }) do
      t.is_nil(coding("/all?size=2000", accepted), accepted)
    end
    t.is_nil(gateway:request({ path = "/all?size=2000" }).headers["Content-Encoding"])
  end)

  t.it("tells caches that there are two forms, whichever is sent, once", function()
    local json = "/json?size=2000&header=Content-Type:application/json"
    coding(json, "gzip", { Vary = "Accept-Encoding" })
    coding(json, "identity", { Vary = "Accept-Encoding" })
    coding(json .. "&header=Vary:Origin", "gzip", { Vary = "Origin, Accept-Encoding" })
    coding(json .. "&header=Vary:accept-encoding", "gzip", { Vary = "accept-encoding" })
    coding(json .. "&header=Vary:*", "gzip", { Vary = "*" })
    coding("/all?size=2000", "gzip, br", { Vary = "Accept-Encoding" })
  end)

  t.it("says nothing of forms where there is one, or where it is told to", function()
    coding("/json?size=2000&header=Content-Type:image/png", "gzip")
    t.is_nil(gateway.last_response.headers["Vary"])
    t.equal(coding("/unvaried?size=2000", "gzip"), "gzip")
    t.is_nil(gateway.last_response.headers["Vary"])
  end)

  t.it("takes off what told of the body as it was", function()
    local path = "/all?size=2000&header=ETag:%22a%22&header=Accept-Ranges:bytes&header=Content-MD5:x&header=Digest:y"
    t.equal(coding(path, "gzip", { ETag = 'W/"a"' }), "gzip")
    local headers = gateway.last_response.headers
    t.is_nil(headers["Accept-Ranges"])
    t.is_nil(headers["Content-MD5"])
    t.is_nil(headers["Digest"])
    coding("/all?size=2000&header=ETag:W/%22a%22", "gzip", { ETag = 'W/"a"' })
  end)

  t.it("leaves answers alone that are coded, partial or not to be transformed", function()
    for _, more in ipairs({ "header=Content-Encoding:br", "header=Cache-Control:public,%20no-transform", "status=206", "status=304" }) do
      local res = gateway:request({ path = "/all?size=2000&" .. more, headers = { ["Accept-Encoding"] = "gzip" } })
      t.is_true(res.headers["Content-Encoding"] ~= "gzip", more)
    end
    local res = gateway:request({ method = "HEAD", path = "/all?size=2000", headers = { ["Accept-Encoding"] = "gzip" } })
    t.is_nil(res.headers["Content-Encoding"])
    t.equal(res.headers["Content-Length"], "2000")
  end)

  t.it("codes answers that plugins make", function()
    t.equal(coding("/own", "gzip"), "gzip")
    t.is_true(#gateway.last_response.body < 200)
  end)
end)
