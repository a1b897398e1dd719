-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.id")`.

return require("moongate.core.id")
