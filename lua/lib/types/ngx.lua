-- SPDX-License-Identifier: Apache-2.0
---@meta
--- The global `ngx` of plugins. For LuaLS only: nothing here is ever run. tests/lua/types_test.lua holds the names to the real one.

---@class ngx
---@field ctx table                       lives as long as the request
---@field status integer                  of the answer; may be set until it is sent
---@field headers_sent boolean
---@field null lightuserdata
---@field var moongate.Var                of the request that runs; prefer ctx.var
---@field header table<string, any>       of the answer; `_` in a name stands for `-`
---@field arg table                       body_filter: [1] the piece of body, [2] whether it is the last
---@field shared table<string, table>     the dictionaries of `moongate.shared_memory.dicts`
ngx = {}

ngx.base64 = {}
ngx.config = {}
ngx.process = {}
ngx.worker = {}
ngx.re = {}
ngx.req = {}
ngx.resp = {}
ngx.timer = {}
ngx.socket = {}

--- Seconds since 1970, as of this turn of the loop.
---@return integer
function ngx.time() end

--- Seconds since 1970 with fractions, as of this turn of the loop.
---@return number
function ngx.now() end

--- Reads the clock again.
function ngx.update_time() end

---@return string    2026-01-31
function ngx.today() end

---@return string    2026-01-31 12:00:00
function ngx.localtime() end

---@return string
function ngx.utctime() end

---@param seconds number
---@return string    as in Last-Modified
function ngx.http_time(seconds) end

---@param seconds number
---@return string    as in Set-Cookie
function ngx.cookie_time(seconds) end

---@param text string
---@return integer?
function ngx.parse_http_time(text) end

--- Appends to the answer, with a line feed. Phases: rewrite, access, before_proxy.
function ngx.say(...) end

--- Appends to the answer. Phases: rewrite, access, before_proxy.
function ngx.print(...) end

--- Does nothing: an answer is sent when it is whole.
function ngx.flush() end

--- Ends the answer's body.
function ngx.eof() end

--- Ends the request with a status; in a filter, ends the hook. Does not return.
---@param code integer
function ngx.exit(code) end

--- Answers with a redirection. Does not return.
---@param uri string
---@param code? integer    301, 302 (default), 303, 307 or 308
function ngx.redirect(uri, code) end

--- Writes its arguments to the log.
---@param level integer    ngx.ERR for one
function ngx.log(level, ...) end

--- The phase by nginx's name.
---@return string
function ngx.get_phase() end

--- Lets other requests run for that long. Yields. Phases: those of a request, timers.
---@param seconds number
function ngx.sleep(seconds) end

---@param text string
---@return string hex
function ngx.md5(text) end

---@param text string
---@return string bytes
function ngx.md5_bin(text) end

---@param text string
---@return string bytes
function ngx.sha1_bin(text) end

---@param key string
---@param text string
---@return string bytes
function ngx.hmac_sha1(key, text) end

---@param text string
---@return integer
function ngx.crc32_short(text) end

---@param text string
---@return integer
function ngx.crc32_long(text) end

---@param text string
---@param is_unpadded? boolean
---@return string
function ngx.encode_base64(text, is_unpadded) end

---@param text string
---@return string?
function ngx.decode_base64(text) end

--- Percent-encodes.
---@param text string
---@param kind? integer    0 a path, 2 a component (default)
---@return string
function ngx.escape_uri(text, kind) end

---@param text string
---@return string
function ngx.unescape_uri(text) end

---@param args table
---@return string
function ngx.encode_args(args) end

---@param text string
---@param max? integer    default 100
---@return table
function ngx.decode_args(text, max) end

---@param text string
---@return string
function ngx.base64.encode_base64url(text, is_unpadded) end

---@param text string
---@return string?
function ngx.base64.decode_base64url(text) end

---@return string
function ngx.config.prefix() end

---@return string
function ngx.config.nginx_configure() end

---@return string
function ngx.process.type() end

---@return integer    from 0
function ngx.worker.id() end

---@return integer
function ngx.worker.count() end

---@return integer
function ngx.worker.pid() end

---@return integer[]
function ngx.worker.pids() end

---@return boolean
function ngx.worker.exiting() end

--- Perl-compatible patterns. `options`: letters of `ijosuxD`.
---@param subject string
---@param pattern string
---@param options? string
---@param position? {pos: integer}
---@param captures? table
---@return table? captures    [0] is the whole match
---@return string? err
function ngx.re.match(subject, pattern, options, position, captures) end

---@param subject string
---@param pattern string
---@param options? string
---@return integer? from
---@return integer? to
---@return string? err
function ngx.re.find(subject, pattern, options, position, group) end

