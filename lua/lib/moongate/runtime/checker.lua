-- SPDX-License-Identifier: Apache-2.0
--- Checks a whole configuration in a state of its own: loads its plugins as a worker would, then every resource by
--- its schema, its references and its plugins. Nothing is served here, and no init() runs.

local cjson = require("cjson.safe")
local loader = require("moongate.runtime.loader")
local registry = require("moongate.registry")
local resources = require("moongate.schema.resources")
local suggest = require("moongate.schema.suggest")

local concat = table.concat
local ipairs = ipairs
local pcall = pcall
local tostring = tostring

local _M = {}

local complaints_max = 100

-- What is known to be right comes without its text: others may refer to it. Of certificates that is only one which is
-- still to come, of the type that others refer to.
local known = { type = "client" }

-- Decodes every resource and files it under its kind, for references between them.
local function decode_all(list)
  local by_kind = {}
  for _, item in ipairs(list) do
    if item.json then
      item.conf = cjson.decode(item.json)
    else
      item.conf = known
    end
    local kind = by_kind[item.kind] or {}
    kind[item.id] = item.conf
    by_kind[item.kind] = kind
  end
  return by_kind
end

local function check_one(item, env)
  if item.kind == "plugin_metadata" then
    return resources.check_plugin_metadata(item.conf, item.id, env)
  end
  if item.kind == "secret" then
    return resources.check_secret(item.conf, item.id:match("^[^/]+"))
  end
  return resources.check(item.kind, item.conf, env)
end

local referred_kinds = {
  upstream_id = "upstream", service_id = "service", plugin_config_id = "plugin_config", group_id = "consumer_group",
}

-- The complaint with what would be right, as far as that can be guessed.
local function complete(item, path, text, by_kind)
  local field = #path == 1 and path[1]
  if referred_kinds[field] and text:find("failed to fetch", 1, true) then
    return suggest.complete_reference(text, item.conf[field], by_kind[referred_kinds[field]])
  end
  return suggest.complete(item.kind, path, text)
end

local function check_global_rules(list, complaints)
  local owners = {}
  for _, item in ipairs(list) do
    for name in pairs(item.kind == "global_rule" and item.conf.plugins or {}) do
      if owners[name] then
        complaints[#complaints + 1] = {
          kind = item.kind, id = item.id, path = { "plugins", name },
          text = concat({ "plugin '", name, "' already exists in global rule with id '", owners[name], "'" }),
        }
      end
      owners[name] = item.id
    end
  end
end

local adopted

--- Loads the plugins that check_changes() judges with, in place of those before.
---@param plugins {name: string, path: string, text: string}[]
---@param libraries {name: string, path: string, text: string}[]
---@param attributes_json string
---@return string? err
function _M.load(plugins, libraries, attributes_json)
  local library_texts = {}
  for index, source in ipairs(libraries) do
    library_texts[index] = source.name .. "\n" .. source.text
  end
  for _, source in ipairs(plugins) do
    source.hash, source.uses_libraries = source.text, true
  end
  local attributes = cjson.decode(attributes_json) or {}
  local handle, err = loader.load_set(plugins, libraries, concat(library_texts, "\n"), attributes, false)
  if not handle then
    return err
  end
  loader.adopt_set(handle, {})
  if adopted then
    loader.release_set(adopted)
  end
  adopted = handle
end

-- What resources refer to is looked up in what `by_kind` has.
local function environment(by_kind)
  return {
    plugin = registry.get,
    find = function(kind, id)
      return by_kind[kind] and by_kind[kind][tostring(id)]
    end,
  }
end

--- Checks single resources in the words of APISIX's Admin API; the plugins are those of the last load.
---@param list {kind: string, id: string, json: string}[]
---@param context {kind: string, id: string, json: string}[]     what they refer to, and the other global rules
---@return {kind: string, id: string, path: string[], text: string}[] complaints
function _M.check_changes(list, context)
  local by_kind = decode_all(context)
  local complaints = {}
  for _, item in ipairs(list) do
    item.conf = cjson.decode(item.json)
    local is_run, ok, text, path = pcall(check_one, item, environment(by_kind))
    if not is_run then
      ok, text, path = false, tostring(ok), {}
    end
    if not ok then
      text = tostring(text)
      if item.kind == "consumer" and path and path[1] == "plugins" then
        text = "invalid plugins configuration: " .. text
      end
      complaints[#complaints + 1] = { kind = item.kind, id = item.id, path = path or {}, text = text }
    elseif item.kind == "global_rule" then
      context[#context + 1] = item
    end
  end
  check_global_rules(context, complaints)
  return complaints
end

--- Looks at fields of resources that are judged by themselves.
---@param kinds_json string     a list of the resources' kinds
---@param fields_json string    a list of objects
---@return boolean[] right
function _M.check_plain_fields(kinds_json, fields_json)
  local kinds, list = cjson.decode(kinds_json), cjson.decode(fields_json)
  local right = {}
  for index, kind in ipairs(list and kinds or {}) do
    local is_run, is_right = pcall(resources.has_right_fields, kind, list[index])
    right[index] = is_run and is_right
  end
  return right
end

--- Checks everything.
---@param list {kind: string, id: string, json: string?}[]    without json: known to be right
---@param plugins {name: string, path: string, text: string}[]
---@param libraries {name: string, path: string, text: string}[]
---@param attributes_json string
---@return {kind: string, id: string, path: string[], text: string}[] complaints    empty when all is well
function _M.check(list, plugins, libraries, attributes_json)
  local err = _M.load(plugins, libraries, attributes_json)
  if err then
    return { { kind = "plugin", id = "", path = {}, text = err } }
  end
  local by_kind = decode_all(list)
  local env = environment(by_kind)
  local complaints = {}
  for _, item in ipairs(list) do
    local is_run, ok, text, path = true, true, nil, nil
    if item.conf ~= known then
      is_run, ok, text, path = pcall(check_one, item, env)
    end
    if not is_run then
      ok, text, path = false, tostring(ok), {}
    end
    if not ok then
      complaints[#complaints + 1] = {
        kind = item.kind, id = item.id, path = path or {}, text = complete(item, path or {}, tostring(text), by_kind),
      }
    end
    if #complaints >= complaints_max then
      break
    end
  end
  check_global_rules(list, complaints)
  return complaints
end

return _M
