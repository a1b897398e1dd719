-- SPDX-License-Identifier: Apache-2.0
--- `core.sleep(seconds)`: sleeps in steps of at most a second and returns early when the worker is to exit. Yields.

local native = require("moongate.native")
local wait = require("moongate.wait")

local C = native.C
local min = math.min

---@param seconds number
return function(seconds)
  repeat
    wait.sleep(min(seconds, 1))
    seconds = seconds - 1
  until seconds <= 0 or C.mg_worker_is_exiting() ~= 0
end
