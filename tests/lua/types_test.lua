-- SPDX-License-Identifier: Apache-2.0
-- The stubs in lua/lib/types/ name exactly the functions that plugins really find.

local folder = package.path:match("([^;]*)/lib/%?%.lua") .. "/lib/types/"

-- The functions that the stubs say `root` has, as "group.name" or "name".
local function read_stubs(root, files)
  local names = {}
  for _, name in ipairs(files) do
    local file = assert(io.open(folder .. name .. ".lua"))
    local text = file:read("*a")
    file:close()
    assert(loadstring(text, "@" .. name)) -- it must at least be Lua
    for function_name in text:gmatch("\nfunction " .. root .. "%.([%w_.]+)%(") do
      assert(not names[function_name], function_name .. " stands there twice")
      names[function_name] = true
    end
  end
  return names
end

local function collect(object, prefix, names)
  for key, value in pairs(object) do
    if type(value) == "function" then
      names[prefix .. key] = true
    elseif type(value) == "table" and prefix == "" and type(key) == "string" then
      collect(value, key .. ".", names)
    end
  end
  return names
end

local function list_missing(from, within)
  local missing = {}
  for name in pairs(from) do
    if not within[name] then
      missing[#missing + 1] = name
    end
  end
  table.sort(missing)
  return table.concat(missing, ", ")
end

local function compare(root, object, files)
  local stubs, real = read_stubs(root, files), collect(object, "", {})
  assert(next(stubs) and next(real), "nothing to compare")
  local absent, unknown = list_missing(stubs, real), list_missing(real, stubs)
  assert(absent == "", "stubs without a function: " .. absent)
  assert(unknown == "", "functions without a stub: " .. unknown)
end

test("the stubs of core name what require('apisix.core') has", function()
  compare("core", require("apisix.core"), { "core_http", "core_data", "core_process" })
end)

test("the stubs of ngx name what plugins find there", function()
  compare("ngx", require("moongate.ngx"), { "ngx" })
end)
