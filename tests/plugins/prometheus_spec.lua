-- SPDX-License-Identifier: Apache-2.0
-- What prometheus promises about its configuration, and that what it wants is counted. Labels and values:
-- tests/e2e/prometheus_test.py.
local t = require("moongate.test")

t.describe("prometheus", function()
  local upstream = t.echo()
  local function config(conf, metadata)
    return {
      routes = { { id = "r", name = "named", uri = "/*", plugins = { prometheus = conf }, upstream = { nodes = { [upstream] = 1 } } } },
      plugin_metadata = metadata and { metadata } or nil,
    }
  end

  t.it("refuses values of another type, and labels that a metric has not or must keep", function()
    local gateway = t.gateway(config({}))
    t.is_true(gateway:check(config({ prefer_name = true, per_consumer = false }, { id = "prometheus", disabled_labels = { http_status = { "node" } } })))
    local function refused(conf, metadata, pattern)
      local ok, err = gateway:check(config(conf, metadata))
      t.is_true(not ok)
      t.matches(err, pattern)
    end
    refused({ prefer_name = 1 }, nil, "prefer_name")
    refused({ bandwidth_metrics = "yes" }, nil, "bandwidth_metrics")
    refused({}, { id = "prometheus", disabled_labels = { http_status = { "code" } } }, "http_status")
    refused({}, { id = "prometheus", disabled_labels = { bandwidth = { "matched_uri" } } }, "bandwidth")
    refused({}, { id = "prometheus", disabled_labels = { requests = { "node" } } }, "requests")
  end)

  t.it("does not change what it counts", function()
    local gateway = t.gateway(config({ prefer_name = true }))
    local response = gateway:request({ method = "POST", path = "/x", body = "hello" })
    t.equal(response.status, 200)
    t.equal(response:json().body, "hello")
  end)
end)
