-- SPDX-License-Identifier: Apache-2.0
local check = require("check")
local encoding = require("moongate.encoding")
local expr = require("resty.expr.v1")
local ipmatcher = require("resty.ipmatcher")
local json = require("apisix.core").json
local jwt = require("resty.jwt")
local runtime = require("fake_runtime")
local signed = require("signed_tokens")

local function eval(rules, vars)
  local compiled = assert(expr.new(rules))
  return compiled:eval(vars)
end

test("every operator decides", function()
  local vars = { n = "5", s = "abc", l = { "a", "b" }, ip = "10.1.2.3", zero = 0 }
  for _, case in ipairs({
    { { "n", "==", 5 }, true }, { { "n", "==", "5" }, true }, { { "s", "==", 5 }, false }, { { "s", "~=", 5 }, true },
    { { "none", "==", json.null }, true }, { { "s", "~=", json.null }, true }, { { "none", "~=", "x" }, true },
    { { "n", ">", 4 }, true }, { { "n", ">=", 6 }, false }, { { "n", "<", "6" }, true }, { { "n", "<=", 5 }, true },
    { { "s", ">", 1 }, false }, { { "s", "~~", "^a" }, true }, { { "s", "~~", "^A" }, false }, { { "s", "~*", "^A" }, true },
    { { "none", "~~", ".*" }, false }, { { "s", "IN", { "x", "abc" } }, true }, { { "s", "in", {} }, false },
    { { "l", "has", "b" }, true }, { { "s", "has", "b" }, false }, { { "ip", "ipmatch", { "10.0.0.0/8" } }, true },
    { { "ip", "ipmatch", "11.0.0.1" }, false }, { { "s", "!", "==", "abc" }, false }, { { "s", "!", "~~", "x" }, true },
    { { "s", "abc" }, true },
  }) do
    local got = eval({ case[1] }, vars)
    if got ~= case[2] then
      error("wrong for " .. json.encode(case[1]))
    end
  end
end)

test("expressions nest", function()
  local rules = { "or", { "a", "==", "1" }, { "!AND", { "b", "==", "2" }, { "c", "==", "3" } } }
  check.equal(eval(rules, { a = "1", b = "2", c = "3" }), true)
  check.equal(eval(rules, { a = "0", b = "2", c = "3" }), false)
  check.equal(eval(rules, { a = "0", b = "2", c = "4" }), true)
  check.equal(eval({ "!OR", { "a", "1" }, { "b", "2" } }, {}), true)
  check.equal(eval({ { "a", "1" }, { "b", "2" } }, { a = "1" }), false)
  check.equal(eval({}, {}), true)
end)

test("wrong expressions are refused", function()
  for _, case in ipairs({
    { { "a", "==", 1 }, "rule should be wrapped inside brackets" },
    { "x", "rule should be wrapped inside brackets" },
    { { { "a" } }, "rule too short" },
    { { "OR", { "a", "1" } }, "rule too short" },
    { { { "a", "!", "==" } }, "bad 'not' expression" },
    { { { "a", "=", 1 } }, "invalid operator '='" },
    { { { "a", "==", "1" }, "x" }, "invalid expression" },
  }) do
    local compiled, err = expr.new(case[1])
    check.equal(compiled, nil)
    check.equal(err, case[2])
  end
  check.equal(expr.new({ { "a", "~~", "(" } }), nil)
  check.equal(expr.new({ { "a", "ipmatch", { "300.0.0.1" } } }), nil)
end)

test("addresses and networks match", function()
  local matcher = assert(ipmatcher.new({ "127.0.0.1", "10.0.0.0/8", "fe80::/32", "::1" }))
  check.equal(matcher:match("127.0.0.1"), true)
  check.equal(matcher:match("10.200.0.1"), true)
  check.equal(matcher:match("11.0.0.1"), false)
  check.equal(matcher:match("0:0::1"), true)
  check.equal(matcher:match("fe80::8"), true)
  check.equal(select(2, matcher:match("nonsense")), "invalid ip address: nonsense")
  local _, err = ipmatcher.new({ "1.2.3.4/33" })
  check.equal(err, "invalid ip address: 1.2.3.4/33")
  check.equal(assert(ipmatcher.new_with_value({ ["10.0.0.0/8"] = "in" })):match("10.0.0.1"), "in")
end)

local function verified(token, key, spec)
  local result = jwt:verify(key, token, spec)
  return result.verified, result.reason
end

test("tokens signed with every kind of key are accepted", function()
  for algorithm, key in pairs({
    RS256 = "rsa", RS512 = "rsa", PS256 = "rsa", ES256 = "p256", ES384 = "p384", ES512 = "p521",
  }) do
    local ok, reason = verified(signed.tokens[algorithm], signed.keys[key])
    if not ok then
      error(algorithm .. ": " .. tostring(reason))
    end
  end
  check.equal(verified(signed.tokens.ES256, signed.keys.certificate), true)
end)

