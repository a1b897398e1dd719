-- SPDX-License-Identifier: Apache-2.0
local check = require("check")
local core = require("apisix.core")
local exit = require("moongate.exit")
local ngx = require("moongate.ngx")
local runtime = require("fake_runtime")

local with = runtime.with_request

test("ctx.var knows headers, arguments and cookies", function()
  with({
    headers = { { "X-Api-Key", "k" }, { "Cookie", 'a=1; b="2"; a=3' }, { "under_score", "u" } },
    query = "x=1&x=2&flag&e=%41+b",
    vars = { uri = "/u", remote_addr = "10.0.0.1", http_under_score = "u" },
  }, "access", function(ctx, request)
    check.equal(ctx.var.http_x_api_key, "k")
    check.equal(ctx.var.http_under_score, "u")
    check.equal(ctx.var.cookie_a, "1")
    check.equal(ctx.var.cookie_b, "2")
    check.equal(ctx.var.arg_x, "1")
    check.equal(ctx.var.arg_flag, true)
    check.equal(ctx.var.arg_e, "A b")
    check.equal(ctx.var.arg_none, nil)
    check.equal(ctx.var.uri, "/u")
    request.vars.uri = "/other"
    check.equal(ctx.var.uri, "/other")
    check.equal(ngx.var.arg_x, "1")
    check.raises(function() return ctx.var[1] end, "expect string value")
  end)
end)

test("changing a header is seen by var, headers and header", function()
  with({ headers = { { "X-A", "1" } } }, "rewrite", function(ctx)
    check.equal(ctx.var.http_x_a, "1")
    check.equal(core.request.headers(ctx)["X-A"], "1")
    core.request.set_header(ctx, "X-A", "2")
    check.equal(ctx.var.http_x_a, "2")
    check.equal(core.request.headers(ctx)["x-a"], "2")
    core.request.add_header(ctx, "X-A", "3")
    check.same(core.request.headers(ctx)["x-a"], { "2", "3" })
    core.request.set_header(ctx, "X-A", nil)
    check.equal(core.request.header(ctx, "x-a"), nil)
  end)
end)

