-- SPDX-License-Identifier: Apache-2.0
--- The programs a spec starts, and files beside them.

local native = require("moongate.test.native")

local _M = {}

local stop_limit_s = 15
local look_every_s = 0.005

-- Set by the runner.
_M.executable = "moongate"

---@return string   "" when there is no such file
function _M.read(path)
  local file = io.open(path, "rb")
  if not file then
    return ""
  end
  local text = file:read("*a")
  file:close()
  return text
end

--- Writes beside the file and renames, so that whoever watches it never sees half of it.
function _M.write(path, text)
  local temporary = path .. ".new"
  local file = assert(io.open(temporary, "wb"))
  assert(file:write(text))
  assert(file:close())
  assert(os.rename(temporary, path))
end

--- Calls the function until it returns something true, which is returned. Raises after the limit.
---@param condition fun(): any
---@param limit_s? number        default 10
---@param what? string           what is waited for
function _M.wait_until(condition, limit_s, what)
  local deadline = native.monotonic() + (limit_s or 10)
  while true do
    local value = condition()
    if value then
      return value
    end
    if native.monotonic() >= deadline then
      error("waited " .. (limit_s or 10) .. " s for " .. (what or "a condition"), 0)
    end
    native.pause(look_every_s)
  end
end

--- nil while it runs, else "status 1" or "signal 9".
function _M.ended(process)
  if not process.how_it_ended then
    local pid, kind, number = native.wait_any({ process.pid }, 0)
    if pid then
      process.status = kind == "exit" and number or nil
      process.how_it_ended = (kind == "exit" and "status " or "signal ") .. number
    end
  end
  return process.how_it_ended
end

---@param command table    see spawn in runtime/script/test_process.cpp
function _M.start(command)
  local pid, err = native.spawn(command)
  if not pid then
    error("cannot start " .. command[1] .. ": " .. err, 0)
  end
  return { pid = pid, log_path = command.output }
end

--- Asks it to end, and kills it when it does not. How it ended.
function _M.stop(process)
  if not _M.ended(process) then
    native.kill(process.pid, "TERM")
    local pid, kind, number = native.wait_any({ process.pid }, stop_limit_s)
    if not pid then
      native.kill(process.pid, "KILL")
      pid, kind, number = native.wait_any({ process.pid }, stop_limit_s)
    end
    process.status = pid and kind == "exit" and number or nil
    process.how_it_ended = pid and (kind == "exit" and "status " or "signal ") .. number or "nothing"
  end
  return process.how_it_ended
end

--- Runs a moongate command to its end: whether its status was 0, and what it said.
function _M.run(arguments, directory, env)
  local output = directory .. "/command.out"
  os.remove(output)
  local command = { _M.executable, unpack(arguments) }
  command.output, command.env = output, env
  local process = _M.start(command)
  local limit_s = 60
  local pid, kind, number = native.wait_any({ process.pid }, limit_s)
  if not pid then
    native.kill(process.pid, "KILL")
    native.wait_any({ process.pid }, stop_limit_s)
    return false, "moongate " .. arguments[1] .. " did not end within " .. limit_s .. " s: " .. _M.read(output)
  end
  return kind == "exit" and number == 0, _M.read(output)
end

return _M
