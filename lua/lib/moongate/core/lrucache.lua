-- SPDX-License-Identifier: Apache-2.0
--- `core.lrucache`: caches of objects made from configuration, keyed and versioned.
--
-- An entry is valid while its version is the one asked for. When its time is over but the version is still the same,
-- the object is taken on again (unless `invalid_stale`), so an unchanged configuration never has its objects rebuilt.

local lru = require("resty.lrucache")
local native = require("moongate.native")
local current = require("moongate.current")

local C = native.C
local error = error
local setmetatable = setmetatable
local tostring = tostring
local type = type

local default_count, default_ttl_s = 1024, 3600
local plugin_count, plugin_ttl_s = 8, 300
local creating_max_s = 30

local waiting_phases = { rewrite = true, access = true, before_proxy = true, content = true, timer = true }

local _M = {}

-- What stands for a nil that create_fn returned, with its error.
local failure_mt = {}

local function result_of(entry)
  local object = entry.object
  if getmetatable(object) == failure_mt then
    return nil, object.err
  end
  return object
end

-- Of several requests that miss the same key, one makes the object and the rest wait for it.
local function wait_for_other(creating, key)
  local wait = require("moongate.wait")
  local deadline = C.mg_steady() + creating_max_s
  local step_s = 0.001
  while creating[key] do
    if C.mg_steady() > deadline then
      return nil, "timeout"
    end
    wait.sleep(step_s)
    step_s = step_s < 0.1 and step_s * 2 or 0.1
  end
  return true
end

local function finish(creating, key, ...)
  creating[key] = nil
  return ...
end

local function create(cache, options, key, version, create_fn, ...)
  local object, err = create_fn(...)
  if object == nil then
    if options.neg_ttl then
      cache.negative = cache.negative or lru.new(options.neg_count or default_count)
      cache.negative:set(key, { version = version, object = setmetatable({ err = err }, failure_mt) }, options.neg_ttl)
    end
    return nil, err
  end
  cache.objects:set(key, { version = version, object = object }, options.ttl)
  return object
end

local function find(cache, options, key, version)
  local entry, stale = cache.objects:get(key)
  if entry and entry.version == version then
    return entry
  end
  if stale and stale.version == version and not options.invalid_stale then
    cache.objects:set(key, stale, options.ttl)
    return stale
  end
  local negative = cache.negative and cache.negative:get(key)
  if negative and negative.version == version then
    return negative
  end
  return nil
end

local function create_serially(cache, options, key, version, create_fn, ...)
  if cache.creating[key] then
    local ok, err = wait_for_other(cache.creating, key)
    if not ok then
      return nil, "failed to wait for another request that makes the object: " .. err
    end
    local entry = find(cache, options, key, version)
    if entry then
      return result_of(entry)
    end
  end
  cache.creating[key] = true
  local results = { pcall(create, cache, options, key, version, create_fn, ...) }
  if not results[1] then
    return finish(cache.creating, key, error(results[2], 0))
  end
  return finish(cache.creating, key, results[2], results[3])
end

--- Makes a cache. Options: count, ttl (seconds), type = "plugin" for the small defaults, invalid_stale, serial_creating
--- (one request makes an object, the others wait), neg_ttl and neg_count (failures are remembered, too).
---@param options table?
---@return fun(key: any, version: any, create_fn: function, ...): any, string?
function _M.new(options)
  options = options or {}
  local is_plugin = options.type == "plugin"
  local settings = {
    ttl = options.ttl or (is_plugin and plugin_ttl_s or default_ttl_s),
    invalid_stale = options.invalid_stale,
    neg_ttl = options.neg_ttl,
    neg_count = options.neg_count,
  }
  local cache = { objects = lru.new(options.count or (is_plugin and plugin_count or default_count)), creating = {} }
  local is_serial = options.serial_creating
  return function(key, version, create_fn, ...)
    if type(create_fn) ~= "function" then
      error("an lrucache is called with a key, a version and a function that makes the object", 2)
    end
    local entry = find(cache, settings, key, version)
    if entry then
      return result_of(entry)
    end
    if is_serial and waiting_phases[current.phase] then
      return create_serially(cache, settings, key, version, create_fn, ...)
    end
    return create(cache, settings, key, version, create_fn, ...)
  end
end

local function ctx_key(ctx, extra_key)
  local key = tostring(ctx.conf_type) .. "#" .. tostring(ctx.conf_id)
  if extra_key then
    key = key .. "#" .. extra_key
  end
  return key
end

--- Calls `cache` with the conf of the running plugin as key and its version.
---@param cache function
---@param ctx moongate.Ctx
---@param extra_key string?
---@param create_fn function
function _M.plugin_ctx(cache, ctx, extra_key, create_fn, ...)
  return cache(ctx_key(ctx, extra_key), ctx.conf_version, create_fn, ...)
end

--- Returns the key and the version that plugin_ctx uses, as one string.
---@param ctx moongate.Ctx
---@param extra_key string?
---@return string
function _M.plugin_ctx_id(ctx, extra_key)
  return ctx_key(ctx, extra_key) .. "#" .. tostring(ctx.conf_version)
end

_M.global = _M.new({})

return _M
