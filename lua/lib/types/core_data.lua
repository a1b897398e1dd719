-- SPDX-License-Identifier: Apache-2.0
---@meta
--- `core.json`, `core.table`, `core.string`, `core.schema` and the like: values.
-- For LuaLS only: nothing here is ever run. tests/lua/types_test.lua holds the names to what `require("apisix.core")` has.

---@class moongate.Core
local core = {}

core.json = {}

--- The same as stably_encode.
---@param value any
---@return string
function core.json.canonical_encode(value) end

--- Reads JSON. null becomes `core.json.null`.
---@param text string
---@param options {null_as_nil: boolean}?
---@return any value
---@return string? err
function core.json.decode(text, options) end

--- Returns an object that is encoded when it is turned into a string; for log arguments only, because the objects are
--- used again after 16 calls.
---@param value any
---@param is_forced boolean?
function core.json.delay_encode(value, is_forced) end

--- Returns the JSON text of `value`.
---@param value any
---@param is_forced boolean?    functions, userdata and cycles become strings instead of an error
---@return string? text
---@return string? err
function core.json.encode(value, is_forced) end

--- Returns JSON with sorted keys: equal content gives equal bytes. For hashing and comparing.
---@param value any
---@return string
function core.json.stably_encode(value) end

core.math = {}

---@param a integer
---@param b integer
---@return integer
function core.math.gcd(a, b) end

core.schema = {}

--- Checks `value` and writes defaults into it.
---@param schema table
---@param value any
---@return boolean ok
---@return string? err
---@return string[]? path     where in `value` the fault is
function core.schema.check(schema, value) end

--- Compiles a schema; nil and the reason when it is broken.
---@param schema table
---@return fun(value: any): boolean, string?
---@return string? err
function core.schema.valid(schema) end

core.string = {}

--- Shortens a Lua script for Redis: comments, blank lines and indentation go.
---@param script string
---@return string
function core.string.compress_script(script) end

--- Parses a query string, however many arguments it has.
---@param text string
---@return table
function core.string.decode_args(text) end

--- Makes a query string of a table.
---@param args table
---@return string
function core.string.encode_args(args) end

--- Finds `needle` as it stands.
---@param haystack string
---@param needle string
---@param from integer?
---@return integer? first
---@return integer? last
function core.string.find(haystack, needle, from) end

---@param text string
---@param prefix string
---@return boolean
function core.string.has_prefix(text, prefix) end

---@param text string
---@param suffix string
---@return boolean
function core.string.has_suffix(text, suffix) end

--- Returns the last position of the character `char`, looking backwards from `from` (the end when left out).
---@param text string
---@param char string
---@param from integer?
---@return integer?
function core.string.rfind_char(text, char, from) end

core.table = {}

--- Returns the index of `value` in `list`, or nil.
---@param list any[]
---@param value any
---@return integer?
function core.table.array_find(list, value) end

--- Empties a table and keeps its memory.
---@param t table
function core.table.clear(t) end

--- A copy, one level deep.
---@param t table
---@return table
function core.table.clone(t) end

--- Compares two values by content.
---@param one any
---@param other any
---@return boolean
function core.table.deep_eq(one, other) end

--- Copies a table with all it contains. Metatables are kept, cycles too.
---@param value any
---@param options {shallows: string[]?, shallow_prefix: string?}?    paths such as "self.upstream.parent" to share
---@return any
function core.table.deepcopy(value, options) end

--- Appends the arguments; returns the new length.
---@param list any[]
---@return integer
function core.table.insert_tail(list, ...) end

---@param t table
---@return boolean
function core.table.isarray(t) end

---@param t table
---@return boolean
function core.table.isempty(t) end

--- Merges `extend` into `origin`: tables recursively, arrays and scalars replaced, null deletes.
---@param origin table
---@param extend table
---@return table origin
function core.table.merge(origin, extend) end

--- A table with room for that many items and keys.
---@param narr integer
---@param nrec integer
---@return table
function core.table.new(narr, nrec) end

---@param t table
---@return integer
function core.table.nkeys(t) end

--- Replaces the part of `target` that `path` ("/a/b") names with `value`. An empty path merges.
---@param target table
---@param path string
---@param value any
---@return integer? code     400 when the path leads nowhere
---@return string? err
---@return table? target
function core.table.patch(target, path, value) end

--- Returns a new table with only the keys that `wanted` has: a map of name to true or {as=, type=}.
---@param t table
---@param wanted table
---@return table
function core.table.pick(t, wanted) end

--- Writes the arguments from index 1 on; returns how many there were.
---@param list any[]
---@return integer
function core.table.set(list, ...) end

--- Tells whether two arrays hold the same members, in whatever order.
---@param one any[]
---@param other any[]
---@return boolean
function core.table.set_eq(one, other) end

--- setmetatable for a metatable with __gc, which plain tables do not honour here.
---@param t table
---@param mt table
---@return table
function core.table.setmt__gc(t, mt) end

--- Returns t[a][b]..., or nil as soon as something on the way is no table.
---@param t any
function core.table.try_read_attr(t, ...) end

core.tablepool = {}

--- Takes a table from the pool `tag`, or makes one.
---@param tag string
---@param narr integer
---@param nrec integer
---@return table
function core.tablepool.fetch(tag, narr, nrec) end

--- Gives a table back, emptied unless `is_kept`. Nobody may use it afterwards.
---@param tag string
---@param t table
---@param is_kept boolean?
function core.tablepool.release(tag, t, is_kept) end

return core
