-- SPDX-License-Identifier: Apache-2.0
--- What gzip, brotli and zstd share: whether the client takes a coding, which of those offered it likes best, and
--- whether an answer is of the kind that a conf names. The coding itself is the runtime's, which looks at the final
--- head once more: an answer that is coded already, has no body, is a part (206), too short, or must not be
--- transformed goes as it is. Unless a conf's `vary` is false, every answer of its kind says `Vary: Accept-Encoding`.

local ffi = require("ffi")
local bounded_map = require("moongate.bounded_map")
local fields = require("moongate.fields")
local native = require("moongate.native")
local phase = require("moongate.phase")

local C = native.C
local find = string.find
local gmatch = string.gmatch
local ipairs = ipairs
local lower = string.lower
local match = string.match
local min = math.min
local pairs = pairs
local setmetatable = setmetatable
local tonumber = tonumber
local type = type

-- For equal wishes of the client: the one that makes bodies smaller first.
local codings = { br = 2, zstd = 3, gzip = 1 }
local ranks = { br = 3, zstd = 2, gzip = 1 }
local aliases = { ["x-gzip"] = "gzip" }

local parsed = bounded_map.new(256)
local parsed_text_max_bytes = 256 -- longer ones are not worth the memory
local piece_max_bytes = 1048576

local _M = {}

--- The fields that all of them have, with `extra` ones.
---@param extra table<string, table>
---@return table
function _M.schema(extra)
  local properties = {
    types = {
      anyOf = {
        { type = "array", minItems = 1, items = { type = "string", minLength = 1 } },
        { enum = { "*" } },
      },
      default = { "text/html" },
    },
    min_length = { type = "integer", minimum = 1, default = 20 },
    http_version = { enum = { 1.1, 1.0 }, default = 1.1 },
    vary = { type = "boolean" }, -- false: no `Vary`
  }
  for name, field in pairs(extra) do
    properties[name] = field
  end
  return { type = "object", properties = properties }
end

-- A weight that is none counts as a refusal.
local function weight_of(parameters)
  local text = match(parameters, ";%s*[qQ]=%s*([^;%s]*)")
  if not text then
    return 1
  end
  local weight = match(text, "^[01]%.?%d*$") and tonumber(text)
  return weight and weight <= 1 and weight or 0
end

--- Reads an Accept-Encoding: coding to weight, lower-case names, `*` included.
---@param text string
---@return table<string, number>
function _M.parse_accept(text)
  local weights = parsed:get(text)
  if weights then
    return weights
  end
  weights = {}
  for element in gmatch(text, "[^,]+") do
    local name, parameters = match(element, "^%s*([^%s;]+)(.*)$")
    if name then
      name = lower(name)
      weights[aliases[name] or name] = weight_of(parameters)
    end
  end
  if #text <= parsed_text_max_bytes then
    parsed:set(text, weights)
  end
  return weights
end

-- A 304 need not say what it is about. A client whose copy was coded has the answer's tag as a weak one.
local function has_coded_form(ex)
  local tag, known = fields.response_get(ex, "etag"), fields.request_get(ex, "if-none-match")
  return tag ~= nil and known ~= nil and find(known, "W/" .. tag, 1, true) ~= nil
end

local function is_of_types(types, ex)
  if types == "*" then
    return true
  end
  local content_type = fields.response_get(ex, "content-type")
  if not content_type and C.mg_response_status_get(ex) == 304 then
    return has_coded_form(ex)
  end
  content_type = content_type and lower(match(content_type, "^%s*([^;%s]*)"))
  for index = 1, #types do
    if lower(types[index]) == content_type then
      return true
    end
  end
  return false
end

-- Caches keep both forms only when they are told that there are two.
local function add_vary(ex)
  local values = fields.response_values(ex, "vary")
  for _, value in ipairs(type(values) == "table" and values or { values }) do
    for name in gmatch(lower(value), "[^%s,]+") do
      if name == "accept-encoding" or name == "*" then
        return
      end
    end
  end
  if type(values) == "string" then
    fields.response_set(ex, "Vary", values .. ", Accept-Encoding")
  else
    fields.response_add(ex, "Vary", "Accept-Encoding")
  end
end

local prepared = setmetatable({}, { __mode = "k" })

local function prepare(name, conf)
  local buffers = conf.buffers or { number = 32, size = 4096 }
  local plan = ffi.new("mg_coding", {
    coding = codings[name],
    level = conf.comp_level,
    window_bits = conf.lgwin or 0,
    block_bits = conf.lgblock or 0,
    mode = conf.mode or 0,
    length_min = conf.min_length,
    piece_max = min(buffers.number * buffers.size, piece_max_bytes),
  })
  prepared[conf] = plan
  return plan
end

--- Has the answer coded unless the client does not take it so, or likes better what another plugin offered before.
--- Phases: header_filter.
---@param name "gzip"|"br"|"zstd"
---@param conf table
---@param ctx moongate.Ctx
---@return boolean is_taken
function _M.offer(name, conf, ctx)
  local ex = phase.exchange(ctx)
  if not is_of_types(conf.types, ex) then
    return false
  end
  if conf.vary ~= false then -- also where this client gets it uncoded: another would not
    add_vary(ex)
  end
  if C.mg_request_version(ex) / 10 < conf.http_version then
    return false
  end
  local accepted = fields.request_get(ex, "accept-encoding")
  if not accepted or accepted == "" then
    return false
  end
  local weights = _M.parse_accept(accepted)
  local weight = weights[name] or weights["*"] or 0
  if weight == 0 or weight < (weights.identity or 0) then
    return false
  end
  local best = ctx._coding_offer
  if best and (weight < best.weight or weight == best.weight and ranks[name] < ranks[best.name]) then
    return false
  end
  ctx._coding_offer = { name = name, weight = weight }
  C.mg_response_encode(ex, prepared[conf] or prepare(name, conf))
  return true
end

return _M
