-- SPDX-License-Identifier: Apache-2.0
-- What jwt-auth promises, against the running gateway. The keys below were made for this file and are used nowhere else;
-- their tokens expire in 2100.
local t = require("moongate.test")
local native = require("moongate.native")

local has_eddsa = native.C.mg_signature_is_available("EdDSA") == 1

local signed = {
  { name = "rs", algorithm = "RS256",
    token = "eyJhbGciOiAiUlMyNTYiLCAidHlwIjogIkpXVCJ9.eyJrZXkiOiAicnMiLCAiZXhwIjogNDEwMjQ0NDgwMH0.ACAyiaGJkYPEBvm"
      .. "Qz0WOcPsy6BjIrUSUkvzuNA0h49xRDMo-y6XG6NlmI3ZKPLacZA116QmQ45T62ZxRnCWp3hjOgf7HabICWDSq8RlQKSb33u73e44"
      .. "p8awiC_ytTEHCJ0EM5FS4PJHXYmp_vHHxw9zprVdRv5nQ62UscXMXHjP2dLQKRExbkwVTJxBazX6V9sHsZExFJFitgjNcp8HYSId"
      .. "Be8_BIAeGgZeWyo72oKc3HfwVqfk9QYSUFjPg9MdfN4HnX6ktjvHxfKkTACIaPFA_wtdqSa_MIjGn1iF5YDJ6wbpEixLriKrzuaa"
      .. "4fdV8XXXdvwXGrPRaDOVDhCmrFQ",
    public_key = [[
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqThs9R7h3ozcj7uW3JOf
sv5PJ5DQ5Sn9wX8MkDhtFegtXLJYP7FrXNoa1zXpnNFsd1+mBYfCHeaWHsZTP/Y4
X9ySSUawKmRrfQbGWbjaTy1bEqc2EhGVenrNVNTcEJoux/t5tcsvBOC8fb/Y5gpT
GbtJl2VpnmbBmpegmXQ0NP8SCuhQYQw+0ovdNEmgU/3JtlJyuaVZMDBNkCLaO4hC
QVZCwSkQMk17L1cM5kbL6AdxHae4DbdmpkoN22CRVrmuK7pOCXUyM/TPBqurFznJ
gJQ/vEtS9oDRgAZINut2KQeaIOuwMcFhZGGZoMmTkVLQXga7OLpjBEc08t4jRTmG
VQIDAQAB
-----END PUBLIC KEY-----
]] },
  { name = "ps", algorithm = "PS256",
    token = "eyJhbGciOiAiUFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJrZXkiOiAicHMiLCAiZXhwIjogNDEwMjQ0NDgwMH0.TXPNrrbV-QbGWyT"
      .. "RnvVGpzgrClM5KZ3NdcdBdMvNoCYzW6lxU7TxKwqnR6JHwRs_fiwVRG3Uik90xw8dZg0t6YndSBccxpJ5fNWh1LKxuMZkokvhX2Z"
      .. "G1lI3dn70nddS4iC_--HkbK83-Hsix1QrVP_RcbPxvhLqPhruSz4i_4MYPQTBwhlNhfOLoRFvRyPKdX3tSJTMSRCrxGnM3Xclb9P"
      .. "Q4qZj8c0rnxoOM-6zUkZEAw1W5RzMcqfIyr4NUxvNDsDsYl_iloMWvfpTgh5shfdoZrwAA0zTE-codWxgvuc3FZP51oOivGQg2Af"
      .. "Ed5tV1dIZtxvBVhHtG3R4HpH6Dg",
    public_key = [[
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAx0oWR8IMDSneYXGcJEIH
mCPamf6cyQS/sbc0G/mGdzW9MUnKqlioYMhcFmTW/ZXSs5RWcxMeQkbkl5uPEZLy
S22ZtC8gUrnuI532Xx/9U8iiqV0l3SazzL/i+MaJvLR9/KGN2RCDqKtAPWYCw82S
/wDdL6RB/1gOtt6aLUpFgv8msxNqk7aaVGFzIYMqI0e3dueeds78/o/BlPMvn3Jg
cl/W3IDELO5+4DeBTFnlmza9l7gsDyLld/FvGw+V8cxlp6mQH3bzWU4aipCXcZOg
9nOS8grT5tOTvRWNMbQVNOpJZfY2M4GmyIjFh19K0Xb6AQmgpCiDW6sor4FiHxqg
SQIDAQAB
-----END PUBLIC KEY-----
]] },
  { name = "es", algorithm = "ES256",
    token = "eyJhbGciOiAiRVMyNTYiLCAidHlwIjogIkpXVCJ9.eyJrZXkiOiAiZXMiLCAiZXhwIjogNDEwMjQ0NDgwMH0.Dr02dql8BTxWfMq"
      .. "uU8J3UkccERgzIpfZCT0A9-JcEe5FrQ2tGkfqClIXrC6R4ASIf4IwxpBMwK5Byuq977xBEg",
    public_key = [[
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc1YuoK7R7x/nlYEcU6FtkaKbfJGG
00RLcjD9glWGrqB1HRXXmzAJHeEVIQ2bhVSmxPHX+Ej5MoxtG9+MgN/kZA==
-----END PUBLIC KEY-----
]] },
}

