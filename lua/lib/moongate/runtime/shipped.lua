-- SPDX-License-Identifier: Apache-2.0
--- Finds the parts of shipped plugins: `apisix.plugins.limit-count.key` is plugins/limit-count/key.lua beside lib/.
--- A plugin's main file is not found here: it comes with the snapshot (loader.lua).

local package = package

local _M = {}

local function search(name)
  local rest = name:match("^apisix%.plugins%.(.+%..+)$")
  if not rest then
    return "\n\tno shipped plugin part '" .. name .. "'"
  end
  local root = package.path:match("([^;]*)/lib/%?%.lua")
  local path = root .. "/plugins/" .. rest:gsub("%.", "/") .. ".lua"
  local chunk, err = loadfile(path)
  if not chunk then
    return "\n\t" .. err
  end
  return chunk
end

--- Adds the search to `require`. Called once per state.
function _M.install()
  table.insert(package.loaders, search)
end

return _M
