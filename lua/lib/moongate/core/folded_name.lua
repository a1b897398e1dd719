-- SPDX-License-Identifier: Apache-2.0
--- Names as readers have them that take no notice of case: Go and ASP.NET find `action` where a body says `Action`.

local find = string.find
local gsub = string.gsub
local lower = string.lower

--- Returns `name` in lower case, with the letters that become `s` and `k` where Unicode's case is ignored.
---@param name string
---@return string
return function(name)
  if find(name, "[\197\226]") then
    name = gsub(gsub(name, "\197\191", "s"), "\226\132\170", "k")
  end
  return lower(name)
end
