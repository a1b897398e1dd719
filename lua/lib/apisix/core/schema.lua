-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.schema")`.

return require("moongate.core.schema")
