-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.log")`.

return require("moongate.core.log")
