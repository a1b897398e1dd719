-- SPDX-License-Identifier: Apache-2.0
-- luacheck's settings. Globals: `ngx` is what plugins written for APISIX expect to find.
std = "luajit"
max_line_length = false
cache = "build/luacheck"
exclude_files = { "build/", "lua/lib/types/" }
globals = { "ngx" }
ignore = {
  "212/_.*", -- unused arguments that say so
  "212/self", -- methods keep their form
  "213/_.*",
  "581", -- `not (a >= b)` is meant: it is true for NaN, where `a < b` is not
}
files["tests/plugins"] = { read_globals = { "describe", "it", "test", "before_each", "after_each" } }
files["tests/lua"] = { read_globals = { "describe", "it", "test", "before_each", "after_each" } }
files["tools/bench/compare/subjects/chain.lua"] = { ignore = { "21." } }
files["tools/bench/compare/load.lua"] = { globals = { "wrk", "init", "request", "done" } }
files["lua/lib/moongate/test"] = { globals = { "describe", "it", "test", "before_each", "after_each" } }
files["lua/lib/moongate/runtime/coroutines.lua"] = { globals = { "coroutine.resume", "coroutine.wrap" } }
