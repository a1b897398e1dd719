-- SPDX-License-Identifier: Apache-2.0
--- `core.log`: one function per level, which joins its arguments. Below the configured level a call costs one
--- comparison; use `delay_exec` or `core.json.delay_encode` for arguments that are dear to make.

local native = require("moongate.native")

local C = native.C
local concat = table.concat
local format = string.format
local getinfo = debug.getinfo
local pcall = pcall
local select = select
local tostring = tostring
local type = type

local levels = { stderr = 0, emerg = 1, alert = 2, crit = 3, error = 4, warn = 5, notice = 6, info = 7, debug = 8 }

local _M = { levels = levels }

local function text_of(value)
  if type(value) == "string" then
    return value
  end
  local ok, text = pcall(tostring, value)
  return ok and text or "?"
end

--- Writes one line at `level`. `depth` says whose place in the source stands in front: 1 the caller of write.
---@param level integer
---@param depth integer
---@param prefix string?
function _M.write(level, depth, prefix, ...)
  local count = select("#", ...)
  local parts = {}
  for index = 1, count do
    parts[index] = text_of((select(index, ...)))
  end
  local info = getinfo(depth + 1, "Sl")
  local place = info and format("[lua] %s:%d: ", info.short_src, info.currentline) or ""
  local text = place .. (prefix or "") .. concat(parts)
  C.mg_log(level, text, #text)
end

local function make_logger(level, prefix)
  local write = _M.write
  return function(...)
    if level <= C.mg_log_level() then
      write(level, 2, prefix, ...)
    end
  end
end

local function make_all(target, prefix)
  for name, level in pairs(levels) do
    target[name] = make_logger(level, prefix)
  end
  return target
end

make_all(_M)

--- Returns an object with the same functions, whose lines all begin with `prefix`.
---@param prefix string
---@return table
function _M.new(prefix)
  return make_all({}, prefix)
end

local delayed_mt = {
  __tostring = function(delayed)
    if delayed.text == nil then
      delayed.text = text_of(delayed.fn(unpack(delayed.args, 1, delayed.count)))
    end
    return delayed.text
  end,
}

--- Returns an object that calls `fn(...)` when it is written to the log, once, and not before.
---@param fn fun(...): any
function _M.delay_exec(fn, ...)
  return setmetatable({ fn = fn, args = { ... }, count = select("#", ...) }, delayed_mt)
end

return _M
