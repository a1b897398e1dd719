-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.version")`.

return require("moongate.core.version")
