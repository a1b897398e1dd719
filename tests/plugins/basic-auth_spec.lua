-- SPDX-License-Identifier: Apache-2.0
-- What basic-auth promises, against the running gateway.
local t = require("moongate.test")

local function route(id, uri, conf, upstream)
  return { id = id, uri = uri, plugins = { ["basic-auth"] = conf }, upstream = { nodes = { [upstream] = 1 } } }
end

local credentials = {
  right = "Basic YW5uOnNlY3JldA==",           -- ann:secret
  wrong = "Basic YW5uOndyb25n",               -- ann:wrong
  unknown = "Basic Ym9iOnNlY3JldA==",         -- bob:secret
  blanks = "Basic IGFubiA6IHNlYyByZXQg",      -- " ann : sec ret "
  second_colon = "Basic YW5uOnNlY3JldDpyZXN0", -- ann:secret:rest
  no_colon = "Basic YW5u",                    -- ann
  no_password = "Basic YW5uOg==",             -- ann:
}

t.describe("basic-auth", function()
  local upstream = t.echo()
  local gateway = t.gateway({
    routes = {
      route("plain", "/hello", {}, upstream),
      route("hidden", "/hidden", { hide_credentials = true, realm = "inner" }, upstream),
      route("open", "/open", { anonymous_consumer = "guest" }, upstream),
      route("lost", "/lost", { anonymous_consumer = "nobody" }, upstream),
    },
    consumers = {
      { username = "ann", plugins = { ["basic-auth"] = { username = "ann", password = "secret" } } },
      { username = "guest" },
    },
  })

  local function ask(path, authorization)
    return gateway:request({ path = path, headers = { Authorization = authorization } })
  end

  t.it("refuses a request without credentials", function()
    local res = ask("/hello", nil)
    t.equal(res.status, 401)
    t.equal(res.headers["WWW-Authenticate"], 'Basic realm="basic"')
    t.same(res.json(), { message = "Missing authorization in request" })
  end)

  t.it("lets the right password in", function()
    local res = ask("/hello", credentials.right)
    t.equal(res.status, 200)
    t.equal(res.json().headers["x-consumer-username"], "ann")
  end)

  t.it("does not care how the scheme is capitalised", function()
    t.equal(ask("/hello", "bAsIc YW5uOnNlY3JldA==").status, 200)
  end)

  t.it("refuses a wrong password and an unknown user with the same words", function()
    for _, header in ipairs({ credentials.wrong, credentials.unknown }) do
      local res = ask("/hello", header)
      t.equal(res.status, 401)
      t.same(res.json(), { message = "Invalid user authorization" })
    end
  end)

  t.it("refuses what it cannot decode", function()
    for _, header in ipairs({
      "Basic !!!", "Bearer YW5uOnNlY3JldA==", "Basic", credentials.no_colon, credentials.no_password,
      "Basic " .. ("A"):rep(9000),
    }) do
      local res = ask("/hello", header)
      t.equal(res.status, 401)
      t.same(res.json(), { message = "Invalid authorization in request" })
    end
  end)

  t.it("ignores white space in user name and password", function()
    t.equal(ask("/hello", credentials.blanks).status, 200)
  end)

  t.it("ends a password at a second colon", function()
    t.equal(ask("/hello", credentials.second_colon).status, 200)
  end)

  t.it("hides the credentials from the upstream when asked, and names its realm", function()
    t.is_nil(ask("/hidden", credentials.right).json().headers["authorization"])
    t.equal(ask("/hello", credentials.right).json().headers["authorization"], credentials.right)
    t.equal(ask("/hidden", nil).headers["WWW-Authenticate"], 'Basic realm="inner"')
  end)

  t.it("lets an anonymous consumer in, if there is one", function()
    t.equal(ask("/open", credentials.wrong).json().headers["x-consumer-username"], "guest")
    local res = ask("/lost", nil)
    t.equal(res.status, 401)
    t.same(res.json(), { message = "Invalid user authorization" })
  end)

  t.it("refuses a consumer without a password at configuration time", function()
    local ok, err = gateway:check({
      consumers = { { username = "ann", plugins = { ["basic-auth"] = { username = "ann" } } } },
    })
    t.is_true(not ok)
    t.matches(err, 'property "password" is required')
  end)
end)
