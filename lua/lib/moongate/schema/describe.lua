-- SPDX-License-Identifier: Apache-2.0
--- What the Admin API tells about schemas: those of the resources, those of the plugins that are loaded, and whether a
--- resource fits its schema. Questions and answers are texts; answers carry their HTTP status.

local cjson = require("cjson.safe")
local parts = require("moongate.schema.parts")
local plugin_schemas = require("moongate.schema.plugins")
local registry = require("moongate.registry")
local schemas = require("moongate.schema.resource_schemas")
local upstreams = require("moongate.schema.upstream")
local validator = require("moongate.schema.validator")

local pairs = pairs
local ipairs = ipairs
local next = next
local sort = table.sort
local type = type

-- Changes whenever the properties that every plugin has do; APISIX's clients compare it.
local plugin_comment = "this is a mark for our injected plugin schema"

local _M = {}

-- Schemas hold no functions; what is encoded is a copy, so that `_meta` stays out of the plugin's own.
local function injected(schema)
  local copy = {}
  for key, value in pairs(schema) do
    copy[key] = value
  end
  local properties = { _meta = plugin_schemas.meta_schema }
  for key, value in pairs(schema.properties or {}) do
    properties[key] = value
  end
  copy.properties, copy["$comment"] = properties, plugin_comment
  return copy
end

local function error_answer(status, text)
  return status, cjson.encode({ error_msg = text })
end

local function encode(value)
  local text, err = cjson.encode(value)
  if not text then
    return error_answer(500, "the schema cannot be written as JSON: " .. err)
  end
  return 200, text
end

local function schema_of(kind)
  if kind == "upstream" then
    return upstreams.upstream
  end
  if kind == "plugins" then
    return parts.plugins_schema
  end
  return schemas[kind]
end

local function by_priority()
  local list = {}
  for _, plugin in pairs(registry.all()) do
    list[#list + 1] = plugin
  end
  sort(list, function(a, b)
    return a.priority > b.priority or (a.priority == b.priority and a.name < b.name)
  end)
  return list
end

function _M.list_plugins()
  local names = {}
  for index, plugin in ipairs(by_priority()) do
    names[index] = plugin.name
  end
  return 200, next(names) and cjson.encode(names) or "[]"
end

local function plugin_answer(name, schema_type, status)
  local plugin = registry.get(name)
  if not plugin then
    return error_answer(status, status == 404 and "plugin not found in subsystem http" or "not found schema")
  end
  local schema = plugin.schema
  if schema_type == "consumer" then
    schema = plugin.consumer_schema or plugin.schema
  elseif schema_type == "metadata" then
    schema = plugin.metadata_schema
  end
  if type(schema) ~= "table" then
    return error_answer(400, "not found schema")
  end
  return encode(injected(schema))
end

function _M.plugin(name)
  return plugin_answer(name, nil, 404)
end

function _M.plugin_schema(name, schema_type)
  return plugin_answer(name, schema_type, 400)
end

local function plugin_table()
  local all = {}
  for _, plugin in ipairs(by_priority()) do
    all[plugin.name] = {
      version = plugin.version, priority = plugin.priority, schema = plugin.schema and injected(plugin.schema),
      metadata_schema = plugin.metadata_schema, consumer_schema = plugin.consumer_schema, type = plugin.type,
      scope = plugin.scope,
    }
  end
  return all
end

function _M.all_plugins()
  return encode(plugin_table())
end

local function fields_of(schema)
  return type(schema) == "table" and schema.encrypt_fields or nil
end

--- Which fields of the plugins' confs are kept encrypted.
function _M.encrypted_fields()
  local all = {}
  for name, plugin in pairs(registry.all()) do
    all[name] = {
      conf = fields_of(plugin.schema), consumer = fields_of(plugin.consumer_schema or plugin.schema),
      metadata = fields_of(plugin.metadata_schema),
    }
  end
  return encode(all)
end

--- Everything there is to say, as the Control API has it.
function _M.everything()
  local main = {
    upstream = upstreams.upstream, plugins = parts.plugins_schema,
    upstream_hash_header_schema = upstreams.upstream_hash_header_schema,
    upstream_hash_vars_schema = upstreams.upstream_hash_vars_schema,
  }
  for _, kind in ipairs({ "route", "service", "consumer", "consumer_group", "global_rule", "plugin_config", "proto",
    "ssl", "stream_route", "graphql_cost_decoration" }) do
    main[kind] = schemas[kind]
  end
  return encode({ main = main, plugins = plugin_table(), stream_plugins = {} })
end

function _M.schema(kind)
  local schema = schema_of(kind)
  if type(schema) ~= "table" then
    return error_answer(400, "not found schema: " .. kind)
  end
  return encode(schema)
end

-- The schema only: neither references nor plugins are looked at.
function _M.validate(kind, json)
  local schema = schema_of(kind)
  if type(schema) ~= "table" or kind == "plugins" or kind == "secret" then
    return error_answer(400, "not found schema: " .. kind)
  end
  local conf, err = cjson.decode(json)
  if type(conf) ~= "table" then
    return error_answer(400, "invalid request body: " .. (err or "not an object"))
  end
  local ok
  ok, err = validator.check(schema, conf)
  if not ok then
    return error_answer(400, err)
  end
  return 200, ""
end

--- Answers one question.
---@param question string     the name of a function above
---@return integer status
---@return string body
function _M.answer(question, ...)
  return _M[question](...)
end

return _M
