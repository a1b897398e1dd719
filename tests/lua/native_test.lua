-- SPDX-License-Identifier: Apache-2.0
local check = require("check")
local digest = require("moongate.ngx.digest")
local encoding = require("moongate.encoding")
local ngx = require("moongate.ngx")

local re = ngx.re

test("match gives groups, names and false for what took no part", function()
  local m = re.match("hello 123", [[(?<word>\w+) (\d+)(x)?]])
  check.equal(m[0], "hello 123")
  check.equal(m.word, "hello")
  check.equal(m[2], "123")
  check.equal(m[3], false)
  check.equal(re.match("a", "b"), nil)
end)

test("a broken pattern gives a reason", function()
  local m, err = re.match("a", "(")
  check.equal(m, nil)
  check.equal(err:find("missing closing parenthesis", 1, true) ~= nil, true)
  local _, flag = re.match("a", "a", "q")
  check.equal(flag, 'unknown flag "q" (flags "q")')
end)

test("find gives places", function()
  check.same({ re.find("xxab", "a(b)") }, { 3, 4 })
  check.same({ re.find("xxab", "a(b)", "jo", nil, 1) }, { 4, 4 })
  local ctx = { pos = 2 }
  check.same({ re.find("aaa", "a", "jo", ctx) }, { 2, 2 })
  check.equal(ctx.pos, 3)
end)

test("gsub takes texts and functions", function()
  check.same({ re.gsub("hello", "l(.)", "[$1${0}$$]") }, { "he[lll$]o", 1 })
  check.same({ re.gsub("abc", "[ab]", function(m) return m[0]:upper() end) }, { "ABc", 2 })
  check.same({ re.gsub("abc", "", "-") }, { "-a-b-c-", 4 })
  check.same({ re.sub("aaa", "a", "b") }, { "baa", 1 })
  local nested = re.gsub("ab", "(.)", function(m) return re.gsub(m[1], "(.)", "<$1>") end)
  check.equal(nested, "<a><b>")
  local _, _, err = re.gsub("a", "a", "$x")
  check.equal(err:find("invalid replacement", 1, true) ~= nil, true)
end)

test("gmatch visits every match", function()
  local seen = {}
  for m in re.gmatch("a1b2", [[\d]]) do
    seen[#seen + 1] = m[0]
  end
  check.same(seen, { "1", "2" })
end)

test("split drops empty pieces at the end only", function()
  local split = require("ngx.re").split
  check.same(split("a,b,,c,,", ","), { "a", "b", "", "c" })
  check.same(split("a,b,c", ",", nil, nil, 2), { "a", "b,c" })
  check.same(split("abc", ""), { "a", "b", "c" })
  check.same(split("a,b", "(,)"), { "a", ",", "b" })
end)

test("backtracking without end is stopped soon", function()
  local started = os.clock()
  local m, err = re.match(("a"):rep(40) .. "b", "^(a+)+$")
  check.equal(m, nil)
  check.equal(err, "pcre2_match() failed: the pattern backtracks too much on this subject")
  assert(os.clock() - started < 0.5, "took " .. os.clock() - started .. " s of CPU")
end)

test("many patterns do not pile up", function()
  for index = 1, 5000 do
    re.find("x", "x" .. index)
  end
  collectgarbage()
  check.same({ re.find("x7", "x7") }, { 1, 2 })
end)

test("UTF-8 patterns count characters and refuse broken text", function()
  check.equal(re.match("äb", "^.b$", "u")[0], "äb")
  check.equal(re.match("\xff\xff", ".", "u"), nil)
  check.same({ re.gsub("äö", "", "-", "u") }, { "-ä-ö-", 3 })
end)

test("digests are right", function()
  check.equal(ngx.md5("hello"), "5d41402abc4b2a76b9719d911017c592")
  check.equal(encoding.to_hex(ngx.sha1_bin("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d")
  check.equal(encoding.to_hex(digest.digest("sha256", "")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  check.equal(encoding.to_hex(digest.hmac("sha256", "key", "The quick brown fox jumps over the lazy dog")),
    "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8")
  check.equal(#digest.hmac("sha512", "", ""), 64)
  check.raises(function() digest.digest("md4", "x") end, "unknown digest algorithm md4")
  check.equal(ngx.crc32_short("hello"), 907060870)
end)

test("a digest over pieces equals the whole and starts over", function()
  local sha = require("resty.sha256"):new()
  sha:update("a")
  sha:update("bc")
  check.equal(sha:final(), digest.digest("sha256", "abc"))
  sha:update("abc")
  check.equal(sha:final(), digest.digest("sha256", "abc"))
end)

test("base64 goes both ways", function()
  for _, pair in ipairs({ { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" } }) do
    check.equal(ngx.encode_base64(pair[1]), pair[2])
    check.equal(ngx.decode_base64(pair[2]), pair[1])
  end
  check.equal(ngx.encode_base64("f", true), "Zg")
  check.equal(ngx.decode_base64("Zg"), "f")
  check.equal(ngx.decode_base64("Zg=a"), nil)
  check.equal(ngx.decode_base64("Z"), nil)
  check.equal(ngx.decode_base64("Zg!="), nil)
  check.equal(ngx.base64.encode_base64url("\xff\xfe?"), "__4_")
  check.equal(ngx.base64.decode_base64url("__4_"), "\xff\xfe?")
  local long = ("x"):rep(100001)
  check.equal(ngx.decode_base64(ngx.encode_base64(long)), long)
end)

test("URIs are escaped and unescaped", function()
  check.equal(ngx.escape_uri("a b/?&=+é"), "a%20b%2F%3F%26%3D%2B%C3%A9")
  check.equal(ngx.escape_uri("/a b?", 0), "/a%20b%3F")
  check.equal(ngx.unescape_uri("a%20b+c%zz%4"), "a b c%zz%4")
  check.same(ngx.decode_args("a=1&&b&=x&a=%41"), { a = { "1", "A" }, b = true })
  local args, err = ngx.decode_args("a=1&b=2&c=3", 2)
  check.same(args, { a = "1", b = "2" })
  check.equal(err, "truncated")
  check.equal(ngx.encode_args({ a = "b c", d = true, e = false, n = 1 }), "a=b%20c&d&n=1")
end)

test("dates are written and read", function()
  check.equal(ngx.http_time(1290079655), "Thu, 18 Nov 2010 11:27:35 GMT")
  check.equal(ngx.cookie_time(1290079655), "Thu, 18-Nov-10 11:27:35 GMT")
  for _, text in ipairs({ "Thu, 18 Nov 2010 11:27:35 GMT", "Thursday, 18-Nov-10 11:27:35 GMT", "Thu Nov 18 11:27:35 2010" }) do
    check.equal(ngx.parse_http_time(text), 1290079655)
  end
  check.equal(ngx.parse_http_time("Thu, 29 Feb 2024 00:00:00 GMT"), 1709164800)
  check.equal(ngx.parse_http_time("yesterday"), nil)
end)

test("secrets are compared as wholes", function()
  check.equal(digest.is_equal("abc", "abc"), true)
  check.equal(digest.is_equal("abc", "abd"), false)
  check.equal(digest.is_equal("abc", "ab"), false)
end)
