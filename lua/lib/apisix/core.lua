-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core")`.

return require("moongate.core")
