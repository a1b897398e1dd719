-- SPDX-License-Identifier: Apache-2.0
--- `ngx.shared`: dictionaries in memory that all workers share.

local ffi = require("ffi")
local native = require("moongate.native")

local C = native.C
local error = error
local ffi_string = ffi.string
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

local done, not_found = 0, 1
local errors = { "not found", "exists", "no memory", "not a number" }
local stale = 5
local nil_type, bool_type, number_type, string_type = 0, 1, 2, 3

local value_in = ffi.new("mg_dict_value")
local value_out = ffi.new("mg_dict_value")
local number_out = ffi.new("double[1]")
local length_out = ffi.new("uint32_t[1]")
local forcible_out = ffi.new("int[1]")
local cursor = ffi.new("uint64_t[1]")
local key_out = ffi.new("mg_text[1]")

local dict_methods = {}
dict_methods.__index = dict_methods

local function key_of(key)
  if type(key) == "string" then
    return key
  end
  if key == nil then
    error("nil key", 3)
  end
  return tostring(key)
end

-- Fills value_in. The string must stay referenced by the caller until the call is made.
local function put(value, flags)
  local kind = type(value)
  if kind == "string" then
    value_in.type, value_in.data, value_in.size = string_type, value, #value
  elseif kind == "number" then
    value_in.type, value_in.number = number_type, value
  elseif kind == "boolean" then
    value_in.type, value_in.number = bool_type, value and 1 or 0
  elseif kind == "nil" then
    value_in.type = nil_type
  else
    return false
  end
  value_in.flags = flags or 0
  return true
end

local function taken()
  local kind = value_out.type
  if kind == string_type then
    return ffi_string(value_out.data, value_out.size)
  elseif kind == number_type then
    return value_out.number
  elseif kind == bool_type then
    return value_out.number ~= 0
  end
  return nil
end

local function flags_of()
  return value_out.flags ~= 0 and tonumber(value_out.flags) or nil
end

--- Returns the value of a live key, and its flags when there are any.
---@param key string
---@return string|number|boolean|nil value
---@return integer|string|nil flags_or_err
function dict_methods:get(key)
  key = key_of(key)
  local code = C.mg_dict_get(self._dict, key, #key, 0, value_out)
  if code ~= done then
    return nil, code ~= not_found and errors[code] or nil
  end
  return taken(), flags_of()
end

--- As `get`, but returns expired values that are still there, too.
---@return any value
---@return integer? flags
---@return boolean? is_stale
function dict_methods:get_stale(key)
  key = key_of(key)
  local code = C.mg_dict_get(self._dict, key, #key, 1, value_out)
  if code ~= done and code ~= stale then
    return nil
  end
  return taken(), flags_of(), code == stale
end

local function storer(op)
  return function(self, key, value, ttl, flags)
    key = key_of(key)
    if not put(value, flags) then
      return nil, "bad value type"
    end
    forcible_out[0] = 0
    local code = C.mg_dict_store(self._dict, op, key, #key, value_in, ttl or 0, forcible_out)
    if code ~= done then
      return false, errors[code], forcible_out[0] ~= 0
    end
    return true, nil, forcible_out[0] ~= 0
  end
end

dict_methods.set = storer(0)
dict_methods.add = storer(1)
dict_methods.replace = storer(2)
dict_methods.safe_set = storer(3)
dict_methods.safe_add = storer(4)

--- Adds `by` to a number; a missing key starts at `init` when that is given.
---@return number? value
---@return string? err
---@return boolean? is_forcible
function dict_methods:incr(key, by, init, init_ttl)
  key = key_of(key)
  by = tonumber(by)
  if not by then
    error("bad value argument, number expected", 2)
  end
  forcible_out[0] = 0
  local code = C.mg_dict_incr(self._dict, key, #key, by, init and 1 or 0, init or 0, init_ttl or 0, number_out,
    forcible_out)
  if code ~= done then
    return nil, errors[code], forcible_out[0] ~= 0
  end
  return number_out[0], nil, init and forcible_out[0] ~= 0 or nil
end

function dict_methods:delete(key)
  key = key_of(key)
  C.mg_dict_delete(self._dict, key, #key)
  return true
end

--- Sets the time to live; 0 is for ever.
function dict_methods:expire(key, ttl)
  key = key_of(key)
  local code = C.mg_dict_expire(self._dict, key, #key, ttl)
  if code ~= done then
    return nil, errors[code]
  end
  return true
end

--- Returns the seconds left; 0 is for ever.
function dict_methods:ttl(key)
  key = key_of(key)
  local code = C.mg_dict_ttl(self._dict, key, #key, number_out)
  if code ~= done then
    return nil, errors[code]
  end
  return number_out[0]
end

local list_errors = { "not found", "exists", "no memory", "value not a list" }

local function pusher(is_left)
  return function(self, key, value)
    key = key_of(key)
    if type(value) ~= "string" and type(value) ~= "number" then
      return nil, "bad value type"
    end
    put(value)
    local code = C.mg_dict_push(self._dict, key, #key, is_left, value_in, length_out)
    if code ~= done then
      return nil, list_errors[code]
    end
    return tonumber(length_out[0])
  end
end

local function popper(is_left)
  return function(self, key)
    key = key_of(key)
    local code = C.mg_dict_pop(self._dict, key, #key, is_left, value_out)
    if code ~= done then
      return nil, code ~= not_found and list_errors[code] or nil
    end
    return taken()
  end
end

dict_methods.lpush = pusher(1)
dict_methods.rpush = pusher(0)
dict_methods.lpop = popper(1)
dict_methods.rpop = popper(0)

function dict_methods:llen(key)
  key = key_of(key)
  local code = C.mg_dict_length(self._dict, key, #key, length_out)
  if code == not_found then
    return 0
  end
  if code ~= done then
    return nil, list_errors[code]
  end
  return tonumber(length_out[0])
end

function dict_methods:flush_all()
  C.mg_dict_flush_all(self._dict)
end

---@param max integer?
---@return integer flushed
function dict_methods:flush_expired(max)
  return tonumber(C.mg_dict_flush_expired(self._dict, max or 0))
end

--- Returns live keys: at most `max`, 1,024 when left out, all when 0.
---@param max integer?
---@return string[]
function dict_methods:get_keys(max)
  max = max or 1024
  local keys = {}
  cursor[0] = 0
  while (max == 0 or #keys < max) and C.mg_dict_next_key(self._dict, cursor, key_out) == 1 do
    keys[#keys + 1] = ffi_string(key_out[0].data, key_out[0].size)
  end
  return keys
end

function dict_methods:capacity()
  return C.mg_dict_capacity(self._dict)
end

function dict_methods:free_space()
  return C.mg_dict_free_space(self._dict)
end

--- Indexed by the name of a dictionary; nil when none of that name is declared.
return setmetatable({}, {
  __index = function(shared, name)
    if type(name) ~= "string" then
      return nil
    end
    local handle = C.mg_dict_find(name, #name)
    if handle == nil then
      return nil
    end
    local dict = setmetatable({ _dict = handle }, dict_methods)
    rawset(shared, name, dict)
    return dict
  end,
})
