-- SPDX-License-Identifier: Apache-2.0
-- Runs the tests of the Lua library on the plain luajit program: `luajit run.lua LIBRARY [NAME]`. LIBRARY is the shared
-- library mg_lua_native; NAME runs only the files whose name contains it.

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
local root = folder .. "/../.."
package.path = root .. "/lua/lib/?.lua;" .. root .. "/lua/lib/?/init.lua;" .. folder .. "/?.lua;" .. package.path

if not arg[1] then
  io.stderr:write("usage: luajit run.lua LIBRARY [NAME]\n")
  os.exit(2)
end
require("ffi").load(arg[1], true)
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
  if not arg[2] or path:find(arg[2], 1, true) then
    dofile(path)
  end
end
files:close()

print(passed .. " passed, " .. failed .. " failed")
os.exit(failed == 0 and passed > 0 and 0 or 1)
