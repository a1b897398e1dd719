-- SPDX-License-Identifier: Apache-2.0
--- request-transformer: changes headers, query, method and path of the request before it goes upstream, as Kong's plugin of
--- that name does: removes, renames, replaces what is there, adds what is not, and appends, in this order.

local core = require("apisix.core")
local rewrite_path = require("apisix.plugins.proxy-rewrite.template")
local template = require("apisix.plugins.request-transformer.template")
local native = require("moongate.native")
local phase = require("moongate.phase")

local C = native.C
local ipairs = ipairs
local match = string.match
local setmetatable = setmetatable
local type = type

local kinds = { "remove", "rename", "replace", "add", "append" }
local texts = { type = "array", maxItems = 1000, items = { type = "string", minLength = 1 } }
local nothing = { type = "array", maxItems = 0 } -- bodies are only served when nothing is asked of them

local function change(more)
  local properties = { headers = texts, querystring = texts, body = nothing }
  for key, value in pairs(more or {}) do
    properties[key] = value
  end
  return { type = "object", properties = properties, additionalProperties = false }
end

local schema = {
  type = "object",
  properties = {
    http_method = { type = "string", pattern = "^[A-Z]+$", maxLength = 32 },
    remove = change(),
    rename = change(),
    replace = change({ uri = { type = "string", pattern = "^/", maxLength = 4096 } }),
    add = change(),
    append = change(),
  },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 801,
  name = "request-transformer",
  schema = schema,
}

--- One entry, taken apart: {name} or {name, parts}, where rename's parts are the new name.
local function read_entry(kind, entry)
  if kind == "remove" then
    return { name = entry }
  end
  local name, value = match(entry, "^([^:]+):%s*(.-)%s*$")
  if not name then
    return nil, kind .. ": expected " .. (kind == "rename" and "OLD:NEW" or "NAME:VALUE") .. ", got " .. entry
  end
  local parts, err = template.parse(value)
  if not parts then
    return nil, kind .. ": " .. err
  end
  return { name = name, parts = parts }
end

local function read_entries(kind, list)
  local entries = {}
  for index, text in ipairs(list or {}) do
    local entry, err = read_entry(kind, text)
    if not entry then
      return nil, err
    end
    entries[index] = entry
  end
  return entries
end

local function read(conf)
  local plan = { headers = {}, querystring = {} }
  for _, kind in ipairs(kinds) do
    local lists = conf[kind] or {}
    for _, part in ipairs({ "headers", "querystring" }) do
      local entries, err = read_entries(kind, lists[part])
      if not entries then
        return nil, err
      end
      plan[part][kind] = entries
      plan[part].has_any = plan[part].has_any or #entries > 0
    end
  end
  if conf.replace and conf.replace.uri then
    local err
    plan.uri, err = template.parse(conf.replace.uri)
    if not plan.uri then
      return nil, "replace.uri: " .. err
    end
  end
  return plan
end

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  ok, err = read(conf)
  return ok ~= nil, err
end

-- Headers and query are changed by the same rules; these two know how each is read and written.
local headers = {}

function headers.get(ctx, _, name)
  return core.request.headers(ctx)[name]
end

function headers.set(ctx, _, name, value)
  -- Host is not a field like others: it decides where the request seems to go.
  if name:lower() == "host" then
    ctx.var.upstream_host = value
    return
  end
  core.request.set_header(ctx, name, value)
end

function headers.append(ctx, _, name, value)
  core.request.add_header(ctx, name, value)
end

local arguments = {}

function arguments.get(_, args, name)
  return args[name]
end

function arguments.set(_, args, name, value)
  args[name] = value
end

function arguments.append(_, args, name, value)
  local present = args[name]
  if present == nil then
    args[name] = value
  elseif type(present) == "table" then
    present[#present + 1] = value
  else
    args[name] = { present, value }
  end
end

local function apply(changes, how, args, ctx)
  for _, entry in ipairs(changes.remove) do
    how.set(ctx, args, entry.name, nil)
  end
  for _, entry in ipairs(changes.rename) do
    local value, name = how.get(ctx, args, entry.name), template.fill(entry.parts, ctx)
    if value ~= nil and name then
      how.set(ctx, args, entry.name, nil)
      how.set(ctx, args, name, value)
    end
  end
  for _, kind in ipairs({ "replace", "add", "append" }) do
    for _, entry in ipairs(changes[kind]) do
      local is_there = how.get(ctx, args, entry.name) ~= nil
      local value = template.fill(entry.parts, ctx)
      if value and kind == "append" then
        how.append(ctx, args, entry.name, value)
      elseif value and is_there == (kind == "replace") then
        how.set(ctx, args, entry.name, value)
      end
    end
  end
end

local function apply_query(changes, ctx)
  local args = {}
  for name, value in pairs(core.request.get_uri_args(ctx)) do
    args[name] = type(value) == "table" and core.table.clone(value) or value
  end
  apply(changes, arguments, args, ctx)
  core.request.set_uri_args(ctx, args)
end

local prepared = setmetatable({}, { __mode = "k" })

--- Changes the request: path, headers, query, method.
--- Phases: access. Does not yield.
---@param conf plugin.RequestTransformerConf
---@param ctx moongate.Ctx
---@return integer? status    400 when the new path cannot be canonical
---@return table? body
function _M.access(conf, ctx)
  local plan = prepared[conf]
  if not plan then
    plan = read(conf)
    prepared[conf] = plan
  end
  local path = plan.uri and template.fill(plan.uri, ctx)
  if path then
    local ok, err = rewrite_path.apply(ctx, path)
    if not ok then
      core.log.warn("request-transformer: the new path is refused: ", err)
      return 400, { message = "Bad request" }
    end
  end
  if plan.headers.has_any then
    apply(plan.headers, headers, nil, ctx)
  end
  if plan.querystring.has_any then
    apply_query(plan.querystring, ctx)
  end
  if conf.http_method then
    C.mg_request_method_set(phase.exchange(ctx), conf.http_method, #conf.http_method)
  end
end

return _M
