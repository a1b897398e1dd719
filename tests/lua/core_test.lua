-- SPDX-License-Identifier: Apache-2.0
local check = require("check")
local core = require("apisix.core")
local runtime = require("fake_runtime")

test("all core modules load under their own names", function()
  for name in pairs(core) do
    if name ~= "config" then
      check.equal(require("apisix.core." .. name), core[name])
    end
  end
end)

test("JSON keeps empty arrays", function()
  local value = core.json.decode('{"a":[],"b":{},"c":"[ ]","d":[[],[1]]}')
  check.equal(core.json.stably_encode(value), '{"a":[],"b":{},"c":"[ ]","d":[[],[1]]}')
  check.equal(core.json.encode({ x = core.json.decode("[ ]") }), '{"x":[]}')
  check.equal(core.json.encode({ x = setmetatable({}, core.json.array_mt) }), '{"x":[]}')
  check.equal(core.json.encode({ x = core.json.empty_array }), '{"x":[]}')
  check.equal(core.json.encode({}), "{}")
end)

test("JSON text with empty arrays in strings and escapes is read as it is", function()
  check.equal(core.json.decode('["\\"[]", []]')[1], '"[]')
end)

test("broken JSON gives nil and a reason", function()
  local value, err = core.json.decode('{"a":[]')
  check.equal(value, nil)
  check.equal(type(err), "string")
  check.equal(core.json.decode(nil), nil)
end)

test("forced encoding survives functions and cycles", function()
  local loop = { f = print }
  loop.self = loop
  local text = core.json.encode(loop, true)
  check.equal(text:find("function: ", 1, true) ~= nil, true)
  check.equal(core.json.encode({ f = print }), nil)
end)

test("null can be dropped", function()
  check.same(core.json.decode('{"a":null,"b":1}', { null_as_nil = true }), { b = 1 })
  check.equal(core.json.decode('{"a":null}').a, core.json.null)
end)

test("a delayed encoding happens in tostring", function()
  check.equal(tostring(core.json.delay_encode({ a = 1 })), '{"a":1}')
end)

test("deepcopy keeps cycles, metatables and what is shallow", function()
  local shared, mt = {}, {}
  local t = setmetatable({ a = { b = shared } }, mt)
  t.me = t
  local copy = core.table.deepcopy(t)
  check.equal(copy.me, copy)
  check.equal(getmetatable(copy), mt)
  check.equal(copy.a.b == shared, false)
  check.equal(core.table.deepcopy({ a = { b = shared } }, { shallows = { "self.a.b" } }).a.b, shared)
end)

test("merge merges objects, replaces arrays, deletes nulls", function()
  check.same(core.table.merge({ a = { x = 1, y = 2 }, l = { 1, 2 }, d = 1 }, { a = { y = 3 }, l = { 9 }, d = core.json.null }),
    { a = { x = 1, y = 3 }, l = { 9 } })
end)

test("patch replaces a part and names a wrong path", function()
  local conf = { a = { b = 1 } }
  core.table.patch(conf, "/a/b", 2)
  check.equal(conf.a.b, 2)
  local code, err = core.table.patch(conf, "/x/y", 2)
  check.equal(code, 400)
  check.equal(err, "invalid sub-path: /x/y")
end)

test("table helpers", function()
  check.equal(core.table.try_read_attr({ a = { b = 3 } }, "a", "b"), 3)
  check.equal(core.table.try_read_attr({ a = 1 }, "a", "b", "c"), nil)
  check.equal(core.table.array_find({ "x", "y" }, "y"), 2)
  check.equal(core.table.nkeys({ 1, a = 2 }), 2)
  check.equal(core.table.isarray({ 1, 2 }), true)
  check.equal(core.table.isarray({ a = 1 }), false)
end)

