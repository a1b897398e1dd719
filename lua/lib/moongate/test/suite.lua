-- SPDX-License-Identifier: Apache-2.0
--- describe and it: collects the tests of one spec file, runs them, and says where and why one failed.
--
-- A describe's body runs first, whole: it starts gateways and registers tests. Then its tests run in their order, and what
-- was started ends. What a test itself starts ends with the test.

local checks = require("moongate.test.checks")
local native = require("moongate.test.native")

local _M = {}

local limit_s = 60
local spec          -- the file that runs: {path, filter, passed, failed}
local block         -- the describe whose body runs or whose tests run
local is_in_test = false

---@class moongate.test.Scope
---@field closers fun()[]      run in reverse; each returns nil, or what went wrong
---@field gateways table[]     whose logs a failure shows

local function indent(text)
  return (("\n" .. text:gsub("\n+$", "")):gsub("\n", "\n    ")):sub(2)
end

local guarded

-- The lines of the spec file that led here from the test's own function, innermost first.
local function spec_lines()
  local lines = {}
  for level = 3, 60 do
    local info = debug.getinfo(level, "Slf")
    if not info or info.func == guarded then
      break
    end
    if info.source == "@" .. spec.path and info.currentline > 0 then
      lines[#lines + 1] = info.currentline
    end
  end
  return lines
end

local function on_error(err)
  local lines = spec_lines()
  local where = spec.path .. ":" .. (lines[1] or 1)
  local from = #lines > 1 and lines[#lines] ~= lines[1] and " (from line " .. lines[#lines] .. ")" or ""
  if getmetatable(err) == checks.Failure then
    return { where = where, message = err.message .. from }
  end
  return { where = where, message = "error: " .. tostring(err) .. from }
end

local function show_last_exchange(gateway)
  local request, response = gateway.last_request, gateway.last_response
  if not request then
    return ""
  end
  local text = "    last request: " .. (request.method or "GET") .. " " .. (request.path or "/") .. "\n"
  if response then
    text = text .. "    last answer: " .. response.status .. " " .. checks.show(response.body) .. "\n"
  end
  return text
end

local function report(name, failure)
  spec.failed = spec.failed + 1
  io.write("FAILED ", failure.where, ": ", name, ": ", failure.message, "\n")
  local scope = block
  while scope do
    for _, gateway in ipairs(scope.gateways) do
      io.write(show_last_exchange(gateway))
      local log = gateway:take_log()
      if log ~= "" then
        io.write("    log of the gateway on port ", gateway.port, ":\n", indent(log), "\n")
      end
    end
    scope = scope.parent
  end
  io.flush()
end

-- Runs a function under the time limit; nil, or the failure.
function guarded(fn)
  native.limit(limit_s)
  local ok, failure = xpcall(fn, on_error)
  native.limit(0)
  if ok then
    return nil
  end
  -- A text is Lua's own word for an error within on_error, as when memory ran out.
  return type(failure) == "table" and failure or { where = spec.path .. ":1", message = "error: " .. tostring(failure) }
end

local function full_name(scope, name)
  local parts = { name }
  while scope do
    table.insert(parts, 1, scope.name)
    scope = scope.parent
  end
  return table.concat(parts, ": ")
end

local function close_all(scope, name)
  for i = #scope.closers, 1, -1 do
    local fault
    local failure = guarded(function() fault = scope.closers[i]() end)
    if failure or fault then
      report(name, failure or { where = spec.path .. ":1", message = fault })
    end
  end
  scope.closers, scope.gateways = {}, {}
end

local function run_test(parent, test)
  local name = full_name(parent, test.name)
  if spec.filter and not name:find(spec.filter, 1, true) then
    return
  end
  block = { name = test.name, parent = parent, closers = {}, gateways = {} }
  is_in_test = true
  local function run_hooks(kind)
    local chain, scope = {}, parent
    while scope do
      table.insert(chain, kind == "before" and 1 or #chain + 1, scope)
      scope = scope.parent
    end
    for _, one in ipairs(chain) do
      if one[kind] then
        one[kind]()
      end
    end
  end
  local failure = guarded(function()
    run_hooks("before")
    test.fn()
  end)
  local after_failure = guarded(function() run_hooks("after") end)
  failure = failure or after_failure
  if failure then
    report(name, failure)
  else
    spec.passed = spec.passed + 1
  end
  close_all(block, name)
  is_in_test, block = false, parent
end

local function has_wanted(scope)
  if not spec.filter or #scope.entries == 0 then
    return true
  end
  for _, entry in ipairs(scope.entries) do
    if entry.is_block or full_name(scope, entry.name):find(spec.filter, 1, true) then
      return true
    end
  end
  return false
end

local function run_block(scope)
  block = scope
  local failure = guarded(scope.fn)
  if failure then
    report(full_name(scope.parent, scope.name), failure)
  elseif has_wanted(scope) then
    for _, entry in ipairs(scope.entries) do
      if entry.is_block then
        run_block(entry)
      else
        run_test(scope, entry)
      end
    end
  end
  block = scope
  close_all(scope, full_name(scope.parent, scope.name))
  block = scope.parent
end

local function check_arguments(what, name, fn)
  if type(name) ~= "string" or type(fn) ~= "function" then
    error("t." .. what .. " takes a name and a function", 3)
  end
  if is_in_test then
    error("t." .. what .. " must not stand in a test", 3)
  end
end

function _M.describe(name, fn)
  check_arguments("describe", name, fn)
  local scope = { name = name, fn = fn, is_block = true, entries = {}, closers = {}, gateways = {}, parent = block }
  if block then
    table.insert(block.entries, scope)
  else
    run_block(scope)
  end
end

function _M.it(name, fn)
  check_arguments("it", name, fn)
  if not block then
    error("t.it stands in a t.describe", 2)
  end
  table.insert(block.entries, { name = name, fn = fn })
end

local function set_hook(kind)
  return function(fn)
    check_arguments(kind .. "_each", kind, fn)
    if not block then
      error("t." .. kind .. "_each stands in a t.describe", 2)
    end
    block[kind] = fn
  end
end

--- Runs before and after each test of the describe it stands in, and of those within.
_M.before_each = set_hook("before")
_M.after_each = set_hook("after")

--- What a test or a describe started: ended with it.
function _M.own(close, gateway)
  table.insert(block.closers, close)
  if gateway then
    table.insert(block.gateways, gateway)
  end
end

function _M.require_block(what)
  if not block then
    error("t." .. what .. " stands in a t.describe", 3)
  end
end

--- The folder of the spec that runs.
function _M.folder()
  return spec.path:match("^(.*)/[^/]*$") or "."
end

--- Runs one file; how many tests passed and failed.
---@param path string
---@param filter? string
---@return integer passed
---@return integer failed
function _M.run_file(path, filter)
  spec = { path = path, filter = filter, passed = 0, failed = 0 }
  block, is_in_test = nil, false
  local chunk, err = loadfile(path)
  local failure = not chunk and { where = tostring(err):match("^(.-:%d+):") or path .. ":1", message = "error: " .. err } or guarded(chunk)
  if failure then
    block = nil
    report("outside of any test", failure)
  end
  return spec.passed, spec.failed
end

return _M
