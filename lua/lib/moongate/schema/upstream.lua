-- SPDX-License-Identifier: Apache-2.0
--- The schema of an upstream, also inside routes and services, with its health checks.

local parts = require("moongate.schema.parts")

local _M = {}

local function integer(low, high, default)
  return { type = "integer", minimum = low, maximum = high, default = default }
end

local function statuses(default)
  return {
    type = "array", minItems = 1, items = { type = "integer", minimum = 200, maximum = 599 }, uniqueItems = true,
    default = default,
  }
end

-- `enabled` is our own: false switches off a kind of check, or the asking of nodes in one state.
local enabled = { type = "boolean" }

-- APISIX has whole seconds only, Kong fractions of them, too.
local interval = { type = "number", minimum = 0.1, maximum = 86400, default = 1 }

_M.health_checker_active = {
  type = "object",
  properties = {
    enabled = enabled,
    type = { type = "string", enum = { "http", "https", "tcp" }, default = "http" },
    timeout = { type = "number", default = 1 },
    concurrency = { type = "integer", default = 10 },
    host = parts.host_def,
    port = integer(1, 65535),
    http_method = { type = "string", enum = parts.method_schema.enum, default = "GET" },
    http_path = { type = "string", default = "/" },
    http_req_body = { type = "string", default = "" },
    https_verify_certificate = { type = "boolean", default = true },
    https_sni = { type = "string", minLength = 1, maxLength = 253 }, -- Kong's
    req_headers = { type = "array", minItems = 1, items = { type = "string" }, uniqueItems = true },
    healthy = {
      type = "object",
      properties = {
        enabled = enabled,
        interval = interval,
        http_statuses = statuses({ 200, 302 }),
        successes = integer(0, 255, 2), -- 0 does not count, as Kong has it
      },
    },
    unhealthy = {
      type = "object",
      properties = {
        enabled = enabled,
        interval = interval,
        http_statuses = statuses({ 429, 404, 500, 501, 502, 503, 504, 505 }),
        http_failures = integer(0, 255, 5),
        tcp_failures = integer(0, 255, 2),
        timeouts = integer(0, 255, 3),
      },
    },
  },
}

_M.health_checker_passive = {
  type = "object",
  properties = {
    type = { type = "string", enum = { "http", "https", "tcp" }, default = "http" },
    healthy = {
      type = "object",
      properties = {
        http_statuses = statuses({
          200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308,
        }),
        successes = integer(0, 255, 5),
      },
    },
    unhealthy = {
      type = "object",
      properties = {
        http_statuses = statuses({ 429, 500, 503 }),
        http_failures = integer(0, 255, 5),
        tcp_failures = integer(0, 255, 2),
        timeouts = integer(0, 255, 7),
      },
    },
  },
}

_M.health_checker = {
  type = "object",
  anyOf = { { required = { "active" } }, { required = { "active", "passive" } } },
  additionalProperties = false,
  properties = { active = _M.health_checker_active, passive = _M.health_checker_passive },
}

_M.nodes_schema = {
  anyOf = {
    { type = "object", patternProperties = { [".*"] = { type = "integer", minimum = 0 } } },
    {
      type = "array",
      items = {
        type = "object",
        properties = {
          host = parts.host_def,
          port = integer(1, 65535),
          weight = { type = "integer", minimum = 0 },
          priority = { type = "integer", default = 0 },
          metadata = { type = "object" },
        },
        required = { "host", "weight" },
      },
    },
  },
}

_M.upstream_hash_vars_schema = {
  type = "string",
  pattern = "^((uri|server_name|server_addr|request_uri|remote_port|remote_addr|query_string|host|hostname|mqtt_client_id)"
    .. "|arg_[0-9a-zA-z_-]+)$",
}
_M.upstream_hash_header_schema = { type = "string", pattern = "^[a-zA-Z0-9-_]+$" }
_M.upstream_hash_vars_combinations_schema = { type = "string" }

_M.upstream = {
  type = "object",
  additionalProperties = false,
  oneOf = { { required = { "nodes" } }, { required = { "service_name", "discovery_type" } } },
  properties = parts.with_common({
    name = parts.name,
    desc = parts.desc,
    labels = parts.labels_def,
    nodes = _M.nodes_schema,
    retries = { type = "integer", minimum = 0 },
    retry_timeout = { type = "number", minimum = 0 },
    timeout = parts.timeout_def,
    tls = {
      type = "object",
      properties = {
        client_cert_id = parts.id_schema,
        client_cert = parts.certificate_scheme,
        client_key = parts.private_key_schema,
        verify = { type = "boolean" }, -- left out: as moongate.upstream.tls_verify says
      },
      dependencies = {
        client_cert = { required = { "client_key" }, ["not"] = { required = { "client_cert_id" } } },
        client_key = { required = { "client_cert" }, ["not"] = { required = { "client_cert_id" } } },
        client_cert_id = {
          ["not"] = { anyOf = { { required = { "client_cert" } }, { required = { "client_key" } } } },
        },
      },
    },
    keepalive_pool = {
      type = "object",
      properties = {
        size = { type = "integer", minimum = 1, default = 320 },
        idle_timeout = { type = "number", minimum = 0, default = 60 },
        requests = { type = "integer", minimum = 1, default = 1000 },
      },
    },
    type = { type = "string", default = "roundrobin" },
    checks = _M.health_checker,
    hash_on = {
      type = "string", default = "vars", enum = { "vars", "header", "cookie", "consumer", "vars_combinations" },
    },
    key = { type = "string" },
    scheme = {
      type = "string", default = "http", enum = { "grpc", "grpcs", "http", "https", "tcp", "tls", "udp", "kafka" },
    },
    discovery_type = { type = "string" },
    discovery_args = {
      type = "object", properties = { namespace_id = { type = "string" }, group_name = { type = "string" } },
    },
    service_name = { type = "string", minLength = 1, maxLength = 256 },
    pass_host = { type = "string", enum = { "pass", "node", "rewrite" }, default = "pass" },
    upstream_host = parts.host_def,
  }),
}

return _M