test("string helpers", function()
  check.equal(core.string.has_prefix("abc", "ab"), true)
  check.equal(core.string.has_suffix("abc", "bc"), true)
  check.equal(core.string.has_suffix("c", "bc"), false)
  check.equal(core.string.find("a.b", "."), 2)
  check.equal(core.string.rfind_char("a/b/c", "/"), 4)
  check.raises(function() core.string.has_prefix(nil, "a") end, "unexpected type")
end)

test("addresses are split", function()
  check.same({ core.utils.parse_addr("host:80") }, { "host", 80 })
  check.same({ core.utils.parse_addr("[::1]:80") }, { "[::1]", 80 })
  check.same({ core.utils.parse_addr("::1") }, { "::1" })
  check.equal(core.utils.parse_ipv4("1.2.3.4"), 16909060)
  check.equal(core.utils.parse_ipv4("1.2.3.999"), false)
  check.same(core.utils.parse_ipv6("1::2"), { 1, 0, 0, 0, 0, 0, 0, 2 })
  check.equal(core.utils.parse_ipv6("1::2::3"), false)
  check.equal(core.utils.parse_ipv6("1:2:3:4:5:6:7"), false)
end)

test("variables are filled into texts", function()
  local text, _, count = core.utils.resolve_var("$a-${b}-${c ?? none}-\\$a-$", { a = 1, b = "two" })
  check.equal(text, "1-two-none-$a-$")
  check.equal(count, 2)
  check.equal(core.utils.resolve_var("/$x", { x = "a b" }, core.utils.uri_safe_encode), "/a%20b")
  check.equal(core.utils.resolve_var_with_captures("/$1/${2}", { [0] = "", "p", "q" }), "/p/q")
end)

test("times are read", function()
  check.equal(core.config_util.parse_time_unit("1m30s"), 90)
  check.equal(core.config_util.parse_time_unit("100ms"), 0.1)
  check.equal(core.config_util.parse_time_unit("5"), 5)
  check.equal(core.config_util.parse_time_unit("1s1m"), nil)
  check.equal(core.config_util.parse_time_unit("x"), nil)
end)

