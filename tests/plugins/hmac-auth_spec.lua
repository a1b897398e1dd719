-- SPDX-License-Identifier: Apache-2.0
-- What hmac-auth promises, against the running gateway.
local t = require("moongate.test")
local digest = require("moongate.ngx.digest")
local encoding = require("moongate.encoding")

local digests = { ["hmac-sha1"] = "sha1", ["hmac-sha256"] = "sha256", ["hmac-sha512"] = "sha512" }

local function date_in(seconds)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + seconds)
end

--- The headers of a signed request; `more` replaces what is signed and how.
local function sign(method, path, more)
  more = more or {}
  local headers = { Date = more.date or date_in(0) }
  for name, value in pairs(more.headers or {}) do
    headers[name] = value
  end
  local names = more.names or { "@request-target", "date" }
  local lines = { more.key_id or "ann-id" }
  local sent = {}
  for name, value in pairs(headers) do
    sent[name:lower()] = value
  end
  for _, name in ipairs(names) do
    if name:lower() == "@request-target" then
      lines[#lines + 1] = method .. " " .. path
    elseif sent[name:lower()] then
      lines[#lines + 1] = name .. ": " .. sent[name:lower()]
    end
  end
  local algorithm = more.algorithm or "hmac-sha256"
  local mac = digest.hmac(digests[algorithm] or "sha256", more.secret or "ann-secret", table.concat(lines, "\n") .. "\n")
  headers.Authorization = ('Signature keyId="%s",algorithm="%s",headers="%s",signature="%s"'):format(
    lines[1], algorithm, table.concat(names, " "), encoding.encode_base64(mac))
  return headers
end

t.describe("hmac-auth", function()
  local upstream = t.echo()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { ["hmac-auth"] = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("plain", {}),
      route("strict", { signed_headers = { "date", "X-User" }, allowed_algorithms = { "hmac-sha512" }, realm = "inner" }),
      route("body", { validate_request_body = true, max_req_body_size = 16 }),
      route("hidden", { hide_credentials = true }),
      route("open", { anonymous_consumer = "guest" }),
      route("lost", { anonymous_consumer = "nobody" }),
    },
    consumers = {
      { username = "ann", plugins = { ["hmac-auth"] = { key_id = "ann-id", secret_key = "ann-secret" } } },
      { username = "guest" },
    },
  })

  local function ask(path, more)
    return gateway:request({ path = path, headers = sign("GET", path, more) })
  end

  local function refused(res)
    t.equal(res.status, 401)
    t.same(res.json(), { message = "client request can't be validated" })
  end

  t.it("lets a signed request in, with each algorithm", function()
    for algorithm in pairs(digests) do
      local res = ask("/plain", { algorithm = algorithm })
      t.equal(res.status, 200)
      t.equal(res.json().headers["x-consumer-username"], "ann")
    end
  end)

  t.it("says what is wrong with a header that is no signature", function()
    local res = gateway:request({ path = "/plain" })
    t.equal(res.status, 401)
    t.equal(res.headers["WWW-Authenticate"], 'hmac realm="hmac"')
    t.same(res.json(), { message = "client request can't be validated: missing Authorization header" })
    res = gateway:request({ path = "/plain", headers = { Authorization = "Bearer abc" } })
    t.same(res.json(),
      { message = "client request can't be validated: Authorization header does not start with 'Signature'" })
  end)

  t.it("refuses another secret, an unknown key, another target and a changed header with the same words", function()
    refused(ask("/plain", { secret = "wrong" }))
    refused(ask("/plain", { key_id = "bob-id" }))
    refused(gateway:request({ path = "/plain", headers = sign("POST", "/plain") }))
    refused(gateway:request({ path = "/plain?a=1", headers = sign("GET", "/plain") }))
    local headers = sign("GET", "/plain", { headers = { ["X-User"] = "ann" }, names = { "date", "x-user" } })
    headers["X-User"] = "bob"
    refused(gateway:request({ path = "/plain", headers = headers }))
  end)

  t.it("signs the target whatever the case of its name", function()
    local headers = sign("GET", "/plain", { names = { "date", "@Request-Target" } })
    t.equal(gateway:request({ path = "/plain", headers = headers }).status, 200)
    refused(gateway:request({ path = "/plain?a=1", headers = headers }))
  end)

  t.it("refuses what is incomplete", function()
    for _, text in ipairs({ 'Signature x', 'Signature keyId="ann-id"', 'Signature keyId="ann-id",algorithm="hmac-sha256"',
      'Signature keyId="ann-id",keyId="ann-id",algorithm="hmac-sha256",signature="YQ=="',
      'Signature keyId="ann-id",algorithm="none",headers="date",signature="YQ=="',
      'Signature keyId="ann-id",algorithm="hmac-sha256",headers="date",signature="%"' }) do
      refused(gateway:request({ path = "/plain", headers = { Authorization = text, Date = date_in(0) } }))
    end
  end)

  t.it("wants a date that is near", function()
    t.equal(ask("/plain", { date = date_in(-290) }).status, 200)
    refused(ask("/plain", { date = date_in(-310) }))
    refused(ask("/plain", { date = date_in(310) }))
    refused(ask("/plain", { date = "yesterday" }))
    refused(ask("/plain", { names = { "@request-target" } }))
  end)

  t.it("wants the headers and algorithms that are configured", function()
    local names = { "@request-target", "Date", "x-user" }
    local user = { ["X-User"] = "ann" }
    t.equal(ask("/strict", { names = names, headers = user, algorithm = "hmac-sha512" }).status, 200)
    local res = ask("/strict", { names = names, headers = user })
    refused(res)
    t.equal(res.headers["WWW-Authenticate"], 'hmac realm="inner"')
    refused(ask("/strict", { headers = user, algorithm = "hmac-sha512" }))
  end)

  t.it("compares the body with its digest", function()
    local function post(body, told)
      local headers = sign("POST", "/body", {
        headers = { Digest = told and "SHA-256=" .. encoding.encode_base64(digest.digest("sha256", told)) or nil },
        names = { "@request-target", "date", "digest" },
      })
      return gateway:request({ method = "POST", path = "/body", headers = headers, body = body })
    end
    t.equal(post("hello", "hello").status, 200)
    t.equal(post("", "").status, 200)
    refused(post("hellO", "hello"))
    refused(post("hello", nil))
    local res = post(("x"):rep(17), ("x"):rep(17))
    t.equal(res.status, 413)
    t.matches(res.json().message, "greater than the maximum size 16")
  end)

  t.it("takes the signature out when told to", function()
    t.is_nil(ask("/hidden").json().headers.authorization)
    t.matches(ask("/plain").json().headers.authorization, "^Signature ")
  end)

  t.it("counts a request without a signature as the anonymous consumer's, if there is one", function()
    local res = gateway:request({ path = "/open", headers = { ["X-Consumer-Username"] = "ann" } })
    t.equal(res.json().headers["x-consumer-username"], "guest")
    res = gateway:request({ path = "/lost" })
    t.equal(res.status, 401)
    t.same(res.json(), { message = "Invalid user authorization" })
  end)
end)