test("an EdDSA token is accepted, and where the TLS library has no EdDSA the reason says so", function()
  local ok, reason = verified(signed.tokens.EdDSA, signed.keys.ed)
  if not ok then
    check.equal(reason, "EdDSA is not in this build, which uses mbedTLS; use another algorithm or the build with OpenSSL")
  end
end)

test("other keys, other algorithms and changed tokens are refused", function()
  local tokens, keys = signed.tokens, signed.keys
  check.equal(verified(tokens.RS256, keys.p256), false)
  check.equal(verified(tokens.ES256, keys.p384), false)
  check.equal(verified(tokens.ES256, keys.rsa), false)
  check.equal(verified(tokens.EdDSA, keys.p256), false)
  check.equal(select(2, verified(tokens.RS256_short_key, keys.rsa1024)), "the RSA key is shorter than 2048 bits")
  check.equal(select(2, verified(tokens.RS256, "no key")), "the key is no public key or certificate in PEM form")
  local head, _, signature = tokens.RS256:match("^(.-)%.(.-)%.(.*)$")
  local payload = encoding.encode_base64url('{"sub":"you"}')
  check.equal(verified(head .. "." .. payload .. "." .. signature, keys.rsa), false)
  check.equal(verified(tokens.ES256:sub(1, -5), keys.p256), false)
end)

test("a public key is no shared secret and none is no algorithm", function()
  local payload = encoding.encode_base64url('{"sub":"me"}')
  local forged = jwt:sign(signed.keys.rsa, { header = { alg = "HS256" }, payload = { sub = "me" } })
  check.equal(verified(forged, signed.keys.rsa), false)
  local none = encoding.encode_base64url('{"alg":"none"}') .. "." .. payload .. "."
  check.equal(verified(none, ""), false)
  check.equal(verified(jwt:sign("", { header = { alg = "HS256" }, payload = {} }), ""), false)
end)

test("shared secrets, times and claims are checked", function()
  local function token(claims)
    return jwt:sign("secret", { header = { alg = "HS384", kid = "k" }, payload = claims })
  end
  check.equal(verified(token({ a = 1 }), "secret"), true)
  check.equal(verified(token({ a = 1 }), "other"), false)
  check.equal(verified(token({ a = 1 }), function(kid) return kid == "k" and "secret" end), true)
  check.equal(verified(token({ exp = runtime.now + 10 }), "secret"), true)
  check.equal(verified(token({ exp = runtime.now - 10 }), "secret"), false)
  check.equal(verified(token({ exp = runtime.now - 10 }), "secret", { lifetime_grace_period = 60 }), true)
  check.equal(verified(token({ nbf = runtime.now + 10 }), "secret"), false)
  check.equal(verified(token({ exp = "never" }), "secret"), false)
  check.equal(verified(token({ iss = "a" }), "secret", { iss = function(iss) return iss == "b" end }), false)
end)

test("texts that are no tokens have a reason", function()
  for _, text in ipairs({ "", "a.b", "a.b.c", "!!.!!.!!", ("x"):rep(20000) }) do
    local object = jwt:load_jwt(text)
    check.equal(object.valid, false)
    check.equal(type(object.reason), "string")
  end
  check.equal(jwt:load_jwt(nil).valid, false)
end)

test("hmac, string, uuid and random", function()
  local hmac = require("resty.hmac")
  check.equal(hmac:new("key", hmac.ALGOS.MD5):final("The quick brown fox jumps over the lazy dog", true), "80070713463e7749b90c2dc24911e275")
  check.equal(require("resty.string").to_hex("\1\255"), "01ff")
  local uuid = require("resty.jit-uuid")
  check.equal(uuid.is_valid(uuid()), true)
  check.equal(uuid.generate_v4():sub(15, 15), "4")
  check.equal(require("apisix.core").utils.generate_uuid_v7():sub(15, 15), "7")
  check.equal(#require("resty.random").bytes(16), 16)
end)

test("cookies are read and set", function()
  runtime.with_request({ headers = { { "Cookie", "a=1; b = x y ;c; d=" } } }, "access", function(_, request)
    local cookie = require("resty.cookie"):new()
    check.same(cookie:get_all(), { a = "1", b = "x y", d = "" })
    cookie:set({ key = "k", value = "v", path = "/", secure = true, httponly = true, max_age = 5, samesite = "Lax" })
    check.same(request.response_headers, { { "Set-Cookie", "k=v; Max-Age=5; Path=/; SameSite=Lax; Secure; HttpOnly" } })
  end)
  runtime.with_request({}, "access", function()
    check.equal(select(2, require("resty.cookie"):new():get("a")), "no cookie found in the current request")
  end)
end)

test("a table pool gives back empty tables", function()
  local pool = require("tablepool")
  local t = pool.fetch("x", 0, 4)
  t.a = 1
  pool.release("x", t)
  local again = pool.fetch("x", 0, 4)
  check.equal(again, t)
  check.equal(next(again), nil)
end)
