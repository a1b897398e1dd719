-- SPDX-License-Identifier: Apache-2.0
--- The schemas of the resources: routes, services, consumers and so on. What a schema cannot say is in
--- schema/resources.lua.

local parts = require("moongate.schema.parts")
local upstream = require("moongate.schema.upstream").upstream

local hosts = { type = "array", items = parts.host_def, minItems = 1, uniqueItems = true }
local remote_addrs = { type = "array", items = parts.remote_addr_def, minItems = 1, uniqueItems = true }
local script = { type = "string", minLength = 10, maxLength = 102400 }
local port = { type = "integer", minimum = 1, maximum = 65535 }
local on_off = { type = "integer", enum = { 1, 0 }, default = 1 }

local _M = {}

-- A closed object with name, desc, labels and what every resource has.
local function resource(properties, rest)
  properties.name = parts.name
  properties.desc = parts.desc
  properties.labels = parts.labels_def
  rest = rest or {}
  rest.type = "object"
  rest.properties = parts.with_common(properties)
  rest.additionalProperties = false
  return rest
end

_M.route = resource({
  uri = { type = "string", minLength = 1, maxLength = 4096 },
  uris = {
    type = "array", items = { type = "string", minLength = 1, maxLength = 4096 }, minItems = 1, uniqueItems = true,
  },
  priority = { type = "integer", default = 0 },
  methods = parts.http_methods,
  host = parts.host_def,
  hosts = hosts,
  remote_addr = parts.remote_addr_def,
  remote_addrs = remote_addrs,
  timeout = parts.timeout_def,
  vars = { type = "array" },
  filter_func = { type = "string", minLength = 10, pattern = "^function" },
  script = script,
  script_id = parts.id_schema,
  plugins = parts.plugins_schema,
  plugin_config_id = parts.id_schema,
  upstream = upstream,
  upstream_id = parts.id_schema,
  service_id = parts.id_schema,
  enable_websocket = { type = "boolean" },
  status = on_off,
}, {
  allOf = {
    { oneOf = { { required = { "uri" } }, { required = { "uris" } } } },
    { ["not"] = { required = { "host", "hosts" } } },
    { ["not"] = { required = { "remote_addr", "remote_addrs" } } },
  },
  anyOf = {
    { required = { "plugins", "uri" } }, { required = { "upstream", "uri" } }, { required = { "upstream_id", "uri" } },
    { required = { "service_id", "uri" } }, { required = { "plugins", "uris" } },
    { required = { "upstream", "uris" } }, { required = { "upstream_id", "uris" } },
    { required = { "service_id", "uris" } }, { required = { "script", "uri" } }, { required = { "script", "uris" } },
  },
  ["not"] = { anyOf = { { required = { "script", "plugins" } }, { required = { "script", "plugin_config_id" } } } },
})

_M.service = resource({
  plugins = parts.plugins_schema,
  upstream = upstream,
  upstream_id = parts.id_schema,
  script = script,
  enable_websocket = { type = "boolean" },
  hosts = hosts,
})

_M.consumer = resource({
  username = { type = "string", minLength = 1, maxLength = 256, pattern = "^[a-zA-Z0-9_\\-]+$" },
  group_id = parts.id_schema,
  plugins = parts.plugins_schema,
}, { required = { "username" } })
_M.consumer.properties.name = nil

_M.credential = resource({
  id = {
    anyOf = { parts.id_schema, { type = "string", minLength = 15, maxLength = 128,
      pattern = "^[a-zA-Z0-9_\\-]+/credentials/[a-zA-Z0-9-_.]+$" } },
  },
  plugins = { type = "object", maxProperties = 1 },
})

local cost_factor = { type = "number", minimum = 0, default = 1 }
local argument_names = { type = "array", items = { type = "string" } }

_M.graphql_cost_decoration = resource({
  id = {
    anyOf = { parts.id_schema, { type = "string", maxLength = 256,
      pattern = "^[a-zA-Z0-9-_.]+/graphql_cost_decorations/[a-zA-Z0-9-_.]+$" } },
  },
  service_id = parts.id_schema,
  field_path = { type = "string", pattern = "^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)*$" },
  add_value = cost_factor,
  add_arguments = argument_names,
  mul_value = cost_factor,
  mul_arguments = argument_names,
}, { required = { "field_path" } })

