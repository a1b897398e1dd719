-- SPDX-License-Identifier: Apache-2.0
---@meta
--- `core.log`, `core.timer`, `core.lrucache`, `core.utils` and the rest: the process around the request.
-- For LuaLS only: nothing here is ever run. tests/lua/types_test.lua holds the names to what `require("apisix.core")` has.

---@class moongate.Core
local core = {}

core.config = {}

--- Returns the configuration.
---@return table
function core.config.local_conf() end

--- Sets the configuration. For the runner.
---@param value table
function core.config.set_local_conf(value) end

core.config_local = {}

--- Returns the configuration.
---@return table
function core.config_local.local_conf() end

--- Sets the configuration. For the runner.
---@param value table
function core.config_local.set_local_conf(value) end

core.config_util = {}

--- Iterates over the resources in `list` and leaves out the places of deleted ones, which hold false.
---@param list table
function core.config_util.iterate_values(list) end

--- Reads a time with units, such as "1m30s" or "100ms", largest unit first; a number alone is seconds.
---@param text string|number
---@return number? seconds
---@return string? err
function core.config_util.parse_time_unit(text) end

core.env = {}

--- Returns what a reference stands for. With a key, the variable holds a JSON object and one member of it is meant.
---@param uri string     "$env://NAME" or "$env://NAME/key"; the prefix in any case
---@return any? value
---@return string? err
function core.env.fetch_by_uri(uri) end

---@param name string
---@return string?
function core.env.get(name) end

core.event = {}

---@param kind integer
function core.event.push(kind, ...) end

--- Calls `handler(...)` at every push of `kind`.
---@param kind integer
---@param handler fun(...)
function core.event.register(kind, handler) end

---@param kind integer
---@param handler fun(...)
function core.event.unregister(kind, handler) end

core.id = {}

--- Returns a random UUID.
---@return string
function core.id.gen_uuid_v4() end

--- Returns the id of this instance: the configured one, or one made at start.
---@return string
function core.id.get() end

--- Fixes the id. The runner calls it before plugins are loaded.
---@param id string
function core.id.set(id) end

core.io = {}

--- Returns the content of a file.
---@param path string
---@return string? content
---@return string? err
function core.io.get_file(path) end

core.ip = {}

--- Makes a matcher for a list of addresses and networks.
---@param list string[]
---@return table? matcher     has `:match(ip)` which gives a boolean
---@return string? err
function core.ip.create_ip_matcher(list) end

--- Tells whether `text` is an address or a network.
---@param text string
---@return boolean
function core.ip.validate_cidr_or_ip(text) end

core.log = {}

--- Writes a line at level alert: the arguments, joined.
function core.log.alert(...) end

--- Writes a line at level crit: the arguments, joined.
function core.log.crit(...) end

--- Writes a line at level debug: the arguments, joined.
function core.log.debug(...) end

--- Returns an object that calls `fn(...)` when it is written to the log, once, and not before.
---@param fn fun(...): any
function core.log.delay_exec(fn, ...) end

--- Writes a line at level emerg: the arguments, joined.
function core.log.emerg(...) end

--- Writes a line at level error: the arguments, joined.
function core.log.error(...) end

--- Writes a line at level info: the arguments, joined.
function core.log.info(...) end

--- Returns an object with the same functions, whose lines all begin with `prefix`.
---@param prefix string
---@return table
function core.log.new(prefix) end

--- Writes a line at level notice: the arguments, joined.
function core.log.notice(...) end

--- Writes a line at level stderr: the arguments, joined.
function core.log.stderr(...) end

--- Writes a line at level warn: the arguments, joined.
function core.log.warn(...) end

--- Writes one line at `level`. `depth` says whose place in the source stands in front: 1 the caller of write.
---@param level integer
---@param depth integer
---@param prefix string?
function core.log.write(level, depth, prefix, ...) end

core.lrucache = {}

--- The cache that all plugins share.
---@param key any
---@param version any
---@param create_fn function
---@return any value
---@return string? err
function core.lrucache.global(key, version, create_fn, ...) end