---@param subject string
---@param pattern string
---@param options? string
---@return fun(): table?, string?
function ngx.re.gmatch(subject, pattern, options) end

---@param subject string
---@param pattern string
---@param replacement string|fun(captures: table): string
---@param options? string
---@return string
---@return integer count
---@return string? err
function ngx.re.sub(subject, pattern, replacement, options) end

---@param subject string
---@param pattern string
---@param replacement string|fun(captures: table): string
---@param options? string
---@return string
---@return integer count
---@return string? err
function ngx.re.gsub(subject, pattern, replacement, options) end

---@param subject string
---@param pattern string
---@return string[]?
---@return string? err
function ngx.re.split(subject, pattern, options, position, max, result) end

---@param pattern string
---@param options? string
function ngx.re.compile(pattern, options) end

--- Accepted and ignored: the engine has limits of its own.
function ngx.re.opt(...) end

---@return string
function ngx.req.get_method() end

---@param id integer    ngx.HTTP_POST for one
function ngx.req.set_method(id) end

---@return number
function ngx.req.http_version() end

---@return boolean
function ngx.req.is_internal() end

---@param is_without_line? boolean
---@return string
function ngx.req.raw_header(is_without_line) end

---@return number
function ngx.req.start_time() end

---@param max? integer
---@param is_raw? boolean    names as they were received
---@return table<string, string|string[]>
function ngx.req.get_headers(max, is_raw) end

---@param name string
---@param value string|number|string[]|nil
function ngx.req.set_header(name, value) end

---@param name string
---@param value string|number|string[]
function ngx.req.add_header(name, value) end

---@param name string
function ngx.req.clear_header(name) end

---@param max? integer
---@return table<string, string|true|(string|true)[]>
function ngx.req.get_uri_args(max) end

---@param args table|string
function ngx.req.set_uri_args(args) end

---@param path string    decoded
---@param is_jump? boolean
function ngx.req.set_uri(path, is_jump) end

--- Waits for the whole body. Yields.
function ngx.req.read_body() end

---@return string?
function ngx.req.get_body_data() end

---@return string?    path, when the body was too large for memory
function ngx.req.get_body_file() end

---@param max? integer
---@return table?
function ngx.req.get_post_args(max) end

---@param data string
function ngx.req.set_body_data(data) end

---@param path string
---@param is_temporary? boolean
function ngx.req.set_body_file(path, is_temporary) end

function ngx.req.discard_body() end

---@param max? integer
---@return table<string, string|string[]>
function ngx.resp.get_headers(max, is_raw) end

---@param name string
---@param value string|number|string[]
function ngx.resp.add_header(name, value) end

--- Calls `callback(premature, ...)` once, outside of any request.
---@param delay number    seconds
---@param callback fun(premature: boolean, ...)
---@return boolean? ok
---@return string? err
function ngx.timer.at(delay, callback, ...) end

--- The same, again and again.
---@param period number    seconds
---@param callback fun(premature: boolean, ...)
---@return boolean? ok
---@return string? err
function ngx.timer.every(period, callback, ...) end

---@return integer
function ngx.timer.running_count() end

---@return integer
function ngx.timer.pending_count() end

---@class ngx.Socket
local socket = {}

--- Connects. Yields. `options`: {pool = string, pool_size = integer}.
---@param host string    a name, an address or "unix:PATH"
---@param port integer?
---@param options table?
---@return integer? ok
---@return string? err    "timeout", "connection refused", "socket busy", ...
function socket:connect(host, port, options) end

--- Sends a string or nested tables of strings. Yields.
---@return integer? bytes
---@return string? err
function socket:send(data) end

--- Goes on in TLS. Yields. `server_name`: the host of connect unless said; `verify`: false unless said.
---@return boolean? ok
---@return string? err    "handshake failed: ...", "timeout", "closed"
function socket:sslhandshake(reused_session, server_name, verify) end

--- Receives `what` bytes, a line ("*l") or everything ("*a"). Yields.
---@return string? data
---@return string? err
---@return string? partial
function socket:receive(what) end

--- A TCP (or unix) socket that waits without blocking the worker.
--- Phases: rewrite, access, before_proxy, content, timer.
---@return ngx.Socket? socket
---@return string? err
function ngx.socket.tcp() end

--- The same as `tcp`.
---@return ngx.Socket? socket
---@return string? err
function ngx.socket.stream() end

--- Makes a TCP socket and connects it. Yields.
---@return ngx.Socket? socket
---@return string? err
function ngx.socket.connect(host, port, options) end

--- A UDP socket: setpeername, send, receive, settimeout, close.
---@return table? socket
---@return string? err
function ngx.socket.udp() end
