-- SPDX-License-Identifier: Apache-2.0
-- Runs the tests of the Lua library on the plain luajit program: `luajit run.lua [LIBRARY.so] [NAME ...]`. LIBRARY.so is
-- the shared library mg_lua_native, that of build/release when left out; a NAME runs only the files whose name
-- contains it.

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
local root = folder .. "/../.."
package.path = root .. "/lua/lib/?.lua;" .. root .. "/lua/lib/?/init.lua;" .. folder .. "/?.lua;" .. package.path

local function find_library()
  if arg[1] and arg[1]:find("%.so$") then
    return table.remove(arg, 1)
  end
  local path = root .. "/build/release/tests/lua/libmg_lua_native.so"
  local file = io.open(path, "rb")
  if file then
    file:close()
    return path
  end
  io.stderr:write("build mg_lua_native first (tools/setup does), or name the library\n")
  os.exit(2)
end

local function is_wanted(path)
  for _, name in ipairs(arg) do
    if path:find(name, 1, true) then
      return true
    end
  end
  return #arg == 0
end

-- Kept in a variable: a library that is collected takes its functions along.
local library = require("ffi").load(find_library(), true)
require("fake_runtime").install()

local passed, failed = 0, 0

function _G.test(claim, fn)
  local ok, err = xpcall(fn, debug.traceback)
  if ok then
    passed = passed + 1
  else
    failed = failed + 1
    print("FAILED: " .. claim .. "\n" .. tostring(err))
  end
end

local files = assert(io.popen("ls " .. folder .. "/*_test.lua"))
for path in files:lines() do
  if is_wanted(path) then
    dofile(path)
  end
end
files:close()

print(passed .. " passed, " .. failed .. " failed")
os.exit(library and failed == 0 and passed > 0 and 0 or 1)
