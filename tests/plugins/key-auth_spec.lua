-- SPDX-License-Identifier: Apache-2.0
-- What key-auth promises, against the running gateway.
local t = require("moongate.test")

local consumers = {
  { username = "jack", labels = { custom_id = "c-7" }, plugins = { ["key-auth"] = { key = "jack-key" } } },
  { username = "guest" },
}

local function route(id, uri, conf, upstream)
  return { id = id, uri = uri, plugins = { ["key-auth"] = conf }, upstream = { nodes = { [upstream] = 1 } } }
end

t.describe("key-auth", function()
  local upstream = t.echo()
  local gateway = t.gateway({
    routes = {
      route("plain", "/hello", {}, upstream),
      route("hidden", "/hidden", { hide_credentials = true }, upstream),
      route("named", "/named", { header = "X-Key", query = "k", realm = "inner" }, upstream),
      route("open", "/open", { anonymous_consumer = "guest", hide_credentials = true }, upstream),
      route("lost", "/lost", { anonymous_consumer = "nobody" }, upstream),
    },
    consumers = consumers,
  })

  t.it("refuses a request without a key", function()
    local res = gateway:request({ method = "GET", path = "/hello" })
    t.equal(res.status, 401)
    t.equal(res.headers["WWW-Authenticate"], 'apikey realm="key"')
    t.same(res.json(), { message = "Missing API key in request" })
  end)

  t.it("refuses a key that nobody has", function()
    local res = gateway:request({ path = "/hello", headers = { apikey = "other" } })
    t.equal(res.status, 401)
    t.equal(res.headers["WWW-Authenticate"], 'apikey realm="key"')
    t.same(res.json(), { message = "Invalid API key in request" })
  end)

  t.it("takes the key from the header and tells the upstream who calls", function()
    local res = gateway:request({ path = "/hello", headers = { apikey = "jack-key" } })
    t.equal(res.status, 200)
    t.equal(res.json().headers["x-consumer-username"], "jack")
    t.equal(res.json().headers["x-consumer-custom-id"], "c-7")
    t.equal(res.json().headers["apikey"], "jack-key")
  end)

  t.it("takes the key from the query when there is no header", function()
    t.equal(gateway:request({ path = "/hello?apikey=jack-key" }).status, 200)
  end)

  t.it("believes the header rather than the query", function()
    local res = gateway:request({ path = "/hello?apikey=jack-key", headers = { apikey = "other" } })
    t.equal(res.status, 401)
  end)

  t.it("takes an argument without a value for no key", function()
    t.same(gateway:request({ path = "/hello?apikey" }).json(), { message = "Missing API key in request" })
  end)

  t.it("uses the configured header, argument and realm", function()
    t.equal(gateway:request({ path = "/named", headers = { ["X-Key"] = "jack-key" } }).status, 200)
    t.equal(gateway:request({ path = "/named?k=jack-key" }).status, 200)
    local res = gateway:request({ path = "/named", headers = { apikey = "jack-key" } })
    t.equal(res.status, 401)
    t.equal(res.headers["WWW-Authenticate"], 'apikey realm="inner"')
  end)

  t.it("hides the header from the upstream when asked", function()
    local res = gateway:request({ path = "/hidden", headers = { apikey = "jack-key" } })
    t.equal(res.status, 200)
    t.is_nil(res.json().headers["apikey"])
  end)

  t.it("hides the argument and keeps the others", function()
    local seen = gateway:request({ path = "/hidden?a=1&apikey=jack-key&b=2" }).json()
    t.same(seen.args, { a = "1", b = "2" })
  end)

  t.it("lets an anonymous consumer in when the key is missing or wrong", function()
    t.equal(gateway:request({ path = "/open" }).json().headers["x-consumer-username"], "guest")
    local seen = gateway:request({ path = "/open", headers = { apikey = "other" } }).json()
    t.equal(seen.headers["x-consumer-username"], "guest")
    t.is_nil(seen.headers["apikey"])
  end)

  t.it("refuses when the anonymous consumer does not exist", function()
    local res = gateway:request({ path = "/lost" })
    t.equal(res.status, 401)
    t.same(res.json(), { message = "Invalid user authorization" })
  end)

  t.it("does not let a client forge the identity headers", function()
    local seen = gateway:request({
      path = "/hello",
      headers = {
        apikey = "jack-key", ["X-Consumer-Username"] = "root", ["X-Consumer-Custom-ID"] = "0",
        ["X-Credential-Identifier"] = "root", ["X_Consumer_Username"] = "root",
      },
    }).json()
    t.equal(seen.headers["x-consumer-username"], "jack")
    t.equal(seen.headers["x-consumer-custom-id"], "c-7")
    t.is_nil(seen.headers["x-credential-identifier"])
    t.is_nil(seen.headers["x_consumer_username"])
  end)

  t.it("refuses a consumer without a key at configuration time", function()
    local ok, err = gateway:check({ consumers = { { username = "jack", plugins = { ["key-auth"] = {} } } } })
    t.is_true(not ok)
    t.matches(err, 'property "key" is required')
  end)
end)
