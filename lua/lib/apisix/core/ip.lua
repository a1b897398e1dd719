-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.ip")`.

return require("moongate.core.ip")