local by_eddsa = {
  name = "ed",
  algorithm = "EdDSA",
  token = "eyJhbGciOiAiRWREU0EiLCAidHlwIjogIkpXVCJ9.eyJrZXkiOiAiZWQiLCAiZXhwIjogNDEwMjQ0NDgwMH0.N70Ijt2HD5arScD"
    .. "R425o3W7wiNZsx_rh0IB-wLKo89u32piynBIUbyIICR_RG6sVH-_upXjrW0hugdzA10Y0Bg",
  public_key = [[
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAXNWaAOnUEqmERYWXee/D9LRwYtGjr2eZ8De/l4VWAWU=
-----END PUBLIC KEY-----
]],
}
if has_eddsa then
  signed[#signed + 1] = by_eddsa
end

local far = 4102444800
local secret = "a-secret-of-the-test"

local function jwt(claims, header, key)
  return t.jwt(header or { alg = "HS256", typ = "JWT" }, claims, key or secret)
end

local consumers = {
  { username = "hs", plugins = { ["jwt-auth"] = { key = "hs", secret = secret } } },
  {
    username = "late",
    plugins = { ["jwt-auth"] = { key = "late", secret = secret, lifetime_grace_period = 60 } },
  },
  {
    username = "coded",
    plugins = { ["jwt-auth"] = { key = "coded", secret = "YS1zZWNyZXQtb2YtdGhlLXRlc3Q=", base64_secret = true } },
  },
  { username = "guest" },
}
for _, item in ipairs(signed) do
  consumers[#consumers + 1] = {
    username = item.name,
    plugins = { ["jwt-auth"] = { key = item.name, algorithm = item.algorithm, public_key = item.public_key } },
  }
end

local function route(id, uri, conf, upstream)
  return { id = id, uri = uri, plugins = { ["jwt-auth"] = conf }, upstream = { nodes = { [upstream] = 1 } } }
end

t.describe("jwt-auth", function()
  local upstream = t.echo()
  local gateway = t.gateway({
    routes = {
      route("plain", "/hello", {}, upstream),
      -- An unknown field is what older configurations have here.
      route("named", "/named", { key = "x", header = "X-Token", query = "token", cookie = "jwt_token" }, upstream),
      route("hidden", "/hidden", { hide_credentials = true }, upstream),
      route("strict", "/strict", { claims_to_verify = { "exp", "nbf" }, realm = "inner" }, upstream),
      route("claim", "/claim", { key_claim_name = "iss" }, upstream),
      route("open", "/open", { anonymous_consumer = "guest" }, upstream),
      route("lost", "/lost", { anonymous_consumer = "nobody" }, upstream),
    },
    consumers = consumers,
  })

  local function ask(path, token)
    return gateway:request({ path = path, headers = { Authorization = token and "Bearer " .. token } })
  end

  local function refuses(res, message)
    t.equal(res.status, 401)
    t.same(res.json(), { message = message })
  end

  t.it("refuses a request without a token", function()
    local res = ask("/hello", nil)
    refuses(res, "Missing JWT token in request")
    t.equal(res.headers["WWW-Authenticate"], 'Bearer realm="jwt"')
    t.equal(ask("/strict", nil).headers["WWW-Authenticate"], 'Bearer realm="inner"')
  end)

  t.it("lets a token in that the consumer's secret signed", function()
    local res = ask("/hello", jwt({ key = "hs", exp = far }))
    t.equal(res.status, 200)
    t.equal(res.json().headers["x-consumer-username"], "hs")
  end)

  t.it("takes the token without a scheme and with a small one too", function()
    local token = jwt({ key = "hs" })
    t.equal(gateway:request({ path = "/hello", headers = { Authorization = token } }).status, 200)
    t.equal(gateway:request({ path = "/hello", headers = { Authorization = "bearer " .. token } }).status, 200)
  end)

  t.it("finds the token in the query and in a cookie, in this order", function()
    local token = jwt({ key = "hs" })
    t.equal(gateway:request({ path = "/hello?jwt=" .. token }).status, 200)
    t.equal(gateway:request({ path = "/hello", headers = { Cookie = "a=1; jwt=" .. token } }).status, 200)
    refuses(gateway:request({ path = "/hello?jwt=x", headers = { Cookie = "jwt=" .. token } }), "JWT token invalid")
  end)

  t.it("looks where the conf says and accepts its unknown fields", function()
    local token = jwt({ key = "hs" })
    t.equal(gateway:request({ path = "/named", headers = { ["X-Token"] = token } }).status, 200)
    t.equal(gateway:request({ path = "/named?token=" .. token }).status, 200)
    t.equal(gateway:request({ path = "/named", headers = { Cookie = "jwt_token=" .. token } }).status, 200)
    refuses(ask("/named", token), "Missing JWT token in request")
  end)

  for _, item in ipairs(signed) do
    t.it("verifies " .. item.algorithm .. " with the public key", function()
      local res = ask("/hello", item.token)
      t.equal(res.status, 200)
      t.equal(res.json().headers["x-consumer-username"], item.name)
    end)

    t.it("refuses a changed " .. item.algorithm .. " signature", function()
      local last = item.token:sub(-20, -20) == "A" and "B" or "A"
      refuses(ask("/hello", item.token:sub(1, -21) .. last .. item.token:sub(-19)), "failed to verify jwt")
    end)

    t.it("refuses an HMAC made with the public key of an " .. item.algorithm .. " consumer", function()
      refuses(ask("/hello", jwt({ key = item.name }, nil, item.public_key)), "failed to verify jwt")
      local header = { alg = item.algorithm, typ = "JWT" }
      refuses(ask("/hello", jwt({ key = item.name }, header, item.public_key)), "failed to verify jwt")
    end)
  end

  t.it("refuses another secret, another algorithm and none", function()
    refuses(ask("/hello", jwt({ key = "hs" }, nil, "other")), "failed to verify jwt")
    refuses(ask("/hello", jwt({ key = "hs" }, { alg = "HS384" })), "failed to verify jwt")
    refuses(ask("/hello", jwt({ key = "hs" }, { alg = "none" })), "failed to verify jwt")
    refuses(ask("/hello", (jwt({ key = "hs" }, { alg = "none" }):gsub("[^.]*$", ""))), "failed to verify jwt")
    refuses(ask("/hello", (jwt({ key = "hs" }):gsub("[^.]*$", ""))), "failed to verify jwt")
  end)

  t.it("refuses what is no token", function()
    local token = jwt({ key = "hs" })
    for _, bad in ipairs({
      "x", "a.b", "a.b.c", token .. ".x", "W10.W10.AA", "." .. token, ("A"):rep(17000),
      jwt({ key = "hs" }, { alg = "HS256", crit = { "x" } }),
    }) do
      refuses(ask("/hello", bad), "JWT token invalid")
    end
  end)

  t.it("refuses a token that names no consumer, or none that is known", function()
    refuses(ask("/hello", jwt({ sub = "hs" })), "missing user key in JWT token")
    refuses(ask("/hello", jwt({ key = 7 })), "missing user key in JWT token")
    refuses(ask("/hello", jwt({ key = "nobody" })), "Invalid user key in JWT token")
  end)

  t.it("checks exp and nbf when they are there", function()
    t.equal(ask("/hello", jwt({ key = "hs", exp = far, nbf = 1 })).status, 200)
    refuses(ask("/hello", jwt({ key = "hs", exp = 1 })), "failed to verify jwt")
    refuses(ask("/hello", jwt({ key = "hs", nbf = far })), "failed to verify jwt")
    refuses(ask("/hello", jwt({ key = "hs", exp = "tomorrow" })), "failed to verify jwt")
  end)

  t.it("wants the claims that are listed", function()
    t.equal(ask("/strict", jwt({ key = "hs", exp = far, nbf = 1 })).status, 200)
    refuses(ask("/strict", jwt({ key = "hs", exp = far })), "failed to verify jwt")
    refuses(ask("/strict", jwt({ key = "hs", nbf = 1 })), "failed to verify jwt")
  end)

  t.it("gives a consumer its grace period and no more", function()
    local now = os.time()
    t.equal(ask("/hello", jwt({ key = "late", exp = now - 20 })).status, 200)
    refuses(ask("/hello", jwt({ key = "hs", exp = now - 20 })), "failed to verify jwt")
    gateway:advance(120)
    refuses(ask("/hello", jwt({ key = "late", exp = now - 20 })), "failed to verify jwt")
  end)

  t.it("refuses a token whose time is over, however often it was good before", function()
    local token = jwt({ key = "hs", exp = os.time() + gateway.offset_s + 30 })
    for _ = 1, 20 do
      t.equal(ask("/hello", token).status, 200)
    end
    gateway:advance(31)
    for _ = 1, 20 do
      refuses(ask("/hello", token), "failed to verify jwt")
    end
  end)

  t.it("decodes a secret that is given in base64", function()
    t.equal(ask("/hello", jwt({ key = "coded" })).status, 200)
  end)

  t.it("finds the consumer by the configured claim", function()
    t.equal(ask("/claim", jwt({ iss = "hs" })).json().headers["x-consumer-username"], "hs")
    refuses(ask("/claim", jwt({ key = "hs" })), "missing user key in JWT token")
  end)

  t.it("hides the token from the upstream when asked", function()
    local token = jwt({ key = "hs" })
    t.is_nil(ask("/hidden", token).json().headers["authorization"])
    t.same(gateway:request({ path = "/hidden?a=1&jwt=" .. token }).json().args, { a = "1" })
    local seen = gateway:request({ path = "/hidden", headers = { Cookie = "a=1; jwt=" .. token .. "; b=2" } }).json()
    t.equal(seen.headers["cookie"], "a=1; b=2")
    local before = os.clock() -- white space takes work in proportion to its size
    local spaces = (" "):rep(3000)
    seen = gateway:request({ path = "/hidden", headers = { Cookie = "a" .. spaces .. "b; jwt =" .. token .. ";" .. spaces .. "c = 2" } }).json()
    t.equal(seen.headers["cookie"], "a" .. spaces .. "b; c = 2")
    t.equal(os.clock() - before < 2, true)
  end)

  t.it("lets an anonymous consumer in, if there is one", function()
    t.equal(ask("/open", "x").json().headers["x-consumer-username"], "guest")
    refuses(ask("/lost", nil), "Invalid user authorization")
  end)

  t.it("checks the consumer's keys at configuration time", function()
    local function check(conf)
      conf.key = "k"
      local ok, err = gateway:check({ consumers = { { username = "x", plugins = { ["jwt-auth"] = conf } } } })
      t.is_true(not ok)
      return err
    end
    t.matches(check({}), 'property "secret" is required when using HS based algorithms')
    t.matches(check({ secret = "!", base64_secret = true }), "the secret is not in base64 format")
    t.matches(check({ algorithm = "RS256" }), "missing valid public key")
    t.matches(check({ secret = signed[1].public_key }), "must not be a key in PEM format")
    t.matches(check({ algorithm = "none", secret = "s" }), "matches none of the enum values")
  end)

  if not has_eddsa then
    t.it("refuses an algorithm that is not in this build", function()
      local conf = { key = "k", algorithm = "EdDSA", public_key = by_eddsa.public_key }
      local ok, err = gateway:check({ consumers = { { username = "x", plugins = { ["jwt-auth"] = conf } } } })
      t.is_true(not ok)
      t.matches(err, 'property "algorithm" is "EdDSA", which is not in this build')
    end)
  end
end)
