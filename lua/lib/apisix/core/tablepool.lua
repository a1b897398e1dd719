-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.tablepool")`.

return require("moongate.core.tablepool")
