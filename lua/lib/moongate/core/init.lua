-- SPDX-License-Identifier: Apache-2.0
--- The table that plugins get from `require("apisix.core")`. Each field is a module of its own in this folder.

local config = require("moongate.core.config")

return {
  version = require("moongate.core.version"),
  log = require("moongate.core.log"),
  config = config,
  config_local = config,
  config_util = require("moongate.core.config_util"),
  sleep = require("moongate.core.sleep"),
  json = require("moongate.core.json"),
  table = require("moongate.core.table"),
  request = require("moongate.core.request"),
  response = require("moongate.core.response"),
  lrucache = require("moongate.core.lrucache"),
  schema = require("moongate.core.schema"),
  string = require("moongate.core.string"),
  ctx = require("moongate.core.ctx"),
  timer = require("moongate.core.timer"),
  id = require("moongate.core.id"),
  ip = require("moongate.core.ip"),
  io = require("moongate.core.io"),
  utils = require("moongate.core.utils"),
  tablepool = require("moongate.core.tablepool"),
  os = require("moongate.core.os"),
  math = require("moongate.core.math"),
  event = require("moongate.core.event"),
  env = require("moongate.core.env"),
}
