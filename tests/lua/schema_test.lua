-- SPDX-License-Identifier: Apache-2.0
local check = require("check")
local core = require("apisix.core")
local resources = require("moongate.schema.resources")
local registry = require("moongate.registry")

local function fault(schema, value, text, path)
  return function()
    local ok, err, where = core.schema.check(schema, value)
    check.equal(ok, false)
    check.equal(err, text)
    if path then
      check.same(where, path)
    end
  end
end

local function object(properties, rest)
  rest = rest or {}
  rest.type, rest.properties = "object", properties
  return rest
end

test("defaults are written in place", function()
  local schema = object({ n = { type = "integer", default = 5 }, inner = object({ x = { default = "a" } }, { default = {} }) })
  local value = {}
  check.equal(core.schema.check(schema, value), true)
  check.same(value, { n = 5, inner = { x = "a" } })
  local other = {}
  core.schema.check(schema, other)
  check.equal(other.inner == value.inner, false)
end)

test("defaults of a branch that does not fit are taken back", function()
  local schema = { oneOf = {
    object({ kind = { const = "a" }, port = { default = 1 } }),
    object({ kind = { const = "b" }, size = { default = 2 } }),
  } }
  local value = { kind = "b" }
  check.equal(core.schema.check(schema, value), true)
  check.same(value, { kind = "b", size = 2 })
end)

test("names a missing property", fault(object({}, { required = { "key" } }), {}, 'property "key" is required', {}))
test("names the path of a nested fault", fault(object({ a = object({ b = { type = "array", items = { type = "integer" } } }) }),
  { a = { b = { 1, "x" } } },
  'property "a" validation failed: property "b" validation failed: failed to validate item 2: wrong type: expected integer, got string',
  { "a", "b", 2 }))
test("knows several types", fault({ type = { "string", "integer" } }, true, "wrong type: expected one of string, integer, got boolean"))
test("a fraction is no integer", fault({ type = "integer" }, 1.5, "wrong type: expected integer, got number"))
test("refuses what is in no enum", fault({ enum = { "a", "b" } }, "c", "matches none of the enum values"))
test("refuses another const", fault({ const = { 1 } }, { 2 }, "failed to check const value"))
test("words minimum", fault({ minimum = 0 }, -1, "expected -1 to be at least 0"))
test("words exclusiveMinimum", fault({ exclusiveMinimum = 0 }, 0, "expected 0 to be greater than 0"))
test("words maximum", fault({ maximum = 8 }, 9, "expected 9 to be at most 8"))
test("words exclusiveMaximum", fault({ exclusiveMaximum = 8 }, 8, "expected 8 to be smaller than 8"))
test("words multipleOf", fault({ multipleOf = 2 }, 3, "expected 3 to be a multiple of 2"))
test("words minLength", fault({ minLength = 1 }, "", "string too short, expected at least 1, got 0"))
test("words maxLength", fault({ maxLength = 2 }, "abc", "string too long, expected at most 2, got 3"))
test("words pattern", fault({ pattern = "^a+$" }, "b", 'failed to match pattern "^a+$" with "b"'))
test("words format", fault({ type = "string", format = "ipv4" }, "1.2.3.256", "expect valid ipv4 format but got: 1.2.3.256"))
test("words minItems", fault({ type = "array", minItems = 1 }, {}, "expect array to have at least 1 items"))
test("words maxItems", fault({ type = "array", maxItems = 1 }, { 1, 2 }, "expect array to have at most 1 items"))
test("words uniqueItems", fault({ uniqueItems = true }, { { a = 1 }, 2, { a = 1 } }, "expected unique items but items 1 and 3 are equal"))
test("words additionalProperties", fault(object({}, { additionalProperties = false }), { x = 1 }, "additional properties forbidden, found x", { "x" }))
test("checks additional properties by their schema", fault(object({}, { additionalProperties = { type = "string" } }), { x = 1 },
  "failed to validate additional property x: wrong type: expected string, got number"))
test("words patternProperties", fault({ type = "object", patternProperties = { [".*"] = { type = "string" } } }, { x = 1 },
  'failed to validate x (matching ".*"): wrong type: expected string, got number'))
test("words minProperties", fault({ type = "object", minProperties = 1 }, {}, "expect object to have at least 1 properties"))
test("words dependencies", fault({ dependencies = { a = { "b" } } }, { a = 1 }, 'property "b" is required when "a" is set'))
test("words a dependent schema", fault({ dependencies = { a = { required = { "b" } } } }, { a = 1 },
  'failed to validate dependent schema for "a": property "b" is required'))
test("words anyOf of required lists", fault({ anyOf = { { required = { "active" } }, { required = { "active", "passive" } } } }, {},
  'object matches none of the required: ["active"] or ["active","passive"]'))
test("words anyOf", fault({ anyOf = { { type = "string" }, { type = "null" } } }, 1, "object matches none of the required"))
test("words oneOf without a match", fault({ oneOf = { { type = "string" } } }, 1, "value should match only one schema, but matches none"))
test("words oneOf with two matches", fault({ oneOf = { { minimum = 0 }, { minimum = 1 } } }, 1,
  "value should match only one schema, but matches both schemas 1 and 2"))
test("words allOf", fault({ allOf = { {}, { type = "string" } } }, 1, "allOf 2 failed: wrong type: expected string, got number"))
test("words not", fault({ ["not"] = { type = "number" } }, 1, "value wasn't supposed to match schema"))
test("words then", fault({ ["if"] = { type = "number" }, ["then"] = { minimum = 5 } }, 1, "then clause did not match"))
test("words else", fault({ ["if"] = { type = "string" }, ["else"] = { minimum = 5 } }, 1, "else clause did not match"))

