-- SPDX-License-Identifier: Apache-2.0
-- What a body says in exactly one way, and what it does not.
local check = require("check")
local core = require("apisix.core")
local decode_query = require("moongate.query").decode
local exact_body = require("moongate.core.exact_body")
local graphql_request = require("moongate.core.graphql_request")
local media_type = require("moongate.core.media_type")
local multipart = require("moongate.core.multipart")
local runtime = require("fake_runtime")

local form_type = "application/x-www-form-urlencoded"

local function part(value, head)
  return "--x\r\n" .. (head or 'Content-Disposition: form-data; name="a"') .. "\r\n\r\n" .. value .. "\r\n"
end

local function form_of(...)
  return table.concat({ ... }) .. "--x--\r\n"
end

local function refuses(text, kind, content_type, name, reason)
  local body, err = exact_body.decode(text, kind, content_type)
  local value
  if body then
    value, err = exact_body.find_text(body, name)
  end
  check.equal(value, nil)
  check.equal(type(err) == "string" and err:find(reason, 1, true) ~= nil and reason, reason)
end

test("a media type has its parameters in one way or is refused", function()
  local first, parameters = media_type.parse(' Multipart/Form-Data ;xboundary=y; Boundary="a b";charset=UTF-8; ')
  check.equal(first, "multipart/form-data")
  check.same(parameters, { xboundary = "y", boundary = "a b", charset = "UTF-8" })
  check.equal((media_type.parse("")), "application/json")
  check.same({ media_type.split("form-data; name=a; filename*=utf-8''f") }, { "form-data", { name = "a", ["filename*"] = "utf-8''f" } })
  for _, text in ipairs({ "json", "a/b/c", "a/b c/d", "a/b, c/d", "a/b; c=d, e/f", "a/b; c=d; C=e", "a/b; c = d", "a/b; c=", 'a/b; c="d', 'a/b; c="d\\e"',
                          "a/b; c*=d", "a/b; c", ";", "a/b; c=d e" }) do
    local found, err = media_type.parse(text)
    check.equal(found, nil)
    check.equal(err:find("Content-Type cannot be read", 1, true), 5)
  end
end)

