-- SPDX-License-Identifier: Apache-2.0
--- `resty.core.base`: the table functions that modules take from here.

return {
  new_tab = require("table.new"),
  clear_tab = require("table.clear"),
}