test("a header that would break the head is refused and logged", function()
  runtime.lines = {}
  with({}, "rewrite", function(ctx)
    local ok = core.request.set_header(ctx, "X-A", "a\r\nEvil: 1")
    check.equal(ok, nil)
    check.equal(core.request.header(ctx, "Evil"), nil)
    check.equal(#runtime.lines, 1)
  end)
end)

test("written variables keep their type and reach the runtime", function()
  with({ vars = { upstream_uri = "" }, writable = { upstream_uri = true } }, "access", function(ctx, request)
    ctx.var.upstream_uri = "/x"
    check.equal(request.vars.upstream_uri, "/x")
    check.equal(ctx.var.upstream_uri, "/x")
    ctx.var.mine = 5
    check.equal(ctx.var.mine, 5)
    ctx.var.mine = nil
    check.equal(ctx.var.mine, nil)
    ctx.var.upstream_uri = nil
    check.equal(request.vars.upstream_uri, "")
    request.vars.upstream_uri = "/y"
    check.equal(ctx.var.upstream_uri, "/y")
    check.raises(function() ngx.var.uri = "/z" end, "cannot be changed")
  end)
end)

test("registered variables are kept unless they are volatile", function()
  local calls = 0
  core.ctx.register_var("test_counter", function() calls = calls + 1 return calls end)
  core.ctx.register_var("test_volatile", function() calls = calls + 1 return calls end, { no_cacheable = true })
  with({}, "access", function(ctx)
    check.equal(ctx.var.test_counter, 1)
    check.equal(ctx.var.test_counter, 1)
    check.equal(ctx.var.test_volatile, 2)
    check.equal(ctx.var.test_volatile, 3)
  end)
end)

test("the query can be replaced", function()
  with({ query = "a=1" }, "rewrite", function(ctx, request)
    check.same(core.request.get_uri_args(ctx), { a = "1" })
    core.request.set_uri_args(ctx, { b = { "1", "2" }, a = "x y", t = true })
    check.equal(request.query, "a=x%20y&b=1&b=2&t")
    check.same(core.request.get_uri_args(ctx), { a = "x y", b = { "1", "2" }, t = true })
  end)
end)

test("bodies are parsed by type and limited", function()
  with({ headers = { { "Content-Type", "application/json" } }, body = '{"a":{"b":[{"c":1},{"c":2}]}}' }, "access", function(ctx)
    check.equal(ctx.var["post_arg.a.b[0].c"], 1)
    check.same(ctx.var["post_arg.a.b[*].c"], { 1, 2 })
    check.equal(core.request.get_json_request_body_table(ctx), core.request.get_request_body_table(ctx))
    local body, err = core.request.get_body(3, ctx)
    check.equal(body, nil)
    check.equal(err, "request size 29 is greater than the maximum size 3 allowed")
  end)
  with({ headers = { { "Content-Type", "application/x-www-form-urlencoded" } }, body = "a=1&b=%20" }, "access", function(ctx)
    check.equal(ctx.var.post_arg_b, " ")
    check.same(core.request.get_post_args(ctx), { a = "1", b = " " })
  end)
  local multipart = '--X\r\nContent-Disposition: form-data; name="f"\r\n\r\nv\r\n1\r\n--X--\r\n'
  with({ headers = { { "Content-Type", "multipart/form-data; boundary=X" } }, body = multipart }, "access", function(ctx)
    check.equal(ctx.var["post_arg.f"], "v\r\n1")
  end)
end)

test("exit leaves with status and body and is recorded", function()
  with({}, "access", function(ctx, request)
    local ok, err = pcall(core.response.exit, 403, { message = "no" })
    check.equal(ok, false)
    check.equal(exit.is_signal(err), true)
    check.equal(exit.is_signal("text"), false)
    check.equal(request.status, 403)
    check.equal(request.answer, '{"message":"no"}\n')
    check.equal(core.response.get_response_source(ctx), "apisix")
    check.equal(exit.take(ctx).code, 403)
    check.equal(exit.take(ctx), nil)
    check.same(request.response_headers, { { "Content-Type", "application/json" } })
  end)
end)

test("exit callbacks change the answer", function()
  with({}, "access", function(_, request)
    core.response.exit_insert_callback(function(code, body, headers, conf)
      return code + conf.add, { was = body }, { ["X-B"] = tostring(headers) }
    end, { add = 1 })
    pcall(core.response.exit, 400, "b")
    check.equal(request.status, 401)
    check.equal(request.answer, '{"was":"b"}\n')
  end)
end)

test("what is not possible in a phase says so", function()
  with({}, "log", function(ctx)
    check.raises(function() core.response.exit(403) end, "API disabled in the context of log")
    check.raises(function() core.request.set_header(ctx, "A", "b") end, "API disabled in the context of log")
  end)
  check.raises(function() core.request.header(nil, "x") end, "API disabled in the context of init")
  check.raises(function() require("moongate.wait").sleep(1) end, "API disabled in the context of init")
end)

test("response headers can be set, added, removed", function()
  with({}, "header_filter", function(_, request)
    core.response.set_header("A", 1, "B", { "x", "y" })
    core.response.add_header("A", 2)
    core.response.set_header({ C = "c" })
    check.same(ngx.header.b, { "x", "y" })
    check.same(ngx.header["A"], { "1", "2" })
    core.response.set_header("B", nil)
    check.equal(ngx.header.B, nil)
    ngx.header.content_type = "text/plain"
    check.equal(ngx.resp.get_headers()["Content-Type"], "text/plain")
    request.is_sent = true
    check.raises(function() core.response.set_header("A", 1) end, "headers have already been sent")
  end)
end)

test("a held body comes out once, at the end", function()
  local current = require("moongate.current")
  with({}, "body_filter", function(ctx)
    current.arg[1], current.arg[2] = "ab", false
    check.equal(core.response.hold_body_chunk(ctx), nil)
    check.equal(current.arg[1], nil)
    current.arg[1], current.arg[2] = "cd", true
    check.equal(core.response.hold_body_chunk(ctx), "abcd")
    current.arg[1], current.arg[2] = "xyz", false
    check.equal(core.response.hold_body_chunk(ctx, true, 2, "other"), "xy")
    check.equal(core.response.hold_body_chunk(ctx, true, 2, "other"), nil)
  end)
end)

test("ngx.ctx lives with its request", function()
  with({}, "access", function(ctx)
    ngx.ctx.mine = 1
    check.equal(ngx.ctx.mine, 1)
    check.equal(ngx.ctx.api_ctx, ctx)
    check.equal(ngx.get_phase(), "access")
  end)
  with({}, "rewrite", function()
    check.equal(ngx.ctx.mine, nil)
    check.equal(ngx.get_phase(), "access")
  end)
end)

test("ngx.say and ngx.exit answer", function()
  with({}, "access", function(ctx, request)
    ngx.status = 201
    ngx.say("a", { "b", { 1 } })
    check.raises(function() ngx.exit(201) end, "exit with code 201")
    check.equal(request.answer, "ab1\n")
    check.equal(request.status, 201)
    check.equal(ctx._is_answered, true)
  end)
end)

test("methods have their numbers", function()
  check.raises(function()
    with({}, "access", function() ngx.req.set_method(3) end)
  end, "unsupported HTTP method")
end)

test("a ctx takes nothing along to the next request", function()
  local contexts = require("moongate.runtime.contexts")
  local var = require("moongate.var")
  local ctx, shape = contexts.recycle()
  ctx.consumer = { username = "jack" }
  check.equal(contexts.recycle(ctx, shape), ctx)
  check.equal(next(ctx), nil)
  ctx.mine = "of the first"
  local other = contexts.recycle(ctx, shape)
  check.equal(other == ctx, false)
  check.equal(next(other), nil)
  setmetatable(other, { __index = { mine = "of the first" } })
  check.equal(contexts.recycle(other, shape).mine, nil)

  local vars, vars_shape = var.recycle(nil, nil, nil, ctx)
  check.equal(var.recycle(vars, vars_shape, nil, ctx), vars)
  vars.my_variable = "of the first"
  check.equal(rawget(var.recycle(vars, vars_shape, nil, ctx), "my_variable"), nil)
end)

test("a table of requests learns the keys that are left in it, and only those that come back", function()
  local recycle = require("moongate.kept_keys").make({ "usual" })
  local t, shape = recycle()
  for round = 1, 3 do
    t.usual, t.mine, t.count, t["once-" .. round] = round, round, round, round
    local before = t
    t, shape = recycle(t, shape)
    check.equal(next(t), nil)
    check.equal(t == before, false)
  end
  for round = 1, 3 do
    t.usual, t.mine, t.count = round, round, round
    local before = t
    t, shape = recycle(t, shape)
    check.equal(next(t), nil)
    check.equal(t, before)
  end
end)

test("a table of requests that was born before a key was learned is not used again", function()
  local recycle = require("moongate.kept_keys").make({ "usual" })
  local old, old_shape = recycle()
  local t, shape = recycle()
  for _ = 1, 2 do
    t.mine = true
    t, shape = recycle(t, shape)
  end
  check.equal(recycle(t, shape), t)
  check.equal(recycle(old, old_shape) == old, false)
end)

test("what is never the same is not learned without end", function()
  local recycle = require("moongate.kept_keys").make({ "usual" })
  local t, shape = recycle()
  for round = 1, 2000 do
    t["key-" .. round], t["key-" .. round - 1] = true, true
    local left, shape_before = next(t), shape
    check.equal(left ~= nil, true)
    t, shape = recycle(t, shape)
    check.equal(next(t), nil)
    if round > 10 then
      check.equal(shape, shape_before)
    end
  end
end)