test("a multipart body is read by its delimiters, heads and names", function()
  local parts = multipart.decode("\r\n" .. form_of(part("1"), part("", "X-A: ; name=\"z\"\r\ncontent-disposition:FORM-DATA; NAME=b"), part("2\n--y")) .. "\r\n", "x")
  check.same(parts, { { name = "a", value = "1" }, { name = "b", value = "" }, { name = "a", value = "2\n--y" } })
  check.same(multipart.decode("--x--", "x"), {})
  check.equal(#multipart.decode(form_of(part("1", 'Content-Type: text/x; charset=latin1\r\nContent-Disposition: form-data; name=a; filename="f"')), "x"), 1)
end)

test("a multipart body that others could read otherwise is refused", function()
  for _, body in ipairs({
    "", "junk", "text\r\n" .. form_of(part("1")), form_of(part("1")) .. "text", part("1"), (form_of(part("1")):gsub("\r\n", "\n")),
    form_of(part("1\n--x\nContent-Disposition: form-data; name=b\n\n2")), form_of(part("1--x")), form_of("--x \r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"),
    form_of("--x\r\n\r\n1\r\n"), form_of("--x\r\nContent-Disposition: form-data; name=a\r\n\r\n"), form_of(part("1", "X: y")),
    form_of(part("1", "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b")), form_of(part("1", "Content-Disposition : form-data; name=a")),
    form_of(part("1", "Content-Disposition: form-data;\r\n name=a")), form_of(part("1", "Content-Disposition: form-data; name*=utf-8''a")),
    form_of(part("1", 'Content-Disposition: form-data; name*0="a"')), form_of(part("1", 'Content-Disposition: form-data; name="a\\"b"')),
    form_of(part("1", "Content-Disposition: form-data; name='a'")), form_of(part("1", "Content-Disposition: form-data; name=a; name=b")),
    form_of(part("1", "Content-Disposition: attachment; name=a")), form_of(part("MQ==", "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64")),
    form_of(part("1", "Content-Disposition: form-data; name=a\r\nContent-Type: text/plain; charset=utf-16")),
    form_of(part("1", "Content-Disposition: form-data; name=a\r\nContent-Type: multipart/mixed; boundary=y")),
  }) do
    local parts, err = multipart.decode(body, "x")
    check.equal(parts, nil)
    check.equal(type(err), "string")
  end
  check.equal(multipart.decode(form_of(part("1")), nil), nil)
end)

local megabyte = 1024 * 1024

local function filled_with(text)
  return text:rep(math.floor(megabyte / #text))
end

test("the worst megabyte is read with work in proportion to its size", function()
  local head = "Content-Disposition: form-data; name=a\r\nX: b%s%s"
  local before = os.clock()
  for _, tail in ipairs({ "c", "" }) do
    local parts = multipart.decode(form_of(filled_with(part("", head:format((" "):rep(8000), tail)))), "x")
    check.equal(#parts > 128, true)
  end
  check.equal(#decode_query(filled_with("a&")).a, megabyte / 2)
  for _, text in ipairs({ "a;", "a;&", "%", "[", "[]&", " ", "A.&" }) do
    local body = exact_body.decode(filled_with(text), "form", form_type)
    check.equal(exact_body.find_text(body, "a"), nil)
  end
  check.equal(os.clock() - before < 4, true) -- a pattern that tries each place from each place takes far longer
end)

test("a part's head and a boundary have an end", function()
  local head = "Content-Disposition: form-data; name=a\r\nX: "
  check.equal(#multipart.decode(form_of(part("", head .. ("b"):rep(8000))), "x"), 1)
  check.same({ multipart.decode(form_of(part("", head .. (" "):rep(megabyte) .. "c")), "x") }, { nil, "the multipart body cannot be read: a part's head is longer than 8192 bytes" })
  check.equal(#multipart.decode("--" .. ("x"):rep(70) .. "--", ("x"):rep(70)), 0)
  check.same({ multipart.decode("--" .. ("x"):rep(71) .. "--", ("x"):rep(71)) }, { nil, "the boundary of the multipart body is longer than 70 bytes" })
end)

local function refuses_parts(reason, ...)
  refuses(form_of(...), "multipart", "multipart/form-data; boundary=x", "a", reason)
end

test("a part's name and value that others decode or cut are refused", function()
  refuses_parts("has no name that can be read", part("1", 'Content-Disposition: form-data; name="=?utf-8?Q?a?="'))
  refuses_parts("`a` has a NUL", part("1\0002"))
  refuses_parts("`a` has a NUL", part("1\0", 'Content-Disposition: form-data; name=a; filename=""'))
  refuses_parts("charset other than UTF-8", part("1", 'Content-Disposition: form-data; name=a; filename=""\r\nContent-Type: text/plain; charset=utf-16'))
  refuses_parts("charset other than UTF-8", part("1", "Content-Disposition: form-data; name=a; filename*=utf-8''f\r\nContent-Type: text/plain; charset=utf-16"))
  local file = part("\0", "Content-Disposition: form-data; name=f; filename=f\r\nContent-Type: text/x; charset=utf-16")
  check.equal(exact_body.find_text(exact_body.decode(form_of(part("1"), file), "multipart", "multipart/form-data; boundary=x"), "a"), "1")
end)

test("a form that says another charset of itself is refused", function()
  check.equal(exact_body.find_text(exact_body.decode("_charset_=UTF-8&a=1", "form", form_type), "a"), "1")
  for _, text in ipairs({ "a=1&_charset_=utf-16", "_charset_=utf-8&_charset_=utf-7", "+_Charset_=utf-16&a=1" }) do
    refuses(text, "form", form_type, "a", "its field `_charset_` is `utf-")
  end
  refuses_parts("`_charset_` is `utf-16`", part("utf-16", "Content-Disposition: form-data; name=_charset_"), part("1"))
end)

test("a field that is not there has no value by Spring's prefix", function()
  for _, name in ipairs({ "!a", "!A" }) do
    refuses(name .. "=1", "form", form_type, "a", "`" .. name .. "`")
    check.equal(exact_body.find_text(exact_body.decode("a=2&" .. name .. "=1", "form", form_type), "a"), "2")
  end
  refuses("!u.v=1", "form", form_type, "u.v", "`!u.v`")
end)

test("a form's argument is there once, under one name and encoded, or is refused", function()
  local body = exact_body.decode("\239\187\191%61=1&b&c=%3B&t[]=1&u.v=2&&=3&x=%4", "form", form_type)
  for name, value in pairs({ a = "1", b = "", c = ";", ["u.v"] = "2", ["$.a"] = false, ["a[0]"] = "1", none = false }) do
    check.equal(exact_body.find_text(body, name) or false, value)
  end
  for text, reason in pairs({
    ["a=1&a=2"] = "several arguments `a`", ["a[]=1"] = "`a[]`", ["a%5B0%5D=1"] = "`a[0]`", ["+a=1"] = "` a`", ["A=1"] = "`A`", ["a=1&A=1"] = "`a` and `A`",
    ["a%00b=1"] = "`a?b`", ["b=1;a=2"] = "%3B", ["a=1;b=2"] = "%3B", ["a=1%"] = "percent-encoded", ["a=%zz"] = "percent-encoded", ["a=1\r\n"] = "percent-encoded",
    ["a=1%00"] = "percent-encoded", ["%u0061=1"] = "the name of an argument", ["\ra=1"] = "the name of an argument",
  }) do
    refuses(text, "form", form_type, "a", reason)
  end
  refuses("user.id=1", "form", form_type, "user_id", "`user.id`")
  refuses("m[n]=1", "form", form_type, "m.n", "`m[n]`")
  refuses("m[n]=1", "form", form_type, "..n", "`m[n]`")
  refuses("\197\191=1", "form", form_type, "s", "`??`")
  refuses("a=1", "form", form_type .. "; charset=utf-7", "a", "charset is utf-7")
  refuses(form_of(part("1"), part("2")), "multipart", "multipart/form-data; boundary=x", "a", "several arguments `a`")
end)

test("JSON has a member once and in one spelling or is refused", function()
  local body = exact_body.decode('{"a":{"b":null,"c":":\\"{:","d":[]},"n":1000000000000001,"f":0.1,"l":["x",7],"t":false}', "json", nil)
  for name, value in pairs({ ["a.b"] = false, ["a.c"] = ':"{:', ["a.d"] = false, a = false, n = "1000000000000001", f = "0.1", l = false, t = "false", ["l.2"] = "7", ["l[0]"] = "x" }) do
    check.equal(exact_body.find_text(body, name) or false, value)
  end
  for text, reason in pairs({
    ['{"a":1,"a":2}'] = "twice", ['{"b":[{"c":1,"\\u0063":2}]}'] = "twice", ['{"A":1}'] = "`A`", ['{"a":1,"A":1}'] = "`A`", ['{"a":9007199254740993}'] = "too large",
    ['{"a":1} x'] = "no JSON", ['\239\187\191{"a":1}'] = "no JSON", ["{'a':1}"] = "no JSON",
  }) do
    refuses(text, "json", "application/json", "a", reason)
  end
  refuses('{"b":[{"A":1}]}', "json", nil, "b[*].a", "`A`")
end)

test("a list has an element, whatever the body's kind", function()
  for kind, text in pairs({ json = '{"t":["x",7],"o":{"p":"x"}}', form = "t=x&t=7" }) do
    local body = exact_body.decode(text, kind, kind == "form" and form_type or nil)
    check.equal(exact_body.has_element(body, "t", "x"), true)
    check.equal(exact_body.has_element(body, "t[*]", "7"), true)
    check.equal(exact_body.has_element(body, "t", "y"), false)
    check.equal(exact_body.find_text(body, "t[*]"), nil)
  end
  check.equal(exact_body.has_element(exact_body.decode("t=x", "form", form_type), "t", "x"), true)
  check.equal(select(2, exact_body.has_element(exact_body.decode("t=y&T=x", "form", form_type), "t", "x")) ~= nil, true)
end)

test("null is no value of ctx.var.post_arg, and what cannot be read is none", function()
  runtime.with_request({ headers = { { "Content-Type", "application/json" } }, body = '{"a":null,"b":[null,1],"c":{"d":2}}' }, "access", function(ctx)
    check.equal(ctx.var["post_arg.a"], nil)
    check.same(ctx.var["post_arg.b[*]"], { 1 })
    check.equal(ctx.var["post_arg.c.d"], 2)
  end)
  runtime.with_request({ headers = { { "Content-Type", "multipart/form-data; boundary=x" } }, body = "junk" }, "access", function(ctx)
    check.equal(ctx.var["post_arg.a"], nil)
    check.same({ core.request.get_request_body_table(ctx) }, { nil, { message = "the multipart body does not begin with its boundary" } })
  end)
end)

local function graphql_of(headers, body, query)
  local found
  runtime.with_request({ headers = headers, body = body, query = query }, "access", function(ctx)
    found = ctx.var.graphql_root_fields
  end)
  return found and table.concat(found, ",")
end

test("a GraphQL document is found where servers look for it, and only one", function()
  local json, form = { { "Content-Type", "application/json" } }, { { "Content-Type", form_type } }
  local parts = { { "Content-Type", "multipart/form-data; boundary=x" } }
  check.equal(graphql_of(json, '{"query":"{ a }"}'), "a")
  check.equal(graphql_of(json, '{"query":"{ a }"}', "query=%7B%20a%20%7D"), "a")
  check.equal(graphql_of(form, "query={a}"), "a")
  check.equal(graphql_of(parts, form_of(part('{"query":"{ a }"}', "Content-Disposition: form-data; name=operations"))), "a")
  check.equal(graphql_of(parts, form_of(part("{ a }", "Content-Disposition: form-data; name=query"))), "a")
  check.equal(graphql_of({ { "Content-Type", "text/plain" } }, "x", "query={a}"), "a")
  for _, body in ipairs({ '{"query":"{ a }","query":"{ a }"}', '{"Query":"{ a }"}', '[{"query":"{ a }"}]', '{"query":"{ a }","OperationName":"A"}' }) do
    check.equal(graphql_of(json, body), nil)
  end
  for _, body in ipairs({ "query={a}&query={a}", "query={a}&Query={b}", "query[]={a}", "x=1;query={a}" }) do
    check.equal(graphql_of(form, body), nil)
  end
end)

test("a GraphQL request for a document that only the upstream has is refused", function()
  local function ask(text, kind, arguments)
    return select(2, graphql_request.read(exact_body.decode(text, kind, kind == "form" and form_type or nil), arguments or ""))
  end
  local no_document = "it is a GraphQL request without its document; send `query` with it"
  for _, name in ipairs({ "doc_id", "queryId", "documentId", "DocumentID" }) do
    check.equal(ask('{"' .. name .. '":"d"}', "json"), no_document)
    check.equal(ask('{"' .. name .. '":7}', "json"), nil)
    check.equal(ask('{"query":"{ a }","' .. name .. '":"d"}', "json"), nil)
  end
  check.equal(ask("doc_id=1", "form"), no_document)
  check.equal(ask("id=1", "form", "id=1"), nil)
  check.equal(ask('{"id":"d"}', "json"), nil)
  check.equal(ask("extensions=x&extensions={%22persistedQuery%22:1}", "form"), no_document)
  check.equal(ask("extensions[persistedQuery][sha256Hash]=1", "form"), "it has the argument `extensions[persistedQuery][sha256Hash]`, which some upstreams take for `extensions`")
  check.equal(ask("{}", "json", "extensions=x&extensions={%22persistedQuery%22:1}"), no_document)
  check.equal(ask("extensions={}", "form"), nil)
end)
