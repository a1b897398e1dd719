-- SPDX-License-Identifier: Apache-2.0
-- What serverless-post-function promises, against the running gateway.
local t = require("moongate.test")

local name = "serverless-post-function"
local runs_first = false

t.describe(name, function()
  local upstream = t.echo()
  local function route(id, conf, more)
    local plugins = more or {}
    plugins[name] = conf
    return { id = id, uri = "/" .. id, plugins = plugins, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({
    routes = {
      route("answer", { functions = { 'return function(conf, ctx) return 202, { uri = ctx.var.uri } end' } }),
      route("chain", {
        phase = "rewrite",
        functions = {
          'return function(_, ctx) ngx.req.set_header("X-One", "1") end',
          'return function(_, ctx) if ctx.var.arg_stop then return 403 end end',
          'return function(_, ctx) ngx.req.set_header("X-Three", "3") end',
        },
      }),
      route("count", {
        functions = { 'local n = 0 return function() n = n + 1 ngx.header["X-Count"] = n end' },
      }),
      route("late", {
        phase = "header_filter",
        functions = { 'return function() ngx.header["X-Late"] = "yes" end' },
      }),
      route("body", {
        phase = "body_filter",
        functions = { 'return function() ngx.arg[1] = ngx.arg[2] and "all" or nil end' },
      }),
      route("order", {
        phase = "rewrite",
        functions = { 'return function(_, ctx) return 200, ctx.var.http_x_rewritten or "before" end' },
      }, { ["proxy-rewrite"] = { headers = { set = { ["X-Rewritten"] = "after" } } } }),
    },
  })

  t.it("runs the function in access and answers with what it returns", function()
    local res = gateway:request({ path = "/answer" })
    t.equal(res.status, 202)
    t.same(res.json(), { uri = "/answer" })
  end)

  t.it("runs the functions in order until one answers", function()
    local seen = gateway:request({ path = "/chain" }).json()
    t.equal(seen.headers["x-one"], "1")
    t.equal(seen.headers["x-three"], "3")
    t.equal(gateway:request({ path = "/chain?stop=1" }).status, 403)
  end)

  t.it("keeps a function's own variables from request to request", function()
    local first = tonumber(gateway:request({ path = "/count" }).headers["X-Count"])
    t.is_true(first >= 1)
    local largest = first
    for _ = 1, 20 do
      largest = math.max(largest, tonumber(gateway:request({ path = "/count" }).headers["X-Count"]))
    end
    t.is_true(largest > 1)
  end)

  t.it("runs in the phase it is told", function()
    t.equal(gateway:request({ path = "/late" }).headers["X-Late"], "yes")
    t.equal(gateway:request({ path = "/body?chunked=1" }).body, "all")
  end)

  t.it("runs " .. (runs_first and "before" or "after") .. " other plugins", function()
    t.equal(gateway:request({ path = "/order" }).body, runs_first and "before" or "after")
  end)

  t.it("checks its functions", function()
    local function check(source)
      local ok, err = gateway:check({ routes = { route("x", { functions = { source } }) } })
      t.is_true(not ok)
      return err
    end
    t.matches(check("return function("), "failed to loadstring: ")
    t.matches(check("error('no')"), "pcall error: ")
    t.matches(check("return 7"), "only accept Lua function, the input code type is number")
    t.is_true(not gateway:check({ routes = { route("x", { functions = {} }) } }))
    t.is_true(not gateway:check({ routes = { route("x", { phase = "init", functions = { "return print" } }) } }))
  end)
end)
