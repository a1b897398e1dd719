-- SPDX-License-Identifier: Apache-2.0
-- What bot-detection promises, against the running gateway.
local t = require("moongate.test")

local name = "bot-detection"

t.describe(name, function()
  local function route(id, conf)
    return { id = id, uri = "/" .. id, plugins = { [name] = conf, mocking = { response_example = "x" } } }
  end
  local gateway = t.gateway({ routes = { route("lists", { allow = { "^good-bot" }, deny = { "curl", "(?i)wget" } }), route("plain", {}) } })

  local function status(path, agent)
    return gateway:request({ path = path, headers = { ["User-Agent"] = agent } }).status
  end

  t.it("refuses well-known crawlers and those that deny lists", function()
    for _, agent in ipairs({ "Googlebot/2.1 (+http://www.google.com/bot.html)", "Baiduspider", "Scrapy/2.1", "curl/8", "my WGET" }) do
      t.equal(status("/lists", agent), 403, agent)
      t.equal(status("/lists", agent), 403, agent)
    end
    t.equal(status("/plain", "curl/8"), 200)
  end)

  t.it("lets in browsers, those that allow lists, and clients without a name", function()
    for _, agent in ipairs({ "Mozilla/5.0 (X11; Linux) Firefox/115.0", "good-bot/1.0 curl", "Robotics-Lab/1" }) do
      t.equal(status("/lists", agent), 200, agent)
    end
    t.equal(gateway:request({ path = "/lists" }).status, 200)
  end)

  t.it("refuses a pattern that is none", function()
    local ok, err = gateway:check({ routes = { route("x", { deny = { "(" } }) } })
    t.is_true(not ok)
    t.matches(err, "invalid pattern %(")
  end)
end)
