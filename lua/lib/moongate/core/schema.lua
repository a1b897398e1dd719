-- SPDX-License-Identifier: Apache-2.0
--- `core.schema`: JSON Schema checks of configuration. Indexing it with the name of a shared definition (`uri_def`,
--- `id_schema`, `upstream`, ...) gives that schema.

local validator = require("moongate.schema.validator")

local _M = {
  --- Second argument of a plugin's check_schema: the conf is a credential, or the plugin's metadata.
  TYPE_CONSUMER = 1,
  TYPE_METADATA = 2,
}

--- Checks `value` and writes defaults into it.
---@param schema table
---@param value any
---@return boolean ok
---@return string? err
---@return string[]? path     where in `value` the fault is
function _M.check(schema, value)
  -- `_meta` in a plugin's conf belongs to the runtime, which checks it; no plugin's schema knows it.
  local meta = type(value) == "table" and value._meta
  if not meta then
    return validator.check(schema, value)
  end
  value._meta = nil
  local ok, err, path = validator.check(schema, value)
  value._meta = meta
  return ok, err, path
end

--- Compiles a schema; nil and the reason when it is broken.
---@param schema table
---@return fun(value: any): boolean, string?
---@return string? err
function _M.valid(schema)
  return validator.compile(schema)
end

setmetatable(_M, {
  __index = function(_, key)
    return require("moongate.schema.definitions")[key]
  end,
  __newindex = function()
    error("no modification allowed", 2)
  end,
})

return _M
