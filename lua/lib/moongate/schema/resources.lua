-- SPDX-License-Identifier: Apache-2.0
--- Checks resources: first the schema, then what a schema cannot say (an upstream's key, references, expressions,
--- scripts). All checks write defaults into what they are given, and give `true`, or `false`, a text and the path of the
--- fault as an array of keys.
--
-- `env` tells what else there is. Each part may be missing; then what needs it is not checked:
--   find(kind, id)      the resource ("upstream", "service", "plugin_config", "consumer_group", "ssl") or nil
--   plugin(name)        the plugin's module or nil; the registry when missing

local expr = require("resty.expr.v1")
local plugins = require("moongate.schema.plugins")
local schemas = require("moongate.schema.resource_schemas")
local upstreams = require("moongate.schema.upstream")
local validator = require("moongate.schema.validator")

local find = string.find
local ipairs = ipairs
local load = load
local pairs = pairs
local pcall = pcall
local tonumber = tonumber
local tostring = tostring
local type = type

local type_consumer, type_metadata = 1, 2

local _M = {}

local function prefixed(path, key)
  local result = { key }
  for _, item in ipairs(path or {}) do
    result[#result + 1] = item
  end
  return result
end

local function check_schema(schema, conf)
  local ok, err, path = validator.check(schema, conf)
  if not ok then
    return false, "invalid configuration: " .. err, path
  end
  return true
end

local hash_schemas = {
  vars = upstreams.upstream_hash_vars_schema,
  header = upstreams.upstream_hash_header_schema,
  cookie = upstreams.upstream_hash_header_schema,
  vars_combinations = upstreams.upstream_hash_vars_combinations_schema,
}

local function check_hash(conf)
  if conf.type ~= "chash" or conf.hash_on == "consumer" then
    return true
  end
  if not conf.key then
    return false, "missing key", { "key" }
  end
  local ok, err = validator.check(hash_schemas[conf.hash_on or "vars"], conf.key)
  if not ok then
    return false, "type is chash, err: " .. err, { "key" }
  end
  return true
end

local function check_node_host(host, port)
  if find(host, ":", 1, true) and not find(host, "^%[.*%]$") then
    return false, "IPv6 address must be enclosed with '[' and ']'"
  end
  if port and (port < 1 or port > 65535) then
    return false, "invalid port " .. port
  end
  return true
end

local function check_nodes(nodes)
  if type(nodes) ~= "table" then
    return true
  end
  if #nodes > 0 then
    for index, node in ipairs(nodes) do
      local ok, err = check_node_host(node.host, node.port)
      if not ok then
        return false, err, { "nodes", index, "host" }
      end
    end
    return true
  end
  for address in pairs(nodes) do
    if find(tostring(address), "^unix:/") then
      goto continue
    end
    local host, port = tostring(address):match("^(.-):(%d+)$")
    local ok, err = check_node_host(host or address, tonumber(port))
    if not ok then
      return false, err, { "nodes", address }
    end
    ::continue::
  end
  return true
end

-- What is left to check of an upstream whose schema is right.
local function check_upstream_rules(conf, env)
  if conf.pass_host == "rewrite" and (conf.upstream_host == nil or conf.upstream_host == "") then
    return false, "`upstream_host` can't be empty when `pass_host` is `rewrite`", { "upstream_host" }
  end
  local ok, err, path = check_nodes(conf.nodes)
  if not ok then
    return false, err, path
  end
  local cert_id = conf.tls and conf.tls.client_cert_id
  if cert_id and env.find then
    local ssl = env.find("ssl", cert_id)
    if not ssl then
      return false, "failed to fetch ssl info by ssl id [" .. tostring(cert_id) .. "], response code: 404",
        { "tls", "client_cert_id" }
    end
    if ssl.type ~= "client" then
      return false, "failed to fetch ssl info by ssl id [" .. tostring(cert_id) .. "], wrong ssl type",
        { "tls", "client_cert_id" }
    end
  end
  return check_hash(conf)
end

local function check_inner_upstream(conf, env)
  if not conf.upstream then
    return true
  end
  local ok, err, path = check_upstream_rules(conf.upstream, env)
  if not ok then
    return false, err, prefixed(path, "upstream")
  end
  return true
end

local references = {
  { field = "upstream_id", kind = "upstream", text = "upstream info by upstream id" },
  { field = "service_id", kind = "service", text = "service info by service id" },
  { field = "plugin_config_id", kind = "plugin_config", text = "plugin config info by plugin config id" },
  { field = "group_id", kind = "consumer_group", text = "consumer group info by consumer group id" },
}

local function check_references(conf, env)
  if not env.find then
    return true
  end
  for _, reference in ipairs(references) do
    local id = conf[reference.field]
    if id ~= nil and not env.find(reference.kind, id) then
      return false, "failed to fetch " .. reference.text .. " [" .. tostring(id) .. "], response code: 404",
        { reference.field }
    end
  end
  return true
end

local function check_plugins(conf, env, schema_type)
  if not conf.plugins then
    return true
  end
  local ok, err, path = plugins.check(conf.plugins, schema_type, env.plugin)
  if not ok then
    return false, err, prefixed(path, "plugins")
  end
  return true
end

local function check_vars(conf)
  if not conf.vars then
    return true
  end
  local ok, err = expr.new(conf.vars)
  if not ok then
    return false, "failed to validate the 'vars' expression: " .. err, { "vars" }
  end
  return true
end

local function check_filter_func(conf)
  if not conf.filter_func then
    return true
  end
  local chunk, err = load("return " .. conf.filter_func, "=filter_func", "t", {})
  if not chunk then
    return false, "failed to load 'filter_func' string: " .. err, { "filter_func" }
  end
  local ok, fn = pcall(chunk)
  if not ok or type(fn) ~= "function" then
    return false, "'filter_func' should be a function", { "filter_func" }
  end
  return true
end

local function check_script(conf)
  if not conf.script then
    return true
  end
  local chunk, err = load(conf.script, "=script", "t")
  if not chunk then
    return false, "failed to load 'script' string: " .. err, { "script" }
  end
  return true
end

-- Runs checks in order; the first fault ends it.
local function run(checks, conf, env)
  for _, check in ipairs(checks) do
    local ok, err, path = check(conf, env)
    if not ok then
      return false, err, path
    end
  end
  return true
end

local function check_exclusive(conf)
  if conf.host and conf.hosts then
    return false, "only one of host or hosts is allowed", { "hosts" }
  end
  if conf.remote_addr and conf.remote_addrs then
    return false, "only one of remote_addr or remote_addrs is allowed", { "remote_addrs" }
  end
  return true
end

local function by_schema(name)
  return function(conf)
    return check_schema(schemas[name], conf)
  end
end

local function make(...)
  local checks = { ... }
  return function(conf, env)
    if type(conf) ~= "table" then
      return false, "missing configurations", {}
    end
    return run(checks, conf, env or {})
  end
end

local function plugins_as(schema_type)
  return function(conf, env)
    return check_plugins(conf, env, schema_type)
  end
end

_M.check_route = make(check_exclusive, by_schema("route"), check_inner_upstream, check_references, check_plugins,
  check_vars, check_filter_func, check_script)
_M.check_service = make(by_schema("service"), check_inner_upstream, check_references, check_plugins, check_script)
_M.check_upstream = make(function(conf)
  return check_schema(upstreams.upstream, conf)
end, check_upstream_rules)
_M.check_consumer = make(by_schema("consumer"), check_references, plugins_as(type_consumer))
_M.check_consumer_group = make(by_schema("consumer_group"), check_plugins)
_M.check_plugin_config = make(by_schema("plugin_config"), check_plugins)
_M.check_global_rule = make(by_schema("global_rule"), check_plugins)
_M.check_stream_route = make(by_schema("stream_route"), check_inner_upstream, check_references, check_plugins)
_M.check_proto = make(by_schema("proto"))

_M.check_credential = make(by_schema("credential"), plugins_as(type_consumer), function(conf, env)
  for name in pairs(conf.plugins or {}) do
    local plugin = (env.plugin or require("moongate.registry").get)(name)
    if plugin.type ~= "auth" then
      return false, "only supports auth type plugins in consumer credential", { "plugins", name }
    end
  end
  return true
end)

-- The service is the one that the id begins with, also where the resource does not name it again.
_M.check_graphql_cost_decoration = make(by_schema("graphql_cost_decoration"), function(conf, env)
  local service = tostring(conf.id):match("^([^/]+)/")
  return check_references({ service_id = service }, env)
end)

_M.check_ssl = make(by_schema("ssl"), function(conf)
  if #(conf.certs or {}) ~= #(conf.keys or {}) then
    return false, "mismatched number of certs and keys", { "certs" }
  end
  return true
end)

--- Checks a secret manager's configuration.
---@param conf table
---@param manager string     "vault", "aws", "gcp"
function _M.check_secret(conf, manager)
  local schema = schemas.secret[manager]
  if not schema then
    return false, "invalid secret manager: " .. tostring(manager), {}
  end
  return check_schema(schema, conf)
end

--- Checks a plugin's metadata.
---@param conf table
---@param name string
---@param env table?
function _M.check_plugin_metadata(conf, name, env)
  local plugin = (env and env.plugin or require("moongate.registry").get)(name)
  if not plugin then
    return false, "invalid plugin name", {}
  end
  if not plugin.check_schema or not plugin.metadata_schema then
    return true
  end
  local is_run, ok, err, path = pcall(plugin.check_schema, conf, type_metadata)
  if not is_run then
    return false, "invalid configuration: " .. tostring(ok), {}
  end
  if not ok then
    return false, "invalid configuration: " .. tostring(err), path
  end
  return true
end

local field_checks = {}

-- The checks of a schema's properties, by name, without what it says about all of them together.
local function checks_of(kind)
  local checks = field_checks[kind]
  if not checks then
    checks = {}
    for name, schema in pairs(schemas[kind] and schemas[kind].properties or {}) do
      checks[name] = validator.compile(schema)
    end
    field_checks[kind] = checks
  end
  return checks
end

--- Tells whether fields are right as far as each can be judged by itself.
---@param kind string
---@param fields table     by name
---@return boolean
function _M.has_right_fields(kind, fields)
  local checks = checks_of(kind)
  for name, value in pairs(fields) do
    local check = checks[name]
    if not check or not check(value) then
      return false
    end
  end
  return true
end

--- Checks any resource by its singular name.
---@param kind string
---@param conf table
---@param env table?
---@return boolean ok
---@return string? err
---@return string[]? path
function _M.check(kind, conf, env)
  local check = _M["check_" .. kind]
  if not check or kind == "secret" or kind == "plugin_metadata" then
    return false, "unknown kind of resource: " .. tostring(kind), {}
  end
  return check(conf, env)
end

return _M
