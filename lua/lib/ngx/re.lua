-- SPDX-License-Identifier: Apache-2.0
--- `require("ngx.re")`: split, and the functions of `ngx.re` beside it.

local regex = require("moongate.ngx.regex")

return { split = regex.split, opt = regex.opt }
