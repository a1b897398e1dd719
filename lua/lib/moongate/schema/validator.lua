-- SPDX-License-Identifier: Apache-2.0
--- JSON Schema (draft 4, 6 and 7 as far as configuration uses them), with APISIX's wording of errors. Checking a value
--- writes the defaults of missing properties into it.
--
-- A schema is compiled once per table into a tree of closures (schema/compiler.lua), kept by the schema's identity;
-- it must not change afterwards.

local bounded_map = require("moongate.bounded_map")
local compiler = require("moongate.schema.compiler")

local pcall = pcall
local type = type

local _M = {}

-- Those of plugins that are gone fall out when newer ones come.
local compiled = bounded_map.new(2048)

--- Compiles a schema.
---@param schema table
---@return (fun(value: any): boolean, string?, string[]?)? validate
---@return string? err
function _M.compile(schema)
  if type(schema) ~= "table" then
    return nil, "a schema is a table, not a " .. type(schema)
  end
  local validate = compiled:get(schema)
  if not validate then
    local ok, result = pcall(compiler.compile, schema)
    if not ok then
      return nil, result
    end
    validate = result
    compiled:set(schema, validate)
  end
  return validate
end

--- Checks `value`, writing defaults into it.
---@param schema table
---@param value any
---@return boolean ok
---@return string? err         the first fault
---@return string[]? path      the keys that lead to it
function _M.check(schema, value)
  local validate, err = _M.compile(schema)
  if not validate then
    return false, err
  end
  return validate(value)
end

return _M
