-- SPDX-License-Identifier: Apache-2.0
--- What the C++ runtime calls: the functions of this table, and nothing else. runtime/script/host.cpp is the caller.
--
-- A worker enters Lua here once per phase. The order of things for one request is in runner.lua; how plugin
-- modules come and go is in loader.lua; how confs become chains of functions is in chains.lua.

require("moongate.runtime.coroutines").install()
require("moongate.runtime.shipped").install()
_G.ngx = require("moongate.ngx")

local chains = require("moongate.runtime.chains")
local loader = require("moongate.runtime.loader")
local runner = require("moongate.runtime.runner")
local timers = require("moongate.runtime.timers")

return {
  current = require("moongate.current"),
  begin_set = loader.begin_set,
  load_step = loader.load_step,
  give_up_set = loader.give_up_set,
  release_set = loader.release_set,
  adopt_set = loader.adopt_set,
  adopt_secrets = require("moongate.secrets").adopt,
  destroy_all = loader.destroy_all,
  build_chain = chains.build,
  release_chain = chains.release,
  first_entries = runner.first_entries,
  later_entries = runner.later_entries,
  restore = runner.restore,
  check = function(...)
    return require("moongate.runtime.checker").check(...)
  end,
  check_plain_fields = function(...)
    return require("moongate.runtime.checker").check_plain_fields(...)
  end,
  load_for_changes = function(...)
    return require("moongate.runtime.checker").load(...)
  end,
  check_changes = function(...)
    return require("moongate.runtime.checker").check_changes(...)
  end,
  describe_schemas = function(...)
    return require("moongate.schema.describe").answer(...)
  end,
  list_hooks = function(...)
    return require("moongate.runtime.hook_list").list(...)
  end,
  compile_filter = runner.compile_filter,
  call_filter = runner.call_filter,
  ask_body = runner.ask_body,
  forget_body = require("moongate.runtime.body_search").forget,
  is_exit = require("moongate.exit").is_signal,
  take_exit = runner.take_exit,
  run_detached = timers.run,
  run_timers_early = timers.run_early,
}
