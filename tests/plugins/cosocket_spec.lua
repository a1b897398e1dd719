-- SPDX-License-Identifier: Apache-2.0
-- What plugins can do with ngx.socket and resty.http, against the running gateway. The echo server is their peer.
local t = require("moongate.test")

local source = [[
local core = require("apisix.core")
local http = require("resty.http")

local _M = {
  version = 0.1, priority = 10, name = "my-sock",
  schema = { type = "object", properties = { peer = { type = "string" }, what = { type = "string" } }, required = { "peer" } },
}

function _M.check_schema(conf)
  return core.schema.check(_M.schema, conf)
end

local early

function _M.init()
  early = select(2, pcall(ngx.socket.tcp))
end

local function raw(host, port)
  local sock = ngx.socket.tcp()
  sock:settimeout(5000)
  local ok, err = sock:connect(host, port)
  if not ok then return 502, { error = err } end
  sock:send({ "GET /raw HTTP/1.1\r\n", { "Host: peer\r\n", "Connection: close\r\n" }, "\r\n" })
  local line = sock:receive()
  local head = sock:receiveuntil("\r\n\r\n")()
  return 200, { line = line, has_head = head ~= nil, is_closed = sock:close() == 1 }
end

function _M.access(conf)
  local host, port = conf.peer:match("^(.*):(%d+)$")
  if conf.what == "raw" then
    return raw(host, tonumber(port))
  elseif conf.what == "http" then
    local client = http.new()
    client:set_timeout(5000)
    local res, err = client:request_uri("http://" .. conf.peer .. "/sub", {
      method = "POST", body = "from a plugin", query = { n = 1 }, headers = { ["X-From"] = "plugin" },
    })
    if not res then return 502, { error = err } end
    return res.status, { seen = core.json.decode(res.body), type = res.headers["content-type"] }
  elseif conf.what == "early" then
    return 200, { error = early }
  elseif conf.what == "refused" then
    local ok, err = ngx.socket.tcp():connect("127.0.0.1", 1)
    return 200, { ok = ok, error = err }
  end
end

function _M.header_filter(conf)
  if conf.what == "late" then
    local host, port = conf.peer:match("^(.*):(%d+)$")
    local _, said = raw(host, tonumber(port))
    core.response.set_header("X-Line", said.line)
  end
end

return _M
]]

t.describe("sockets in plugins", function()
  local upstream = t.echo()
  local function route(what)
    return {
      id = what, uri = "/" .. what, plugins = { ["my-sock"] = { peer = upstream, what = what } },
      upstream = { nodes = { [upstream] = 1 } },
    }
  end
  local gateway = t.gateway({ routes = { route("raw"), route("http"), route("refused"), route("late"), route("early") } }, {
    plugins = { ["my-sock"] = source },
  })

  t.it("talk to a server of their own while the request waits", function()
    local res = gateway:request({ path = "/raw" })
    t.equal(res.status, 200)
    t.same(res.json(), { line = "HTTP/1.1 200 OK", has_head = true, is_closed = true })
  end)

  t.it("ask other services with resty.http, again and again", function()
    for _ = 1, 5 do
      local res = gateway:request({ path = "/http" })
      t.equal(res.status, 200)
      local seen = res.json().seen
      t.equal(seen.method, "POST")
      t.equal(seen.body, "from a plugin")
      t.equal(seen.headers["x-from"], "plugin")
      t.matches(res.json().type, "json")
    end
  end)

  t.it("hear why a connection failed", function()
    t.same(gateway:request({ path = "/refused" }).json(), { error = "connection refused" })
  end)

  t.it("are told where sockets are possible when used elsewhere", function()
    t.matches(gateway:request({ path = "/early" }).json().error, "init; allowed in: certificate, preread, rewrite, access")
  end)

  t.it("talk to a server of their own while the answer waits", function()
    t.equal(gateway:request({ path = "/late" }).headers["X-Line"], "HTTP/1.1 200 OK")
  end)
end)
