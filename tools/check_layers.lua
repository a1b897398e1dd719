-- SPDX-License-Identifier: Apache-2.0
--- Holds the sources to the house rules a machine can check: which folder may include which, which folder owns which library,
--- sizes, names, the licence line, and no path of anybody's machine.
--
--     luajit tools/check_layers.lua [ROOT]
--
-- Prints one line for each fault, `file:line: what is wrong`, and exits 1 when there are any.

local root = arg[1] or "."

-- A folder includes itself and those before it.
local FOLDERS = {
  "base", "shm", "net", "tls", "http", "quic", "redis", "config", "router", "limit", "metrics", "upstream", "snapshot",
  "exchange", "script", "proxy", "worker", "control", "supervisor", "cli",
}
-- The process that listens for change never serves: these would be legal by order alone.
local FORBIDDEN_INCLUDES = { control = { worker = true, proxy = true } }

-- Lua patterns of system includes, and the one folder that may have them.
local LIBRARIES = {
  { "^event2/", "net" }, { "^event%.h$", "net" }, { "^ares", "net" },
  { "^openssl/", "tls/openssl" }, { "^mbedtls/", "tls/mbedtls" }, { "^psa/", "tls/mbedtls" },
  { "^gnutls/", "tls/gnutls" }, { "^ngtcp2/ngtcp2_crypto_gnutls", "tls/gnutls" }, { "^ngtcp2/ngtcp2%.h", "quic" },
  { "^ngtcp2/ngtcp2_crypto%.h", "quic" }, { "^nghttp3/", "quic" },
  { "^luajit", "script" }, { "^lua%.h", "script" }, { "^lauxlib%.h$", "script" }, { "^lualib%.h$", "script" },
  { "^pcre2", "script" },
  { "^yaml%.h$", "config" }, { "^cjson/", "base" }, { "^cJSON", "base" }, { "^hiredis/", "redis" },
  { "^nghttp2/", "http" }, { "^zlib%.h$", "http" }, { "^brotli/", "http" }, { "^zstd", "http" },
}

local LINES_MAX = { cpp = 600, h = 300, lua = 400 }
local FUNCTION_LINES_MAX = 70
local FORBIDDEN_WORDS = { util = true, utils = true, common = true, misc = true, manager = true, impl = true }
-- Numbered copies (foo2) are forbidden; these end in a digit by right.
local NUMBERED_WORDS = { http2 = true, http3 = true, h2 = true, pcre2 = true, nghttp2 = true, oauth2 = true, event2 = true }
-- Names that APISIX and OpenResty fixed for plugin authors.
local FIXED_NAMES = { "^lua/lib/moongate/core/", "^lua/lib/apisix/", "^lua/lib/resty/", "^lua/lib/types/" }
-- In pieces, so that this file does not find itself.
local MACHINE_PATHS = { "/" .. "work/", "/" .. "root/", "/" .. "home/%l" }