test("references to secrets pass as strings", function()
  local schema = object({ key = { type = "string", minLength = 100, pattern = "^x" } })
  check.equal(core.schema.check(schema, { key = "$secret://vault/1/a/b" }), true)
  check.equal(core.schema.check(schema, { key = "$ENV://KEY" }), true)
  check.equal(core.schema.check(object({ key = { type = "integer" } }), { key = "$env://KEY" }), false)
end)

test("an empty table is an object and an array", function()
  check.equal(core.schema.check({ type = "object" }, {}), true)
  check.equal(core.schema.check({ type = "array" }, {}), true)
  check.equal(core.schema.check({ type = "object" }, { 1 }), false)
  check.equal(core.schema.check({ type = "array" }, { a = 1 }), false)
end)

test("recursive references work", function()
  local schema = { definitions = { node = { type = "object", properties = { next = { ["$ref"] = "#/definitions/node" }, v = { type = "integer" } } } },
    ["$ref"] = "#/definitions/node" }
  check.equal(core.schema.check(schema, { v = 1, next = { v = 2 } }), true)
  check.equal(core.schema.check(schema, { v = 1, next = { v = "x" } }), false)
end)

test("a broken schema is an error and does not raise", function()
  check.equal(core.schema.valid({ type = "nothing" }), nil)
  local ok, err = core.schema.check({ pattern = "(" }, "x")
  check.equal(ok, false)
  check.equal(err:find("broken pattern in the schema", 1, true), 1)
end)

test("a plugin's schema does not see _meta", function()
  local conf = { _meta = { disable = true } }
  check.equal(core.schema.check(object({}, { additionalProperties = false }), conf), true)
  check.same(conf._meta, { disable = true })
end)

local function route(extra)
  local conf = { uri = "/a", upstream = { nodes = { ["127.0.0.1:80"] = 1 } } }
  for key, value in pairs(extra or {}) do
    conf[key] = value
  end
  return conf
end

local function route_fault(extra, env, text, path)
  return function()
    local ok, err, where = resources.check_route(route(extra), env)
    check.equal(err, text)
    check.equal(ok, false)
    check.same(where, path)
  end
end

registry.set("strict", {
  version = 1, priority = 1, schema = {},
  check_schema = function(conf)
    return core.schema.check({ type = "object", properties = { count = { type = "integer" } } }, conf)
  end,
})

test("a route gets its defaults", function()
  local conf = route()
  check.equal(resources.check_route(conf), true)
  check.equal(conf.priority, 0)
  check.equal(conf.upstream.type, "roundrobin")
end)
test("a route has host or hosts", route_fault({ host = "a", hosts = { "b" } }, nil, "only one of host or hosts is allowed", { "hosts" }))
test("unknown keys of a route are named", route_fault({ uris2 = 1 }, nil,
  "invalid configuration: additional properties forbidden, found uris2", { "uris2" }))
test("chash needs a key", route_fault({ upstream = { type = "chash", nodes = { a = 1 } } }, nil, "missing key", { "upstream", "key" }))
test("a missing upstream is named", route_fault({ upstream_id = 7 }, { find = function() end },
  "failed to fetch upstream info by upstream id [7], response code: 404", { "upstream_id" }))
test("unknown plugins are named", route_fault({ plugins = { nope = {} } }, nil, "unknown plugin [nope]", { "plugins", "nope" }))
test("a plugin's fault has its path", route_fault({ plugins = { strict = { count = "x" } } }, nil,
  'failed to check the configuration of plugin strict err: property "count" validation failed: wrong type: expected integer, got string',
  { "plugins", "strict", "count" }))
test("a conf that is no table is refused", route_fault({ plugins = { strict = true } }, nil,
  "invalid plugin conf true for plugin [strict]", { "plugins", "strict" }))
test("vars are checked", route_fault({ vars = { { "a" } } }, nil, "failed to validate the 'vars' expression: rule too short", { "vars" }))
test("filter_func is a function", route_fault({ filter_func = "function(vars) return" }, nil,
  "failed to load 'filter_func' string: filter_func:1: 'end' expected near '<eof>'", { "filter_func" }))

test("rewrite needs a host", function()
  local _, err = resources.check_upstream({ nodes = {}, pass_host = "rewrite" })
  check.equal(err, "`upstream_host` can't be empty when `pass_host` is `rewrite`")
end)
test("IPv6 nodes have brackets", function()
  local _, err = resources.check_upstream({ nodes = { { host = "::1", weight = 1 } } })
  check.equal(err, "IPv6 address must be enclosed with '[' and ']'")
end)
test("a consumer has a name", function()
  local _, err = resources.check_consumer({})
  check.equal(err, 'invalid configuration: property "username" is required')
end)
test("a credential is of an auth plugin", function()
  local _, err = resources.check_credential({ plugins = { strict = { count = 1 } } })
  check.equal(err, "only supports auth type plugins in consumer credential")
end)
test("a server certificate needs a name", function()
  local pem = ("x"):rep(200)
  check.equal(resources.check_ssl({ cert = pem, key = pem }), false)
  check.equal(resources.check_ssl({ cert = pem, key = pem, sni = "a.com" }), true)
  check.equal(resources.check_ssl({ cert = pem, key = pem, type = "client" }), true)
end)
test("a disabled conf may be wrong", function()
  check.equal(resources.check_route(route({ plugins = { strict = { count = "x", _meta = { disable = true } } } })), true)
end)