--- Makes a cache. Options: count, ttl (seconds), type = "plugin" for the small defaults, invalid_stale, serial_creating
--- (one request makes an object, the others wait), neg_ttl and neg_count (failures are remembered, too).
---@param options table?
---@return fun(key: any, version: any, create_fn: function, ...): any, string?
function core.lrucache.new(options) end

--- Calls `cache` with the conf of the running plugin as key and its version.
---@param cache function
---@param ctx moongate.Ctx
---@param extra_key string?
---@param create_fn function
function core.lrucache.plugin_ctx(cache, ctx, extra_key, create_fn, ...) end

--- Returns the key and the version that plugin_ctx uses, as one string.
---@param ctx moongate.Ctx
---@param extra_key string?
---@return string
function core.lrucache.plugin_ctx_id(ctx, extra_key) end

core.os = {}

--- Sets an environment variable of this process; false when the arguments cannot be one.
---@param name string
---@param value string|number|boolean
---@return boolean
function core.os.setenv(name, value) end

core.timer = {}

--- Runs `fn` every `check_interval` seconds; within one turn again and again for `each_ttl` seconds, with pauses of
--- `sleep_succ` after a success and `sleep_fail` after an error.
---@param name string
---@param fn fun()
---@param options {each_ttl: number?, sleep_succ: number?, sleep_fail: number?, check_interval: number?}?
---@return table? timer
---@return string? err
function core.timer.new(name, fn, options) end

core.utils = {}

--- Warns about addresses in `conf` that are not encrypted.
---@param paths string[]       dotted paths to URLs or to arrays of them
---@param conf table
---@param plugin_name string
function core.utils.check_https(paths, conf, plugin_name) end

--- Warns about switches in `conf` that turn the verification of certificates off.
---@param paths string[]
---@param conf table
---@param plugin_name string
function core.utils.check_tls_bool(paths, conf, plugin_name) end

--- Percent-encodes control characters and spaces only, so that no header or request line can be broken.
---@param text string
---@return string
function core.utils.escape_uri_control_chars(text) end

--- A UUID that sorts by time.
---@return string
function core.utils.generate_uuid_v7() end

--- Returns the name of this machine.
---@return string
function core.utils.gethostname() end

--- Splits "host:port". Brackets around an IPv6 address stay.
---@param text string
---@return string host
---@return integer? port
function core.utils.parse_addr(text) end

--- Returns an IPv4 address as a number, or false.
---@param text string
---@return number|false
function core.utils.parse_ipv4(text) end

--- Returns the groups of an IPv6 address as an array of eight numbers, or false.
---@param text string
---@return integer[]|false
function core.utils.parse_ipv6(text) end

--- Fills variables into a text. What is unset is empty, or its default.
---@param text string
---@param vars table                   usually ctx.var
---@param escape (fun(value: string): string)?
---@return string text
---@return string? err
---@return integer resolved            how many variables were set
function core.utils.resolve_var(text, vars, escape) end

--- Fills the captures of a match into a text: `$1`, `${1}`.
---@param text string
---@param captures table
---@return string text
---@return string? err
---@return integer resolved
function core.utils.resolve_var_with_captures(text, captures) end

--- Writes the verdicts of several limiters into the `rate_limiting_info` variable of the access log.
---@param ctx moongate.Ctx
---@param info table
function core.utils.set_var_rate_limiting_info(ctx, info) end

--- The same as core.sleep.
---@param seconds number
function core.utils.sleep(seconds) end

--- Splits a path at its slashes.
---@param uri string
---@return string[]
function core.utils.split_uri(uri) end

--- Percent-encodes what cannot stand in a path.
---@param text string
---@return string
function core.utils.uri_safe_encode(text) end

--- Tells whether `name` can be the name of a header.
---@param name string
---@return boolean ok
---@return string? err
function core.utils.validate_header_field(name) end

--- Tells whether `value` can be the value of a header: a string or number without control characters.
---@param value string|number
---@return boolean ok
---@return string? err
function core.utils.validate_header_value(value) end

--- Sleeps in steps of at most a second and returns early when the worker is to exit. Yields.
---@param seconds number
function core.sleep(seconds) end

return core