local faults = {}
local function fault(file, line, text)
  faults[#faults + 1] = string.format("%s:%d: %s", file, line, text)
end

local rank = {}
for i, folder in ipairs(FOLDERS) do
  rank[folder] = i
end

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Every file of the project: what git tracks or would track; outside a checkout, everything.
local function list_files()
  local command = "cd " .. quote(root) .. " && (git ls-files --cached --others --exclude-standard 2>/dev/null || "
    .. "find . -type f -not -path './.git/*' | sed 's,^[.]/,,')"
  local pipe = assert(io.popen(command))
  local files, seen = {}, {}
  for name in pipe:lines() do
    if not seen[name] then
      files[#files + 1], seen[name] = name, true
    end
  end
  pipe:close()
  table.sort(files)
  return files
end

local function read(name)
  local file = io.open(root .. "/" .. name, "rb")
  if not file then
    return nil -- deleted, but not yet in git's eyes
  end
  local text = file:read("*a")
  file:close()
  return text
end

local function split_lines(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

-- ------------------------------------------------------------------------------------------------ includes

local function check_own_include(name, line, folder, included)
  local target = included:match("^([%w_]+)/")
  if not target or not rank[target] then
    return
  end
  if rank[target] > rank[folder] then
    fault(name, line, folder .. "/ must not include " .. included .. ": " .. target .. "/ comes after it")
  elseif FORBIDDEN_INCLUDES[folder] and FORBIDDEN_INCLUDES[folder][target] then
    fault(name, line, folder .. "/ must not include " .. included)
  end
end

local function check_library_include(name, line, included)
  for _, library in ipairs(LIBRARIES) do
    if included:find(library[1]) and not name:find("^runtime/" .. library[2] .. "/") then
      fault(name, line, "only " .. library[2] .. "/ includes <" .. included .. ">")
      return
    end
  end
end

local function check_includes(name, lines)
  local folder = name:match("^runtime/([%w_]+)/") or (name == "runtime/main.cpp" and "cli")
  if not folder then
    return
  end
  if not rank[folder] then
    fault(name, 1, "runtime/" .. folder .. "/ is not one of the folders")
    return
  end
  for i, line in ipairs(lines) do
    local included = line:match('^%s*#%s*include%s*[<"]([^>"]+)[>"]')
    if included then
      check_own_include(name, i, folder, included)
      check_library_include(name, i, included)
    end
  end
end

-- ------------------------------------------------------------------------------------------------ sizes

--- Blanks out comments, strings, character literals and preprocessor lines, keeping every line end.
local function blank_cpp(text)
  local function blank(part)
    return (part:gsub("[^\n]", " "))
  end
  local out, at = {}, 1
  local function take(to)
    out[#out + 1] = blank(text:sub(at, to))
    at = to + 1
  end
  while at <= #text do
    local two, one = text:sub(at, at + 1), text:sub(at, at)
    local raw = text:match('^R"([^%(]*)%(', at)
    if raw then
      take(select(2, text:find(")" .. raw .. '"', at, true)) or #text)
    elseif two == "//" then
      take((text:find("\n", at, true) or #text + 1) - 1)
    elseif two == "/*" then
      take(select(2, text:find("*/", at + 2, true)) or #text)
    elseif one == '"' or (one == "'" and not text:sub(at - 1, at - 1):find("%w")) then
      local to = at + 1
      while to <= #text and text:sub(to, to) ~= one do
        to = to + (text:sub(to, to) == "\\" and 2 or 1)
      end
      take(to)
    else
      local plain = text:match("^[^R/\"']+", at) or one
      out[#out + 1], at = plain, at + #plain
    end
  end
  local stripped, in_directive = {}, false
  for _, line in ipairs(split_lines(table.concat(out))) do
    in_directive = in_directive or line:find("^%s*#") ~= nil
    stripped[#stripped + 1] = in_directive and "" or line
    in_directive = in_directive and line:find("\\%s*$") ~= nil
  end
  return stripped
end

--- What a brace opens, judged by the text since the last statement's end.
local function brace_kind(before)
  before = before:gsub("%s+", " ")
  if before:find("namespace[%w_: ]*$") or before:find("^ ?extern *$") then
    return "namespace"
  end
  if before:find("%(") and not before:find("[=%(,] ?$") then
    return "function"
  end
  if before:find("%f[%w]class ") or before:find("%f[%w]struct ") or before:find("%f[%w]union ") then
    return "type"
  end
  return "other"
end

local function check_cpp_functions(name, text)
  local stack, before = {}, ""
  local function_depth = 0
  for number, line in ipairs(blank_cpp(text)) do
    for piece, mark in (line .. "\n"):gmatch("([^{};]*)([{};\n])") do
      before = before .. piece
      if mark == "{" then
        local kind = function_depth > 0 and "inner" or brace_kind(before)
        stack[#stack + 1] = { kind = kind, line = number - select(2, before:gsub("^%s+", ""):gsub("\n", "")) }
        function_depth = function_depth + (kind == "function" and 1 or 0)
      elseif mark == "}" and #stack > 0 then
        local scope = table.remove(stack)
        if scope.kind == "function" then
          function_depth = function_depth - 1
          if number - scope.line + 1 > FUNCTION_LINES_MAX then
            fault(name, scope.line, "a function of " .. number - scope.line + 1 .. " lines; " .. FUNCTION_LINES_MAX .. " at most")
          end
        end
      end
      before = mark == "\n" and before .. "\n" or ""
    end
  end
end

--- Blanks out Lua comments and strings, keeping every line end.
local function blank_lua(text)
  local out, at = {}, 1
  local function take(to)
    out[#out + 1] = (text:sub(at, to):gsub("[^\n]", " "))
    at = to + 1
  end
  while at <= #text do
    local level = text:match("^%-%-%[(=*)%[", at) or text:match("^%[(=*)%[", at)
    local one = text:sub(at, at)
    if level then
      take(select(2, text:find("]" .. level .. "]", at, true)) or #text)
    elseif text:sub(at, at + 1) == "--" then
      take((text:find("\n", at, true) or #text + 1) - 1)
    elseif one == '"' or one == "'" then
      local to = at + 1
      while to <= #text and text:sub(to, to) ~= one do
        to = to + (text:sub(to, to) == "\\" and 2 or 1)
      end
      take(to)
    else
      local plain = text:match("^[^%-%[\"']+", at) or one
      out[#out + 1], at = plain, at + #plain
    end
  end
  return split_lines(table.concat(out))
end

local OPENERS = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }
local CLOSERS = { ["end"] = true, ["until"] = true }

local function check_lua_functions(name, text)
  local stack = {}
  for number, line in ipairs(blank_lua(text)) do
    for word in line:gmatch("[%a_][%w_]*") do
      if OPENERS[word] then
        stack[#stack + 1] = { word = word, line = number }
      elseif CLOSERS[word] and #stack > 0 then
        local scope = table.remove(stack)
        local length = number - scope.line + 1
        if scope.word == "function" and length > FUNCTION_LINES_MAX then
          fault(name, scope.line, "a function of " .. length .. " lines; " .. FUNCTION_LINES_MAX .. " at most")
        end
      end
    end
  end
end

-- ------------------------------------------------------------------------------------------------ names and first lines

local function check_names(name)
  for _, fixed in ipairs(FIXED_NAMES) do
    if name:find(fixed) then
      return
    end
  end
  for part in name:gmatch("[^/]+") do
    local stem = part:gsub("%.%w+$", "")
    for word in stem:gmatch("[%w]+") do
      if FORBIDDEN_WORDS[word] then
        fault(name, 1, "a name must say what is in it, not `" .. word .. "`")
      elseif word:find("^%l+2$") and not NUMBERED_WORDS[word] then
        fault(name, 1, "`" .. word .. "` looks like a numbered copy")
      end
    end
  end
end

local SPDX = "SPDX-License-Identifier: Apache-2.0"

local function check_first_line(name, lines)
  local first = lines[1] or ""
  if first:find("^#!") then
    first = lines[2] or ""
  end
  if not first:find(SPDX, 1, true) then
    fault(name, 1, "the first line must be the licence: " .. SPDX)
  end
end

local function check_machine_paths(name, lines)
  for i, line in ipairs(lines) do
    for _, path in ipairs(MACHINE_PATHS) do
      local at = line:find(path)
      -- "net" .. path inside a longer word or a relative path is not a machine's.
      if at and not line:sub(at - 1, at - 1):find("[%w_%-.$}*]") then
        fault(name, i, "names a path of somebody's machine: " .. line:sub(at, at + 30))
      end
    end
  end
end

local CODE = { cpp = true, h = true, c = true, lua = true, py = true, sh = true }
-- What is stored as bytes: corpora of the fuzzers, pictures.
local function is_data(name)
  return name:find("^tests/fuzz/corpus/") ~= nil or name:find("%.png$") ~= nil
end

local function check_file(name)
  local text = not is_data(name) and read(name)
  if not text then
    return
  end
  local extension = name:match("%.(%w+)$")
  local is_script = text:find("^#!") ~= nil
  local lines = split_lines(text)
  check_names(name)
  check_machine_paths(name, lines)
  if CODE[extension] or is_script then
    check_first_line(name, lines)
  end
  local is_ours = name:find("^runtime/") or name:find("^lua/") or name:find("^tools/[^/]+$")
  local lines_max = LINES_MAX[extension]
  if is_ours and lines_max and #lines > lines_max then
    fault(name, lines_max, #lines .. " lines; " .. lines_max .. " at most")
  end
  if extension == "cpp" or extension == "h" then
    check_includes(name, lines)
    if name:find("^runtime/") then
      check_cpp_functions(name, text)
    end
  elseif extension == "lua" and is_ours then
    check_lua_functions(name, text)
  end
end

for _, name in ipairs(list_files()) do
  check_file(name)
end
for _, text in ipairs(faults) do
  print(text)
end
os.exit(#faults == 0 and 0 or 1)