_M.consumer_group = resource({ plugins = parts.plugins_schema }, { required = { "id", "plugins" } })
_M.plugin_config = resource({ plugins = parts.plugins_schema }, { required = { "id", "plugins" } })

_M.global_rule = {
  type = "object",
  properties = parts.with_common({ plugins = parts.plugins_schema }),
  required = { "id", "plugins" },
  additionalProperties = false,
}

_M.proto = resource({
  content = { type = "string", minLength = 1, maxLength = 1048576 },
}, { required = { "content" } })

_M.ssl = resource({
  type = { type = "string", enum = { "server", "client" }, default = "server" },
  cert = parts.certificate_scheme,
  key = parts.private_key_schema,
  sni = parts.host_def,
  snis = { type = "array", items = parts.host_def, minItems = 1 },
  certs = { type = "array", items = parts.certificate_scheme },
  keys = { type = "array", items = parts.private_key_schema },
  client = {
    type = "object",
    properties = {
      ca = parts.certificate_scheme,
      depth = { type = "integer", minimum = 0, default = 1 },
      skip_mtls_uri_regex = { type = "array", minItems = 1, uniqueItems = true, items = { type = "string" } },
    },
    required = { "ca" },
  },
  status = on_off,
  ssl_protocols = {
    type = "array", maxItems = 3, uniqueItems = true,
    items = { type = "string", enum = { "TLSv1.1", "TLSv1.2", "TLSv1.3" } },
  },
  ocsp_stapling = {
    type = "object",
    properties = {
      enabled = { type = "boolean", default = false },
      skip_verify = { type = "boolean", default = false },
      cache_ttl = { type = "integer", minimum = 60, maximum = 31536000, default = 3600 },
      file = { type = "string", pattern = "^/" },
    },
    additionalProperties = false,
  },
  acme = { type = "boolean", default = false },
}, {
  -- What may not stand beside `acme: true` is said by the gateway's own check, in words.
  ["if"] = { properties = { acme = { enum = { true } } }, required = { "acme" } },
  ["else"] = {
    ["if"] = { properties = { type = { enum = { "server" } } } },
    ["then"] = { oneOf = { { required = { "sni", "key", "cert" } }, { required = { "snis", "key", "cert" } } } },
    ["else"] = { required = { "key", "cert" } },
  },
})
_M.ssl.properties.name = nil

_M.stream_route = resource({
  remote_addr = parts.remote_addr_def,
  server_addr = parts.remote_addr_def,
  server_port = port,
  sni = parts.host_def,
  upstream = upstream,
  upstream_id = parts.id_schema,
  service_id = parts.id_schema,
  plugins = parts.plugins_schema,
  protocol = {
    type = "object",
    properties = {
      name = { type = "string" },
      superior_id = parts.id_schema,
      conf = { type = "object" },
      logger = { type = "array" },
    },
    required = { "name" },
  },
})

_M.secret = {
  vault = {
    type = "object",
    properties = {
      uri = parts.uri_def, prefix = { type = "string" }, token = { type = "string" }, namespace = { type = "string" },
    },
    required = { "uri", "prefix", "token" },
  },
  aws = {
    type = "object",
    properties = {
      access_key_id = { type = "string" },
      secret_access_key = { type = "string" },
      session_token = { type = "string" },
      region = { type = "string", default = "us-east-1" },
      endpoint_url = parts.uri_def,
    },
    required = { "access_key_id", "secret_access_key" },
  },
  gcp = {
    type = "object",
    properties = {
      auth_config = {
        type = "object",
        properties = {
          client_email = { type = "string" },
          private_key = { type = "string" },
          project_id = { type = "string" },
          token_uri = { type = "string", default = "https://oauth2.googleapis.com/token" },
          scope = {
            type = "array", items = { type = "string" }, default = { "https://www.googleapis.com/auth/cloud-platform" },
          },
          entries_uri = { type = "string", default = "https://secretmanager.googleapis.com/v1" },
        },
        required = { "client_email", "private_key", "project_id" },
      },
      ssl_verify = { type = "boolean", default = true },
      auth_file = { type = "string" },
    },
    oneOf = { { required = { "auth_config" } }, { required = { "auth_file" } } },
  },
}

_M.plugin_metadata = { type = "object" }

return _M
