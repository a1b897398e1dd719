-- SPDX-License-Identifier: Apache-2.0
--- Runs spec files: one after another here, or several at once, each in a process of its own. C++ calls `run`.

local native = require("moongate.test.native")
local processes = require("moongate.test.processes")
local suite = require("moongate.test.suite")

local _M = {}

local jobs_max = 32

local function collect(paths)
  local specs, seen = {}, {}
  for _, path in ipairs(paths) do
    local found, err = native.find_specs(path)
    if not found then
      return nil, err
    end
    for _, name in ipairs(found) do
      if not seen[name] then
        seen[name] = true
        specs[#specs + 1] = name
      end
    end
  end
  if #specs == 0 then
    return nil, "no *_spec.lua in " .. table.concat(paths, ", ")
  end
  return specs
end

local function run_here(specs, filter)
  local passed, failed = 0, 0
  for _, path in ipairs(specs) do
    local more_passed, more_failed = suite.run_file(path, filter)
    passed, failed = passed + more_passed, failed + more_failed
  end
  return passed, failed
end

local function start_job(path, dir, number, filter)
  local output = dir .. "/" .. number
  local command = { processes.executable, "plugin", "test", "--jobs", "1" }
  if filter then
    command[#command + 1] = "--filter"
    command[#command + 1] = filter
  end
  command[#command + 1] = path
  command.output = output
  local process = processes.start(command)
  process.path = path
  return process
end

-- The child's own last line is counted, the rest of what it said is passed on.
local function finish_job(job, how)
  local text = processes.read(job.log_path)
  local rest, passed, failed = text:match("^(.-)(%d+) passed, (%d+) failed\n$")
  if not passed then
    io.write(text, "FAILED ", job.path, ":1: the tests ended with ", how, "\n")
    return 0, 1
  end
  io.write(rest)
  io.flush()
  return tonumber(passed), tonumber(failed)
end

local function run_jobs(specs, jobs, filter, dir)
  local passed, failed, next_spec = 0, 0, 1
  local running, pids = {}, {}
  while next_spec <= #specs or #pids > 0 do
    while next_spec <= #specs and #pids < jobs do
      local job = start_job(specs[next_spec], dir, next_spec, filter)
      running[job.pid] = job
      pids[#pids + 1] = job.pid
      next_spec = next_spec + 1
    end
    local pid, kind, number = native.wait_any(pids, 3600)
    if pid then
      for i, other in ipairs(pids) do
        if other == pid then
          table.remove(pids, i)
          break
        end
      end
      local more_passed, more_failed = finish_job(running[pid], kind .. " " .. number)
      passed, failed = passed + more_passed, failed + more_failed
    end
  end
  return passed, failed
end

--- Runs what the options name; the exit status.
---@param options {paths: string[], jobs: integer, filter: string, executable: string}
---@return integer
function _M.run(options)
  processes.executable = options.executable
  local filter = options.filter ~= "" and options.filter or nil
  local specs, err = collect(options.paths)
  if not specs then
    io.write("FAILED: ", err, "\n0 passed, 1 failed\n")
    return 1
  end
  local passed, failed
  if #specs == 1 or options.jobs <= 1 then
    passed, failed = run_here(specs, filter)
  else
    local dir = assert(native.temp_dir())
    passed, failed = run_jobs(specs, math.min(options.jobs, jobs_max), filter, dir)
    native.remove_tree(dir)
  end
  if passed + failed == 0 and not (filter and options.jobs == 1) then
    io.write("FAILED: there is no test", filter and " named " .. filter or "", "\n")
    failed = 1
  end
  io.write(passed, " passed, ", failed, " failed\n")
  io.flush()
  return failed == 0 and 0 or 1
end

return _M
