-- SPDX-License-Identifier: Apache-2.0
--- prometheus: has the requests of a route counted for the metrics page, by who took part: status codes, times, bytes. The
--- runtime counts (proxy/traffic_metrics.h) when a request ends; here is only what of it is wanted, so that a request costs no
--- call into Lua.

local core = require("apisix.core")
local bor = require("bit").bor
local native = require("moongate.native")

local C = native.C
local find = string.find

local schema = {
  type = "object",
  properties = {
    prefer_name = { type = "boolean", default = false },
    -- Kong's, all of them on here unless said otherwise.
    per_consumer = { type = "boolean", default = true },
    status_code_metrics = { type = "boolean", default = true },
    latency_metrics = { type = "boolean", default = true },
    bandwidth_metrics = { type = "boolean", default = true },
  },
}

-- What tells a series from others by more than this may be left empty, so that there are fewer.
local shared_labels = { "route", "service", "consumer", "node", "request_type", "request_llm_model", "llm_model" }
local status_labels = { "matched_uri", "matched_host", "response_source", unpack(shared_labels) }

local function labels_of(names)
  return { type = "array", items = { type = "string", enum = names } }
end

local metadata_schema = {
  type = "object",
  properties = {
    disabled_labels = {
      type = "object",
      properties = {
        http_status = labels_of(status_labels),
        http_latency = labels_of(shared_labels),
        bandwidth = labels_of(shared_labels),
      },
      additionalProperties = false,
    },
  },
}

local _M = {
  version = 0.2,
  priority = 500,
  name = "prometheus",
  schema = schema,
  metadata_schema = metadata_schema,
  run_policy = "prefer_route",
}

function _M.check_schema(conf, schema_type)
  if schema_type == core.schema.TYPE_METADATA then
    return core.schema.check(metadata_schema, conf)
  end
  return core.schema.check(schema, conf)
end

-- As exchange::traffic has them.
local bits = { status_code_metrics = 1, latency_metrics = 2, bandwidth_metrics = 4, prefer_name = 8, per_consumer = 16 }

local function wanted(conf)
  if not (conf.status_code_metrics or conf.latency_metrics or conf.bandwidth_metrics) then
    return 0
  end
  local sum = 0
  for name, bit in pairs(bits) do
    if conf[name] then
      sum = bor(sum, bit)
    end
  end
  return sum
end

local function depends_on_request(conf)
  local meta = conf._meta
  return meta and (meta.filter or meta.pre_function) and true or false
end

local decided, over_global = 32, 64

-- That somebody decides, and whether a global rule may still do so: the narrower scope wins.
local function scope(conf)
  local parent = conf._meta and conf._meta.parent
  local key = parent and parent.resource_key or ""
  return find(key, "/global_rules/", 1, true) and decided or decided + over_global
end

--- What the runtime counts of every request with this conf; nothing when it depends on the request.
---@param conf plugin.PrometheusConf
---@return integer
function _M.counted_traffic(conf)
  return bor(scope(conf), depends_on_request(conf) and 0 or wanted(conf))
end

--- Only a conf with a filter needs its hook.
function _M.wants(conf)
  return depends_on_request(conf)
end

--- Phases: log. Does not yield.
---@param conf plugin.PrometheusConf
---@param ctx moongate.Ctx
function _M.log(conf, ctx)
  C.mg_traffic_count(ctx._ex, bor(scope(conf), wanted(conf)))
end

return _M
