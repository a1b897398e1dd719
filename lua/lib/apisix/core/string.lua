-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.string")`.

return require("moongate.core.string")
