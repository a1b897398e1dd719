-- SPDX-License-Identifier: Apache-2.0
-- What websocket-limits promises about its configuration, and to requests that are no WebSocket. Frames:
-- tests/e2e/websocket_limits_test.py.
local t = require("moongate.test")

t.describe("websocket-limits", function()
  local upstream = t.echo()
  local function config(conf)
    return {
      routes = {
        {
          id = "chat",
          uri = "/chat",
          enable_websocket = true,
          plugins = { ["websocket-limits"] = conf },
          upstream = { nodes = { [upstream] = 1 } },
        },
      },
    }
  end
  local gateway = t.gateway(config({ max_message_bytes = 1 }))

  t.it("leaves requests alone that are no websocket", function()
    t.equal(gateway:request({ method = "POST", path = "/chat", body = ("x"):rep(1000) }).status, 200)
  end)

  t.it("takes a size, a rate, or both", function()
    for _, conf in ipairs({
      { max_message_bytes = 65536 },
      { messages_per_second = 0.5 },
      { max_message_bytes = 1, messages_per_second = 20, burst = 50 },
    }) do
      t.is_true(gateway:check(config(conf)))
    end
  end)

  t.it("refuses what says nothing or contradicts itself", function()
    local function refused(conf, pattern)
      local ok, err = gateway:check(config(conf))
      t.is_true(not ok)
      t.matches(err, pattern)
    end
    refused({}, "max_message_bytes or messages_per_second is required")
    refused({ max_message_bytes = 0 }, "max_message_bytes")
    refused({ messages_per_second = 0 }, "messages_per_second")
    refused({ max_message_bytes = 1, burst = 2 }, "burst has no meaning without messages_per_second")
    refused({ max_message_bytes = 1, direction = "both" }, "direction")
  end)
end)