test("deleted resources are left out", function()
  local seen = {}
  for _, item in core.config_util.iterate_values({ "a", false, "b" }) do
    seen[#seen + 1] = item
  end
  check.same(seen, { "a", "b" })
end)

test("an lrucache makes once per version", function()
  local cache = core.lrucache.new({ ttl = 10, count = 2 })
  local made = 0
  local function make() made = made + 1 return { made } end
  local first = cache("k", 1, make)
  check.equal(cache("k", 1, make), first)
  runtime.now = runtime.now + 60
  check.equal(cache("k", 1, make), first)
  check.equal(cache("k", 2, make) == first, false)
  check.equal(made, 2)
end)

test("an lrucache can expire for real and remember failures", function()
  local strict = core.lrucache.new({ ttl = 10, invalid_stale = true, neg_ttl = 5 })
  local made = 0
  local function make() made = made + 1 return made end
  strict("k", 1, make)
  runtime.now = runtime.now + 60
  check.equal(strict("k", 1, make), 2)
  local failures = 0
  local function fail() failures = failures + 1 return nil, "no" end
  check.equal(strict("bad", 1, fail), nil)
  local value, err = strict("bad", 1, fail)
  check.equal(value, nil)
  check.equal(err, "no")
  check.equal(failures, 1)
end)

test("resty.lrucache forgets the oldest", function()
  local cache = require("resty.lrucache").new(2)
  cache:set("a", 1)
  cache:set("b", 2)
  cache:get("a")
  cache:set("c", 3)
  check.equal(cache:get("b"), nil)
  check.equal(cache:get("a"), 1)
  check.equal(cache:count(), 2)
  cache:set("d", 4, 1)
  runtime.now = runtime.now + 2
  local value, stale = cache:get("d")
  check.equal(value, nil)
  check.equal(stale, 4)
  cache:flush_all()
  check.equal(cache:count(), 0)
end)

test("the log has level and place", function()
  runtime.lines = {}
  core.log.warn("a", nil, 1, { 1 } and "b")
  check.equal(runtime.lines[1][1], 5)
  check.equal(runtime.lines[1][2]:match("core_test.lua:%d+: (.*)$"), "anil1b")
  runtime.level = 3
  core.log.error("quiet")
  runtime.level = 8
  check.equal(#runtime.lines, 1)
  core.log.new("p: ").error("x")
  check.equal(runtime.lines[2][2]:match("p: x$"), "p: x")
end)

test("environment references", function()
  core.os.setenv("MG_LUA_TEST", '{"a":"b"}')
  check.equal(core.env.fetch_by_uri("$ENV://MG_LUA_TEST/a"), "b")
  check.equal(core.env.fetch_by_uri("$env://MG_LUA_TEST"), '{"a":"b"}')
  check.same(require("apisix.secret").fetch_secrets({ x = { "$env://MG_LUA_TEST/a" } }), { x = { "b" } })
  local conf = { a = 1 }
  check.equal(require("apisix.secret").fetch_secrets(conf), conf)
end)

test("conf_version depends on content only", function()
  local plugin = require("apisix.plugin")
  check.equal(plugin.conf_version({ a = 1, b = { 2 } }), plugin.conf_version({ b = { 2 }, a = 1 }))
  check.equal(plugin.conf_version({ a = 1 }) == plugin.conf_version({ a = 2 }), false)
end)

test("compress_script drops comments and indentation", function()
  check.equal(core.string.compress_script("-- c\n  local a = 1 -- x\n\n  return a\n"), "local a = 1\nreturn a")
end)

test("of a GraphQL document the operation that runs and its root fields are read", function()
  local parse = require("moongate.core.graphql").parse
  for document, expected in pairs({
    ["query getRepo { owner { name } repo { created } }"] = "query getRepo owner,repo",
    ['{ a b: c(x: "}") @skip(if: true) { d } ...F ... on T { x } ... @d { y { z } ... { v } } } fragment F on T @x { u ...G } fragment G on T { ...F w: t }'] = "query  a,c,x,y,v,u,t",
    ['mutation M($a: [Int!] = [1]) @d(x: "\\"") { do(a: """x } \\""" y""") }'] = "mutation M do",
    ["# none\nfragment F on T @x { a } subscription { z }"] = "subscription  z",
    ['\239\187\191# one\r"one" """two""" query Q { z } fragment F on T { a }'] = "query Q z",
  }) do
    local found = parse(document)
    check.equal(found.operation .. " " .. found.name .. " " .. table.concat(found.root_fields, ","), expected)
  end
  for _, document in ipairs({ "", "{ a", "query", "{ a: }", "{ a ) }", "{ ...on }", '{ "x" }', '{ a(x: ") }', "fragment F on T { a", "{ ...F }", "{ a ... on { b } }", "{ ... { a }", "{ ...F } fragment F on T { a } fragment F on T { b }",
    "fragment F($a: I = {b: 1}) on T { a } { ...F }", "fragment on T { a } { b }", "{ a } { b }", "{ a } x", '{ a } "' }) do
    local found, err = parse(document)
    check.equal(found, nil)
    check.equal(type(err), "string")
  end
  check.equal(parse("{ a } mutation M { b }", "M").operation, "mutation")
  check.equal(parse("{ a }", "M"), nil)
end)

test("consumers are forgotten also when no memory is left", function()
  local consumers = require("moongate.consumers")
  local former = consumers.conf("key-auth")
  jit.off(consumers.forget) -- compiling takes memory
  collectgarbage("stop")
  local before = collectgarbage("count")
  consumers.forget()
  local taken = collectgarbage("count") - before
  collectgarbage("restart")
  check.equal(taken, 0)
  check.equal(consumers.conf("key-auth") == former, false)
end)
