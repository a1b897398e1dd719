-- SPDX-License-Identifier: Apache-2.0
-- Stands in for the parts of the runtime that need a process or a request: a clock that tests move, a log that they
-- read, and requests made of tables. Digests, expressions, encodings are the real ones.

local ffi = require("ffi")
local native = require("moongate.native")

local _M = { now = 1700000000.25, lines = {}, level = 8 }

local keep = {} -- strings that views point to

local function view(out, text)
  if text == nil then
    out[0].data, out[0].size = nil, 0
    return 0
  end
  keep[#keep + 1] = text
  out[0].data, out[0].size = text, #text
  return 1
end

local function str(data, size)
  return ffi.string(data, size)
end

-- Exchanges are numbers to C++ pointers here: a struct whose address finds the table.
local requests = {}

local function request_of(ex)
  return requests[tonumber(ffi.cast("uintptr_t", ex))]
end

local function find_field(list, name)
  for index, field in ipairs(list) do
    if field[1]:lower() == name:lower() then
      return field, index
    end
  end
end

local function remove_field(list, name)
  local _, index = find_field(list, name)
  while index do
    table.remove(list, index)
    _, index = find_field(list, name)
  end
end

local fake = {}

function fake.mg_now() return _M.now end
function fake.mg_now_fresh() return _M.now end
function fake.mg_steady() return _M.now end
function fake.mg_log_level() return _M.level end
function fake.mg_log(level, text, size) _M.lines[#_M.lines + 1] = { level, str(text, size) } end
function fake.mg_worker_is_exiting() return 0 end
function fake.mg_worker_pid() return 4242 end
function fake.mg_snapshot_number() return 1 end
function fake.mg_has_managed_credentials() return 0 end
function fake.mg_credential_find() return -1 end
function fake.mg_credential_find_in_header() return -1 end
function fake.mg_random() return 7ULL end

function fake.mg_random_bytes(out, size)
  for index = 0, size - 1 do
    out[index] = math.random(0, 255)
  end
  return 1
end

function fake.mg_var_get(ex, name, size, out)
  return view(out, request_of(ex).vars[str(name, size)])
end

function fake.mg_var_set(ex, name, size, value, value_size)
  local request = request_of(ex)
  name = str(name, size)
  if not request.writable[name] then
    return 0
  end
  request.vars[name] = str(value, value_size)
  return 1
end

function fake.mg_request_method_get(ex, out) view(out, request_of(ex).method) end
function fake.mg_request_query_get(ex, out) view(out, request_of(ex).query) end

function fake.mg_request_query_set(ex, query, size)
  request_of(ex).query = str(query, size)
  return 1
end

function fake.mg_request_body_get(ex, out)
  local body = request_of(ex).body
  view(out, body)
  return body and 2 or 0
end

local numbers, texts = {}, {}

function fake.mg_field_name(name, size)
  name = str(name, size)
  if not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then
    return -1
  end
  if not numbers[name] then
    texts[#texts + 1] = name
    numbers[name] = #texts + 63
  end
  return numbers[name]
end

local open = {
  mg_request = { rewrite = true, access = true, before_proxy = true },
  mg_response = { rewrite = true, access = true, before_proxy = true, header_filter = true },
}

local function is_too_late(prefix, ex)
  local is_gone = prefix == "mg_response" and request_of(ex).is_sent
  return is_gone or not open[prefix][require("moongate.current").phase]
end

for prefix, list in pairs({ mg_request = "headers", mg_response = "response_headers" }) do
  fake[prefix .. "_field_get"] = function(ex, name, out)
    local field = name >= 0 and find_field(request_of(ex)[list], texts[name - 63]) or nil
    return view(out, field and field[2])
  end
  fake[prefix .. "_field_count"] = function(ex)
    return #request_of(ex)[list]
  end
  fake[prefix .. "_field_count_of"] = function(ex, name)
    local count = 0
    for _, field in ipairs(request_of(ex)[list]) do
      count = count + (field[1]:lower() == texts[name - 63]:lower() and 1 or 0)
    end
    return count
  end
  fake[prefix .. "_field_at"] = function(ex, index, name, value)
    local field = request_of(ex)[list][index + 1]
    view(name, field[1])
    view(value, field[2])
  end
  fake[prefix .. "_field_remove"] = function(ex, name)
    if is_too_late(prefix, ex) then
      return 2
    end
    remove_field(request_of(ex)[list], texts[name - 63])
    return 1
  end
  fake[prefix .. "_field_add"] = function(ex, name, value, value_size)
    if is_too_late(prefix, ex) then
      return 2
    elseif name < 0 then
      return 0
    end
    value = str(value, value_size)
    if value:find("[\r\n]") then
      return 0
    end
    table.insert(request_of(ex)[list], { texts[name - 63], value })
    return 1
  end
  fake[prefix .. "_field_set"] = function(ex, name, value, value_size)
    if is_too_late(prefix, ex) then
      return 2
    elseif name < 0 or str(value, value_size):find("[\r\n]") then
      return 0
    end
    remove_field(request_of(ex)[list], texts[name - 63])
    return fake[prefix .. "_field_add"](ex, name, value, value_size)
  end
end

function fake.mg_response_number_set(ex, name, number)
  local text = ("%.14g"):format(number)
  return fake.mg_response_field_set(ex, name, text, #text)
end

function fake.mg_response_quota_set(ex, names, limit, remaining, reset_s)
  fake.mg_response_number_set(ex, names.limit, limit)
  fake.mg_response_number_set(ex, names.remaining, remaining)
  return fake.mg_response_number_set(ex, names.reset, reset_s)
end

function fake.mg_response_status_get(ex) return request_of(ex).status or 0 end
function fake.mg_response_status_set(ex, status) request_of(ex).status = status end
function fake.mg_response_is_sent(ex) return request_of(ex).is_sent and 1 or 0 end
function fake.mg_response_source(ex) return request_of(ex).source or 0 end

function fake.mg_answer_append(ex, data, size)
  local request = request_of(ex)
  request.answer = (request.answer or "") .. str(data, size)
end

--- Puts the fakes in front of the runtime's functions. Called before anything of the library is loaded.
function _M.install()
  native.C = setmetatable(fake, { __index = ffi.C })
end

--- Makes a request and runs `fn(ctx, request)` in it.
function _M.with_request(request, phase, fn)
  local current = require("moongate.current")
  local var = require("moongate.var")
  request.vars, request.writable = request.vars or {}, request.writable or {}
  request.headers, request.response_headers = request.headers or {}, request.response_headers or {}
  local memory = ffi.new("char[1]")
  local ex = ffi.cast("mg_exchange *", memory)
  requests[tonumber(ffi.cast("uintptr_t", ex))] = request
  local ctx = { _ex = ex }
  ctx.var = var.new(ex, ctx)
  current.ctx, current.ex, current.phase = ctx, ex, phase
  local ok, err = xpcall(fn, function(text)
    return type(text) == "string" and debug.traceback(text) or text
  end, ctx, request)
  current.ctx, current.ex, current.phase = nil, nil, "init"
  requests[tonumber(ffi.cast("uintptr_t", ex))] = nil
  keep = { memory }
  if not ok then
    error(err, 0)
  end
end

return _M
