-- SPDX-License-Identifier: Apache-2.0
-- What the tests of the Lua library claim with.

local deep_eq = require("moongate.core.table").deep_eq
local json = require("moongate.core.json")

local _M = {}

function _M.equal(got, expected)
  if got ~= expected then
    error("expected " .. tostring(expected) .. ", got " .. tostring(got), 2)
  end
end

function _M.same(got, expected)
  if not deep_eq(got, expected) then
    error("expected " .. tostring(json.encode(expected, true)) .. ", got " .. tostring(json.encode(got, true)), 2)
  end
end

function _M.raises(fn, text)
  local ok, err = pcall(fn)
  if ok then
    error("expected an error with: " .. text, 2)
  end
  if not tostring(err):find(text, 1, true) then
    error("expected an error with: " .. text .. ", got: " .. tostring(err), 2)
  end
end

return _M
