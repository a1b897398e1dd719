-- SPDX-License-Identifier: Apache-2.0
-- What security-headers promises, against the running gateway.
local t = require("moongate.test")

local name = "security-headers"

t.describe(name, function()
  local function route(id, conf, headers)
    return { id = id, uri = "/" .. id, plugins = { [name] = conf, mocking = { response_example = "x", response_headers = headers } } }
  end
  local own = { ["X-Frame-Options"] = "DENY", ["X-Powered-By"] = "PHP/4", ["Strict-Transport-Security"] = "max-age=1" }
  local gateway = t.gateway({
    moongate = { trusted_addresses = { "127.0.0.1" } },
    routes = {
      route("plain", {}),
      route("own", {}, own),
      route("replaced", { override = true }, own),
      route("none", {
        strict_transport_security = { enabled = false },
        content_type_options = false,
        frame_options = "off",
        referrer_policy = "off",
        remove = {},
      }, { ["X-Powered-By"] = "PHP/4" }),
      route("all", {
        strict_transport_security = { max_age = 63072000, include_subdomains = true, preload = true },
        content_security_policy = "default-src 'self'",
        permissions_policy = "camera=()",
        cross_origin_opener_policy = "same-origin",
        cross_origin_embedder_policy = "require-corp",
        cross_origin_resource_policy = "same-site",
      }),
      { id = "refused", uri = "/refused", plugins = { [name] = {}, ["key-auth"] = {} } },
    },
  })

  local function headers_of(path, scheme)
    return gateway:request({ path = path, headers = { ["X-Forwarded-Proto"] = scheme } }).headers
  end

  t.it("sets what is good for every page, and removes what says too much", function()
    local headers = headers_of("/plain", "https")
    t.equal(headers["X-Content-Type-Options"], "nosniff")
    t.equal(headers["X-Frame-Options"], "SAMEORIGIN")
    t.equal(headers["Referrer-Policy"], "strict-origin-when-cross-origin")
    t.equal(headers["Strict-Transport-Security"], "max-age=31536000")
    t.is_nil(headers["Content-Security-Policy"])
    t.is_nil(headers_of("/own", "https")["X-Powered-By"])
  end)

  t.it("does not speak of TLS to clients that came without", function()
    t.is_nil(headers_of("/plain", "http")["Strict-Transport-Security"])
    t.is_nil(headers_of("/plain")["Strict-Transport-Security"])
  end)

  t.it("leaves what the answer says for itself, unless it is to be replaced", function()
    local kept, replaced = headers_of("/own", "https"), headers_of("/replaced", "https")
    t.equal(kept["X-Frame-Options"], "DENY")
    t.equal(kept["Strict-Transport-Security"], "max-age=1")
    t.equal(replaced["X-Frame-Options"], "SAMEORIGIN")
    t.equal(replaced["Strict-Transport-Security"], "max-age=31536000")
  end)

  t.it("sets nothing that is turned off", function()
    local headers = headers_of("/none", "https")
    for _, header in ipairs({ "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy" }) do
      t.is_nil(headers[header], header)
    end
    t.equal(headers["X-Powered-By"], "PHP/4")
  end)

  t.it("sets all that is asked for", function()
    local headers = headers_of("/all", "https")
    t.equal(headers["Strict-Transport-Security"], "max-age=63072000; includeSubDomains; preload")
    t.equal(headers["Content-Security-Policy"], "default-src 'self'")
    t.equal(headers["Permissions-Policy"], "camera=()")
    t.equal(headers["Cross-Origin-Opener-Policy"], "same-origin")
    t.equal(headers["Cross-Origin-Embedder-Policy"], "require-corp")
    t.equal(headers["Cross-Origin-Resource-Policy"], "same-site")
  end)

  t.it("also holds for answers of the gateway itself", function()
    local answer = gateway:request({ path = "/refused" })
    t.equal(answer.status, 401)
    t.equal(answer.headers["X-Frame-Options"], "SAMEORIGIN")
  end)

  t.it("checks its configuration", function()
    local function refused(conf, pattern)
      local ok, err = gateway:check({ routes = { route("x", conf) } })
      t.is_true(not ok)
      t.matches(err, pattern)
    end
    refused({ strict_transport_security = { preload = true } }, "preload needs include_subdomains")
    refused({ frame_options = "ALLOW" }, "frame_options")
    refused({ content_security_policy = "a\nb" }, "content_security_policy")
    refused({ remove = { "a b" } }, "remove")
    refused({ unknown = 1 }, "unknown")
  end)
end)
