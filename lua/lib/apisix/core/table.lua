-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.table")`.

return require("moongate.core.table")
