-- SPDX-License-Identifier: Apache-2.0
---@meta
--- `core.request`, `core.response`, `core.ctx`: the request and its answer.
-- For LuaLS only: nothing here is ever run. tests/lua/types_test.lua holds the names to what `require("apisix.core")` has.

---@class moongate.Core
local core = {}

core.ctx = {}

--- Adds a variable for all requests: reading `ctx.var[name]` calls `getter(ctx)`.
---@param name string
---@param getter fun(ctx: moongate.Ctx): any
---@param options {no_cacheable: boolean}?     the value is asked for at every read
function core.ctx.register_var(name, getter, options) end

--- Gives a ctx its `var`. For code that makes a ctx of its own.
---@param ctx moongate.Ctx
function core.ctx.set_vars_meta(ctx) end

core.request = {}

--- Adds a header and keeps those of the same name. Phases: rewrite, access, before_proxy.
---@param ctx moongate.Ctx?
---@param name string
---@param value string|number|boolean|string[]
---@return boolean? ok
---@return string? err
function core.request.add_header(ctx, name, value) end

--- Returns the body; nil and no error when the request has none. Phases: rewrite, access, content; later only what was
--- read before. Yields.
---@param max_bytes integer?
---@param ctx moongate.Ctx?
---@return string? body
---@return string? err
function core.request.get_body(max_bytes, ctx) end

--- Host of the request, lower-case, without port.
---@param ctx moongate.Ctx?
---@return string
function core.request.get_host(ctx) end

--- 1.0, 1.1, 2.0 or 3.0.
---@param ctx moongate.Ctx?
---@return number
function core.request.get_http_version(ctx) end

--- Address of the peer, before any forwarded header was believed.
---@param ctx moongate.Ctx?
---@return string
function core.request.get_ip(ctx) end

--- Returns the JSON body as a table, parsed once per request. Yields.
---@param ctx moongate.Ctx?
---@return table? body
---@return {message: string}? err
function core.request.get_json_request_body_table(ctx) end

--- Method in upper case.
---@param ctx moongate.Ctx?
---@return string
function core.request.get_method(ctx) end

--- Port the request came in on.
---@param ctx moongate.Ctx?
---@return number?
function core.request.get_port(ctx) end

--- Returns the fields of an urlencoded body. Yields.
---@param ctx moongate.Ctx?
---@return table
function core.request.get_post_args(ctx) end

--- Address of the client.
---@param ctx moongate.Ctx?
---@return string
function core.request.get_remote_client_ip(ctx) end

--- Port of the client.
---@param ctx moongate.Ctx?
---@return number?
function core.request.get_remote_client_port(ctx) end

--- Returns the body as a table, parsed once per request. Yields.
---@param ctx moongate.Ctx?
---@param content_type string?
---@return table? body
---@return {message: string}? err
function core.request.get_request_body_table(ctx, content_type) end

--- "http" or "https".
---@param ctx moongate.Ctx?
---@return string
function core.request.get_scheme(ctx) end

--- Returns the query as a table, cached: a name without value is true, a repeated one an array.
---@param ctx moongate.Ctx?
---@return table
function core.request.get_uri_args(ctx) end

--- Returns the first value of a header, or nil. Upper and lower case are the same, `-` and `_` are not.
--- Phases: any with a request.
---@param ctx moongate.Ctx?
---@param name string
---@return string?
function core.request.header(ctx, name) end

--- Returns all headers: lower-case names, found in any case; repeated ones are arrays. To be read only.
---@param ctx moongate.Ctx?
---@return table
function core.request.headers(ctx) end

--- Replaces a header of the request; nil removes it, an array makes several.
--- Phases: rewrite, access, before_proxy.
---@param ctx moongate.Ctx?
---@param name string
---@param value string|number|boolean|string[]|nil
---@return boolean? ok
---@return string? err     the name or value is none that can be sent
function core.request.set_header(ctx, name, value) end

--- Replaces what get_post_args returns; the body itself stays.
---@param ctx moongate.Ctx?
---@param args table
function core.request.set_post_args(ctx, args) end

--- Replaces the query that is sent upstream and seen from now on.
---@param ctx moongate.Ctx?
---@param args table|string
function core.request.set_uri_args(ctx, args) end

core.response = {}

--- Adds response headers and keeps those of the same name. Phases: rewrite to header_filter.
function core.response.add_header(...) end

--- Sets status and body of the plugin's answer without leaving: for the runner, which has left the hook already.
---@param ex ffi.cdata*
---@param ctx moongate.Ctx?
---@param code integer?     nil only appends the body
---@param ... any           parts of the body: tables become JSON and a line feed, nil nothing
function core.response.answer(ex, ctx, code, ...) end

--- Removes the headers that describe a body which a plugin is about to change. Phases: header_filter.
function core.response.clear_header_as_body_modified() end

--- Ends the request with an answer. Does not return. The first argument is taken as body unless it is a number.
--- Phases: rewrite, access, before_proxy, content.
---@param code integer?     nil appends to the body and returns
---@param ... any           string as it is, table as JSON and a line feed
function core.response.exit(code, ...) end

--- Calls `callback(code, body, headers, ...)` when the request is ended by `exit`; it returns what is sent.
---@param callback fun(code: integer, body: any, headers: table?, ...): integer, any, table?
function core.response.exit_insert_callback(callback, ...) end

--- Returns who made the answer: "apisix" (a plugin or the gateway), "nginx" (proxying failed), "upstream".
---@param ctx moongate.Ctx
---@return string?
function core.response.get_response_source(ctx) end

--- Returns the status of the upstream's last answer, or nil when there was none.
---@param ctx moongate.Ctx
---@return integer?
function core.response.get_upstream_status(ctx) end

--- Collects the body in a body_filter: nil until the last piece, then all of it. `max_bytes` ends the wait early.
---@param ctx moongate.Ctx
---@param is_copy boolean?    leaves the pieces to go on to the client
---@param max_bytes integer?
---@param key string?
---@return string?
function core.response.hold_body_chunk(ctx, is_copy, max_bytes, key) end

--- Appends to the body of the answer without ending the request. Phases: rewrite, access, before_proxy, content.
function core.response.say(...) end

--- Sets response headers: (name, value, name, value, ...) or a table. nil removes, an array makes several.
--- Phases: rewrite to header_filter.
function core.response.set_header(...) end

---@param ctx moongate.Ctx
---@param source string
function core.response.set_response_source(ctx, source) end

return core
